"""`anext(iterator, default)`, which asks what `__anext__` returned for an iterator at each step of the task."""

import asyncio
import warnings

import pytest


class Iterator:
    """Its items are awaitables of the library's own."""

    def __init__(self, make):
        self.make = make

    def __aiter__(self):
        return self

    def __anext__(self):
        return self.make()


MAKERS = {
    "sleep": lambda aio, queue: aio.sleep(0.01, "item"),
    "get": lambda aio, queue: queue.get(),
    "shield": lambda aio, queue: aio.shield(queue.get()),
}


@pytest.fixture(params=MAKERS)
def make(request):
    return MAKERS[request.param]


async def later(queue):
    await asyncio.sleep(0)
    queue.put_nowait("item")


def test_item_comes_later(aio, make):
    async def main():
        queue = aio.Queue()
        for _ in range(3):
            putting = aio.create_task(later(queue))
            assert await anext(Iterator(lambda: make(aio, queue)), "default") == "item"
            await putting

    aio.run(main())


def test_task_of_it(aio, make):
    async def main():
        queue = aio.Queue()
        putting = aio.create_task(later(queue))
        assert await aio.create_task(anext(Iterator(lambda: make(aio, queue)), "default")) == "item"
        await putting

    aio.run(main())


@pytest.mark.parametrize("inside", [False, True])
def test_cancelled(aio, inside):
    async def main():
        queue = aio.Queue()
        iterator = Iterator(queue.get)

        async def wait():
            return await anext(iterator, "default")

        task = aio.create_task(wait() if inside else anext(iterator, "default"))
        await aio.sleep(0)
        await aio.sleep(0)
        assert task.cancel()
        with pytest.raises(aio.CancelledError):
            await task
        queue.put_nowait("item")
        assert await anext(iterator, "default") == "item"

    aio.run(main())


def test_end_gives_the_default(aio):
    async def main():
        async def end():
            await aio.sleep(0)
            raise StopAsyncIteration

        assert await anext(Iterator(end), "default") == "default"

    aio.run(main())


def test_a_second_driver_is_still_refused(aio):
    async def main():
        queue = aio.Queue()
        shared = queue.get()
        first = aio.create_task(anext(Iterator(lambda: shared), "default"))
        await aio.sleep(0)
        await aio.sleep(0)
        with pytest.raises(RuntimeError):
            await shared
        first.cancel()
        with pytest.raises(aio.CancelledError):
            await first

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        aio.run(main())
