"""Tasks in the interpreter's own lists: what asyncio finds there, whatever happens to threads and loops."""

import _asyncio
import asyncio
import gc
import sys
import threading
import time
import weakref

import pytest
from tests.unit.programs import run_program

pytestmark = pytest.mark.skipif(sys.version_info < (3, 14), reason="Python has these lists from 3.14 on")


def names(loop):
    return {task.get_name() for task in asyncio.all_tasks(loop)}


async def forever(aio):
    await aio.get_running_loop().create_future()


def test_fields_are_read_by_the_standard_library(aio, run):
    coroutine = forever(aio)

    async def main():
        task = aio.create_task(coroutine, name="known")
        number = aio.create_task(forever(aio))
        try:
            assert isinstance(task, _asyncio.Task)
            assert _asyncio.Task.get_coro(task) is coroutine
            assert _asyncio.Task.get_context(task) is task.get_context()
            assert _asyncio.Task.get_name(task) == "known"
            assert _asyncio.Task.get_name(number) == number.get_name()
            task.set_name("renamed")
            assert _asyncio.Task.get_name(task) == "renamed"
        finally:
            task.cancel()
            number.cancel()

    run(main())


def test_list_has_what_is_pending(aio, run, loop):
    async def main():
        aio.current_task().set_name("main")
        children = [aio.create_task(aio.sleep(0), name=f"child {number}") for number in range(3)]
        assert names(loop) == {"main", "child 0", "child 1", "child 2"}
        await children[1]
        assert names(loop) == {"main"}

    run(main())


def test_lists_of_two_kinds_of_loops(run):
    """Loops of both kinds, each in a thread: each sees its own tasks, and one sees the other's."""
    import ferrio

    ready, seen = threading.Barrier(3), threading.Event()
    loops = {}

    def thread(aio, name):
        async def main():
            aio.current_task().set_name(name)
            loops[name] = aio.get_running_loop()
            child = aio.create_task(forever(aio), name=f"child of {name}")
            await aio.sleep(0)
            ready.wait(30)
            seen.wait(30)
            child.cancel()

        aio.run(main())

    threads = [
        threading.Thread(target=thread, args=(aio, name)) for aio, name in [(asyncio, "theirs"), (ferrio, "ours")]
    ]
    for one in threads:
        one.start()
    ready.wait(30)
    try:
        for name, loop in loops.items():
            assert names(loop) == {name, f"child of {name}"}
            assert asyncio.current_task(loop).get_name() == name
    finally:
        seen.set()
        for one in threads:
            one.join()


def test_tasks_outlive_their_thread(aio):
    """A thread ends while its loop has pending tasks. Another one looks at them, ends them, and drops one."""
    loops = []

    def thread():
        loop = aio.new_event_loop()
        loops.append(loop)
        loop.tasks = [loop.create_task(aio.sleep(0), name="first"), loop.create_task(forever(aio), name="second")]

    one = threading.Thread(target=thread)
    one.start()
    one.join()
    (loop,) = loops
    assert names(loop) == {"first", "second"}
    loop.run_until_complete(loop.tasks[0])
    assert names(loop) == {"second"}
    second = loop.tasks.pop()
    second.cancel()
    with pytest.raises(aio.CancelledError):
        loop.run_until_complete(second)
    assert names(loop) == set()
    loop.close()


def test_dropped_tasks_leave_the_list(aio, caplog):
    loop = aio.new_event_loop()
    kept = loop.create_task(forever(aio), name="kept")
    dropped = weakref.ref(loop.create_task(forever(aio), name="dropped"))
    loop.run_until_complete(aio.sleep(0))
    loop.close()
    caplog.clear()
    del loop
    gc.collect()
    assert dropped() is None
    # The list is whole: a new task of another loop is found behind the old ones.
    other = aio.new_event_loop()
    task = other.create_task(forever(aio), name="new")
    assert names(other) == {"new"}
    task.cancel()
    other.run_until_complete(aio.wait([task]))
    other.close()
    kept.get_coro().close()
    kept._log_destroy_pending = False


def test_thousand_tasks_of_coming_and_going_threads(aio):
    stop = threading.Event()
    failures = []

    def thread():
        async def main():
            tasks = [aio.create_task(aio.sleep(0.001 * (number % 3))) for number in range(50)]
            await aio.wait(tasks[:25])
            assert asyncio.all_tasks() >= {aio.current_task()}
            for task in tasks[25:]:
                task.cancel()

        try:
            while not stop.is_set():
                aio.run(main())
        except BaseException as failure:
            failures.append(failure)

    def come_and_go():
        while not stop.is_set():
            one = threading.Thread(target=aio.run, args=(aio.sleep(0),))
            one.start()
            one.join()

    threads = [threading.Thread(target=target) for target in (thread, thread, come_and_go)]
    for one in threads:
        one.start()
    loop = aio.new_event_loop()
    until = time.monotonic() + 1
    while time.monotonic() < until:
        assert names(loop) == set()
    stop.set()
    for one in threads:
        one.join()
    loop.close()
    assert failures == []


@pytest.mark.parametrize("implementation", ["asyncio", "ferrio"])
def test_interpreter_ends_with_linked_tasks(implementation):
    """Pending tasks that a module, a cycle and a thread keep at the end of the interpreter."""
    program = f"""
import {implementation} as aio, sys, threading

async def forever():
    await aio.get_running_loop().create_future()

loop = aio.new_event_loop()
task = loop.create_task(forever())
task._log_destroy_pending = False
cycle = [loop.create_task(forever())]
cycle[0]._log_destroy_pending = False
cycle[0].cycle = cycle
begun = threading.Event()

async def daemon():
    aio.create_task(forever())
    begun.set()
    await forever()

threading.Thread(target=aio.run, args=(daemon(),), daemon=True).start()
begun.wait(30)
sys.modules["kept"] = task
print("end")
"""
    assert run_program(program).startswith("end\n")
