"""How ferrio differs from asyncio on purpose: a test for each entry of docs/differences.md that has none elsewhere.

Where possible a test also shows asyncio's own behaviour, so that we drop the entry when asyncio changes.
"""

import asyncio
import collections.abc
import gc
import inspect
import os
import pathlib
import re
import threading
import types
import weakref

import pytest

import ferrio

ROOT = pathlib.Path(__file__).parents[2]


def test_every_entry_names_a_test_that_exists():
    text = (ROOT / "docs" / "differences.md").read_text()
    entries = re.findall(r"^\*\*.*?(?=^\*\*|^## |\Z)", text, re.DOTALL | re.MULTILINE)
    assert len(entries) >= 12
    for entry in entries:
        names = re.findall(r"`(?:(tests/[\w/]+\.py)::)?(test_\w+)`", entry)
        assert names, f"no test is named in: {entry}"
        for file, name in names:
            source = (ROOT / (file or "tests/unit/test_differences.py")).read_text()
            assert f"def {name}(" in source, f"{name} is not in {file or 'test_differences.py'}"


@pytest.mark.parametrize(("aio", "kept"), [(asyncio, False), (ferrio, True)], ids=["asyncio", "ferrio"])
def test_pending_task_is_kept_alive(aio, kept):
    async def wait(future):
        await future

    async def main():
        loop = aio.get_running_loop()
        loop.set_exception_handler(lambda loop, context: None)  # asyncio reports what it destroys
        # Only the task refers to the future, and only the future to the task.
        task = weakref.ref(aio.create_task(wait(loop.create_future())))
        await aio.sleep(0)
        gc.collect()
        return task() is not None

    assert aio.run(main()) is kept


def test_queue_from_another_thread():
    async def main():
        queue = ferrio.Queue()
        waiter = ferrio.create_task(queue.get())
        await ferrio.sleep(0)
        # Nothing else would wake the loop, which waits without a limit.
        thread = threading.Thread(target=queue.put_nowait, args=("item",))
        thread.start()
        item = await waiter
        thread.join()
        return item

    assert ferrio.run(main()) == "item"


def test_timers_are_never_early():
    async def main():
        loop = ferrio.get_running_loop()
        early = []

        def check(deadline):
            if loop.time() < deadline:
                early.append(deadline - loop.time())

        begin = loop.time()
        for step in range(500):
            deadline = begin + step * 0.000_013
            loop.call_at(deadline, check, deadline)
        await ferrio.sleep(0.01)
        return early

    assert ferrio.run(main()) == []


def test_executors_by_name():
    async def main():
        loop = ferrio.get_running_loop()
        thread = await loop.run_in_executor("thread", threading.current_thread)
        process = await loop.run_in_executor("process", os.getpid)
        return thread is not threading.current_thread(), process != os.getpid()

    assert ferrio.run(main()) == (True, True)


def test_loop_run():
    async def main():
        return 42

    loop = ferrio.new_event_loop()
    assert loop.run(main()) == 42
    loop.close()


def test_virtual_time():
    async def main():
        loop = ferrio.get_running_loop()
        began = loop.time()
        order = []
        loop.call_later(7200, order.append, "two hours")
        loop.call_later(60, order.append, "a minute")
        await ferrio.sleep(86400)
        return round(loop.time() - began, 6), order

    with ferrio.Runner(loop_factory=lambda: ferrio.EventLoop(virtual_time=True)) as runner:
        assert runner.run(main()) == (86400, ["a minute", "two hours"])


def test_operations_are_awaitables():
    operation = ferrio.sleep(0, "slept")
    assert inspect.iscoroutine(operation)
    assert type(operation) is not types.CoroutineType
    assert inspect.iscoroutinefunction(ferrio.sleep)
    assert asyncio.iscoroutine(operation)
    assert ferrio.iscoroutine(operation)
    assert inspect.isawaitable(operation)
    assert isinstance(operation, collections.abc.Coroutine)
    assert ferrio.run(operation) == "slept"

    async def main():
        task = ferrio.create_task(ferrio.sleep(0, "as a task"))
        return await task, await ferrio.wait_for(ferrio.sleep(0, "in time"), 60)

    assert ferrio.run(main()) == ("as a task", "in time")


def test_future_is_initialized_once():
    async def main():
        future = ferrio.get_running_loop().create_future()
        with pytest.raises(RuntimeError, match="already initialized"):
            future.__init__()

    ferrio.run(main())


def test_loop_is_an_abstract_event_loop():
    loop = ferrio.new_event_loop()
    assert isinstance(loop, asyncio.AbstractEventLoop)
    assert not isinstance(loop, asyncio.BaseEventLoop)
    assert not hasattr(loop, "_selector")
    loop.close()
