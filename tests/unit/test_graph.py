"""The call graph: who awaits whom, as data and as text."""

import asyncio
import io
import linecache
import re
import sys

import pytest

import ferrio


def names(graph):
    """Condenses a graph: the class of its subject, its stack's functions, and the graphs of its waiters."""
    of = graph.future.get_name() if isinstance(graph.future, ferrio.Task) else "future"
    stack = [entry.frame.f_code.co_name for entry in graph.call_stack]
    return of, stack, sorted(names(waiter) for waiter in graph.awaited_by)


def test_current_task():
    async def inner():
        return ferrio.capture_call_graph()

    async def main():
        ferrio.current_task().set_name("main")
        return names(await inner())

    assert ferrio.run(main()) == ("main", ["inner", "main"], [])


def test_plain_functions_are_part_of_the_stack():
    def helper():
        return names(ferrio.capture_call_graph()), names(ferrio.capture_call_graph(depth=2))

    async def main():
        ferrio.current_task().set_name("main")
        return helper()

    whole, without_helper = ferrio.run(main())
    assert whole == ("main", ["helper", "main"], [])
    assert without_helper == ("main", ["main"], [])


def test_async_generator_in_the_stack():
    async def numbers():
        yield names(ferrio.capture_call_graph())

    async def main():
        ferrio.current_task().set_name("main")
        async for graph in numbers():
            return graph

    assert ferrio.run(main()) == ("main", ["numbers", "main"], [])


def test_waiters():
    async def worker(event):
        await event.wait()

    async def parent(task):
        await task

    async def main():
        ferrio.current_task().set_name("main")
        event = ferrio.Event()
        task = ferrio.create_task(worker(event), name="worker")
        parents = [ferrio.create_task(parent(task), name=f"parent {number}") for number in (1, 2)]
        await ferrio.sleep(0)
        await ferrio.sleep(0)
        graph = names(ferrio.capture_call_graph(task))
        event.set()
        await ferrio.gather(*parents)
        return graph, names(ferrio.capture_call_graph(task))

    while_waiting, afterwards = ferrio.run(main())
    assert while_waiting == ("worker", ["wait", "worker"], [("parent 1", ["parent"], []), ("parent 2", ["parent"], [])])
    assert afterwards == ("worker", [], [])


@pytest.mark.parametrize("combine", ["gather", "wait", "task group", "wait_for", "timeout", "shield"])
def test_combinators_are_waiters(combine):
    async def worker(event):
        await event.wait()

    async def wait_for_it(task):
        if combine == "gather":
            await ferrio.gather(task)
        elif combine == "wait":
            await ferrio.wait([task])
        elif combine == "wait_for":
            await ferrio.wait_for(task, 60)
        elif combine == "timeout":
            async with ferrio.timeout(60):
                await task
        elif combine == "shield":
            await ferrio.shield(task)

    async def main():
        event = ferrio.Event()
        if combine == "task group":

            async def group():
                async with ferrio.TaskGroup() as group:
                    tasks.append(group.create_task(worker(event), name="worker"))

            tasks = []
            waiter = ferrio.create_task(group(), name="waiter")
            await ferrio.sleep(0)
            (task,) = tasks
        else:
            task = ferrio.create_task(worker(event), name="worker")
            waiter = ferrio.create_task(wait_for_it(task), name="waiter")
        for _ in range(3):
            await ferrio.sleep(0)
        text = ferrio.format_call_graph(task)
        event.set()
        await waiter
        return text

    text = ferrio.run(main())
    assert "Task(name='worker'" in text
    assert "Awaited by:" in text
    assert "Task(name='waiter'" in text


def test_future():
    async def wait(future):
        await future

    async def main():
        future = ferrio.get_running_loop().create_future()
        task = ferrio.create_task(wait(future), name="waiter")
        await ferrio.sleep(0)
        graph = names(ferrio.capture_call_graph(future))
        future.set_result(None)
        await task
        return graph

    assert ferrio.run(main()) == ("future", [], [("waiter", ["wait"], [])])


def test_limit():
    async def deep(level, event):
        if level:
            await deep(level - 1, event)
        else:
            await event

    async def main():
        event = ferrio.Future()
        task = ferrio.create_task(deep(3, event))
        await ferrio.sleep(0)
        levels = {
            limit: [entry.frame.f_locals["level"] for entry in ferrio.capture_call_graph(task, limit=limit).call_stack]
            for limit in (None, 2, -2, 0, 9)
        }
        event.set_result(None)
        await task
        return levels

    # Innermost first; a positive limit keeps the outermost frames, a negative one the innermost.
    assert ferrio.run(main()) == {None: [0, 1, 2, 3], 2: [2, 3], -2: [0, 1], 0: [], 9: [0, 1, 2, 3]}


def test_limit_of_the_running_task():
    async def inner():
        capture = ferrio.capture_call_graph
        graphs = capture(), capture(limit=1), capture(limit=-1), capture(limit=0)
        return [names(graph)[1] for graph in graphs]

    async def main():
        return await inner()

    assert ferrio.run(main()) == [["inner", "main"], ["main"], ["inner"], []]


def test_text():
    async def wait(task):
        await task

    async def sleep():
        await ferrio.sleep(60)

    async def main():
        task = ferrio.create_task(sleep(), name="sleeper")
        waiter = ferrio.create_task(wait(task), name="waiter")
        await ferrio.sleep(0)
        await ferrio.sleep(0)
        text = ferrio.format_call_graph(task)
        task.cancel()
        await ferrio.wait([waiter])
        return text, id(task), id(waiter)

    text, sleeper, waiter = ferrio.run(main())
    in_asyncio = re.search(r"line (\d+), in async sleep", text)[1]
    assert linecache.getline(asyncio.tasks.__file__, int(in_asyncio)).strip() == "return await future"
    line, of_wait = sleep.__code__.co_firstlineno + 1, wait.__code__.co_firstlineno + 1
    where = f"File {__file__!r}, line"
    assert text.splitlines() == [
        f"* Task(name='sleeper', id={sleeper:#x})",
        "  + Call stack:",
        f"  |   File {asyncio.tasks.__file__!r}, line {in_asyncio}, in async sleep()",
        f"  |   {where} {line}, in async test_text.<locals>.sleep()",
        "  + Awaited by:",
        f"    * Task(name='waiter', id={waiter:#x})",
        "      + Call stack:",
        f"      |   {where} {of_wait}, in async test_text.<locals>.wait()",
    ]


def test_print(capsys):
    async def main():
        ferrio.current_task().set_name("main")
        ferrio.print_call_graph()
        file = io.StringIO()
        ferrio.print_call_graph(ferrio.current_task(), file=file)
        return file.getvalue()

    text = ferrio.run(main())
    assert text.splitlines()[0].startswith("* Task(name='main', id=0x")
    assert text.splitlines()[2].endswith("in async test_print.<locals>.main()")
    assert len(text.splitlines()) == 3
    assert capsys.readouterr().out.splitlines()[0] == text.splitlines()[0]


def test_without_a_current_task():
    async def main():
        graphs = []
        done = ferrio.Event()
        ferrio.get_running_loop().call_soon(lambda: (graphs.append(ferrio.capture_call_graph()), done.set()))
        await done.wait()
        return graphs, ferrio.format_call_graph(ferrio.current_task()) != ""

    assert ferrio.run(main()) == ([None], True)
    with pytest.raises(RuntimeError, match="outside of a running event loop"):
        ferrio.capture_call_graph()


def test_graph_of_a_future_of_a_stopped_loop():
    loop = ferrio.new_event_loop()
    future = loop.create_future()
    assert names(ferrio.capture_call_graph(future)) == ("future", [], [])
    loop.close()


def test_object_that_is_not_a_future_is_refused():
    with pytest.raises(TypeError, match=r"does not appear to be compatible with asyncio\.Future"):
        ferrio.capture_call_graph("task")


@pytest.mark.skipif(sys.version_info < (3, 14), reason="asyncio has call graphs from Python 3.14 on")
def test_standard_functions_show_waiters_of_ferrios_tasks():
    async def child():
        await asyncio.sleep(0)
        return [waiter.future.get_name() for waiter in asyncio.capture_call_graph().awaited_by]

    async def group():
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(child())
        return task.result()

    async def main():
        asyncio.current_task().set_name("main")
        gathered = await asyncio.gather(child())
        waited = await asyncio.wait_for(child(), 60)
        return [gathered, waited, await asyncio.create_task(group(), name="group")]

    assert asyncio.run(main(), loop_factory=ferrio.new_event_loop) == [[["main"]], [], ["group"]]


def test_standard_task():
    async def main():
        task = asyncio.create_task(asyncio.sleep(0), name="standard")
        text = ferrio.format_call_graph(task)
        await task
        return text

    text = asyncio.run(main())
    assert text.splitlines()[0].startswith("* Task(name='standard'")
