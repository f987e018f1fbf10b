"""Programs that mypy checks (`make lint` runs it on this file) and that also run: ferrio as annotations see it."""

import asyncio as standard
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, assert_type

import ferrio
import ferrio as asyncio


async def number() -> int:
    await asyncio.sleep(0)
    return 1


async def text() -> str:
    return await asyncio.sleep(0, "text")


def takes_a_standard_task(task: "standard.Task[Any]") -> bool:
    """A function from a library that knows only asyncio."""
    return isinstance(task, standard.Task)


def test_results_keep_their_types() -> None:
    async def main() -> int:
        task = asyncio.create_task(number())
        assert_type(task, ferrio.Task[int])
        assert_type(await task, int)
        first, second = await asyncio.gather(number(), text())
        assert_type(first, int)
        assert_type(second, str)
        assert_type(await asyncio.wait_for(text(), 1), str)
        assert_type(await asyncio.to_thread(len, "four"), int)
        assert_type(await ferrio.to_process(len, "four"), int)
        assert_type(await asyncio.shield(number()), int)
        return first

    assert_type(asyncio.run(main()), int)


def test_instances_pass_for_asyncios() -> None:
    async def main() -> None:
        task = asyncio.create_task(number())
        assert takes_a_standard_task(task)
        future: standard.Future[int] = asyncio.get_running_loop().create_future()
        future.set_result(2)
        assert await future + await task == 3

    asyncio.run(main())


def test_queues_have_items() -> None:
    async def main() -> None:
        queue: asyncio.Queue[int] = asyncio.Queue(1)
        await queue.put(1)
        assert_type(await queue.get(), int)
        assert_type(queue.maxsize, int)
        priorities: asyncio.PriorityQueue[tuple[int, str]] = asyncio.PriorityQueue()
        priorities.put_nowait((1, "one"))
        assert_type(priorities.get_nowait(), tuple[int, str])

    asyncio.run(main())


def test_scopes() -> None:
    async def main() -> None:
        async with asyncio.timeout(1) as scope, asyncio.Lock():
            assert_type(scope, ferrio.Timeout)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(text())
        assert_type(task.result(), str)

    asyncio.run(main())


def test_operations_are_awaitables_and_coroutines() -> None:
    async def main() -> None:
        awaitable: Awaitable[None] = asyncio.sleep(0)
        await awaitable
        coroutine: Coroutine[Any, Any, int] = asyncio.sleep(0, 3)
        assert await asyncio.create_task(coroutine) == 3

    asyncio.run(main())


def test_loop_has_asyncios_type() -> None:
    factory: Callable[[], standard.AbstractEventLoop] = ferrio.EventLoop
    loop = factory()
    assert_type(loop.run_until_complete(number()), int)
    loop.close()
    with asyncio.Runner(loop_factory=ferrio.EventLoop) as runner:
        assert_type(runner.run(text()), str)
