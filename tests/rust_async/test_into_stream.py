"""Python's async iterators read by Rust: in the awaiting task, and from a runtime's threads."""

import asyncio
import contextvars
import gc
import threading
import weakref

import pytest


@pytest.fixture(params=["task", "tokio", "smol"])
def place(request):
    return request.param


@pytest.fixture(params=[0, 1, 5])
def capacity(request):
    return request.param


class Generator:
    """An async generator that counts, and what became of it."""

    def __init__(self, end=1000, failure=None):
        self.end, self.failure = end, failure
        self.made, self.left, self.waiting = 0, None, asyncio.Event()

    async def __aiter__(self):
        try:
            for number in range(self.end):
                self.made += 1
                yield number
                if number % 3 == 0:
                    await asyncio.sleep(0)
            if self.failure is not None:
                raise self.failure
            self.waiting.set()
            await asyncio.Event().wait()
        except BaseException as exception:
            self.left = exception
            raise
        finally:
            await asyncio.sleep(0)
            self.left = self.left, asyncio.get_running_loop(), threading.get_ident()

    async def closed(self):
        """How it was left, after its `finally` block."""
        async with asyncio.timeout(10):
            while not isinstance(self.left, tuple):
                await asyncio.sleep(0)
        exception, *where = self.left
        assert where == [asyncio.get_running_loop(), threading.get_ident()]
        return type(exception)


async def count(end):
    for number in range(end):
        if number % 3 == 0:
            await asyncio.sleep(0)
        yield number


@pytest.mark.parametrize("end", [0, 1, 2, 100])
def test_items_come_in_order_up_to_the_end(run, probe, place, capacity, end):
    async def main():
        assert await probe.read(place, count(end), capacity=capacity) == list(range(end))

    run(main())


def test_stream_stays_ended(run, probe, place):
    async def main():
        reader = probe.Reader(count(1))
        assert [await reader.next(place) for _ in range(4)] == [[0], [], [], []]

    run(main())


def test_exception_is_the_last_item(run, probe, place, capacity):
    async def main():
        reader = probe.Reader(Generator(2, KeyError("error")), capacity)
        assert [await reader.next(place), await reader.next(place)] == [[0], [1]]
        with pytest.raises(KeyError, match="error"):
            await reader.next(place)
        assert await reader.next(place) == []

    run(main())


def test_iterator_that_is_a_class_of_its_own(run, probe, place, capacity):
    class Iterator:
        def __init__(self):
            self.number = 0

        def __aiter__(self):
            return self

        async def __anext__(self):
            self.number += 1
            if self.number == 4:
                raise StopAsyncIteration
            return self.number

    async def main():
        assert await probe.read(place, Iterator(), capacity=capacity) == [1, 2, 3]
        assert await probe.read(place, Iterator(), 2, capacity) == [1, 2]

    run(main())


def test_what_is_no_async_iterable(run, probe, place):
    async def main():
        for wrong in (7, [1, 2], None):
            with pytest.raises(TypeError, match="async iterable"):
                probe.read(place, wrong)

    run(main())
    with pytest.raises(RuntimeError, match="no running event loop"):
        probe.read(place, count(1))


def test_python_makes_no_item_before_it_is_wanted(run, probe, place):
    async def main():
        generator = Generator()
        reader = probe.Reader(generator)
        for _ in range(5):
            await asyncio.sleep(0)
        assert generator.made == 0
        for number in range(20):
            assert await reader.next(place) == [number]
            for _ in range(number % 4):
                await asyncio.sleep(0)
            assert generator.made == number + 1
        reader.drop()
        assert await generator.closed() is GeneratorExit

    run(main())


@pytest.mark.parametrize("capacity", [1, 2, 5])
def test_python_makes_as_many_items_ahead_as_allowed(run, probe, place, capacity):
    async def main():
        generator = Generator()
        reader = probe.Reader(generator, capacity)
        furthest = 0
        for number in range(30):
            assert await reader.next(place) == [number]
            for _ in range(20):
                await asyncio.sleep(0)
                furthest = max(furthest, generator.made - (number + 1))
        assert furthest == capacity
        reader.drop()
        assert await generator.closed() is GeneratorExit

    run(main())


@pytest.mark.parametrize("drop", ["drop", "drop_in_thread"])
def test_dropped_stream_closes_the_generator(run, probe, place, capacity, drop):
    async def main():
        generator = Generator()
        reader = probe.Reader(generator, capacity)
        assert await reader.next(place) == [0]
        getattr(reader, drop)()
        # It was at a `yield`, or at its sleep if it works ahead.
        assert await generator.closed() in {GeneratorExit, asyncio.CancelledError}

    run(main())


@pytest.mark.parametrize("drop", ["drop", "drop_in_thread"])
def test_dropped_stream_cancels_the_generator_that_waits(run, probe, place, capacity, drop):
    async def main():
        generator = Generator(1)
        reader = probe.Reader(generator, capacity)
        assert await reader.next(place) == [0]
        task = asyncio.create_task(reader.next(place))
        await generator.waiting.wait()
        task.cancel()
        await asyncio.wait([task])
        getattr(reader, drop)()
        assert await generator.closed() is asyncio.CancelledError

    run(main())


@pytest.mark.parametrize("drop", ["drop", "drop_in_thread"])
def test_stream_that_was_never_read_runs_nothing(run, probe, drop):
    async def main():
        generator = Generator()
        reader = probe.Reader(generator)
        getattr(reader, drop)()
        for _ in range(5):
            await asyncio.sleep(0)
        assert generator.made == 0
        assert generator.left is None

    run(main())


def test_limit_and_cancellation_close_the_generator(run, probe, place, capacity):
    async def main():
        generator = Generator()
        assert await probe.read(place, generator, 3, capacity) == [0, 1, 2]
        assert await generator.closed() in {GeneratorExit, asyncio.CancelledError}

        generator = Generator(3)
        task = asyncio.create_task(probe.read(place, generator, capacity=capacity))
        await generator.waiting.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await generator.closed() is asyncio.CancelledError

    run(main())


def test_generator_that_goes_on_after_its_cancellation(run, probe, place):
    async def main():
        waiting, seen = asyncio.Event(), []

        async def stubborn():
            try:
                waiting.set()
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                seen.append("cancelled")
            try:
                yield 1
            except GeneratorExit:
                seen.append("closed")
                raise

        reader = probe.Reader(stubborn())
        task = asyncio.create_task(reader.next(place))
        await waiting.wait()
        task.cancel()
        await asyncio.wait([task])
        reader.drop()
        async with asyncio.timeout(10):
            while seen != ["cancelled", "closed"]:
                await asyncio.sleep(0)

    run(main())


def test_generator_that_fails_as_it_is_closed_is_reported(run, probe, place):
    async def main():
        reported = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: reported.set_result(context))

        async def failing():
            try:
                yield 1
            finally:
                raise KeyError("failed")

        assert await probe.read(place, failing(), 1) == [1]
        async with asyncio.timeout(10):
            while not reported.done():
                gc.collect()
                await asyncio.sleep(0)
        assert "never retrieved" in reported.result()["message"]
        assert isinstance(reported.result()["exception"], KeyError)

    run(main())


def test_one_task_runs_the_generator(run, probe, place, capacity):
    async def main():
        async def timed():
            async with asyncio.timeout(10), asyncio.TaskGroup() as group:
                for _ in range(3):
                    group.create_task(asyncio.sleep(0))
                    yield asyncio.current_task()

        tasks = await probe.read(place, timed(), capacity=capacity)
        assert len(tasks) == 3
        assert len(set(tasks)) == 1

    run(main())


def test_python_side_is_in_the_context_of_the_await(run, probe, place):
    variable = contextvars.ContextVar("variable")

    async def look():
        yield variable.get(), threading.get_ident(), asyncio.get_running_loop()

    async def one(number):
        variable.set(number)
        expected = number, threading.get_ident(), asyncio.get_running_loop()
        assert await probe.read(place, look()) == [expected]

    async def main():
        await asyncio.gather(*map(one, range(10)))

    run(main())


def test_python_in_rust_in_python_in_rust(run, probe, place, capacity):
    async def doubled(iterator):
        async for number in iterator:
            yield 2 * number

    async def main():
        stream = probe.counting(place, 50)
        assert await probe.read(place, doubled(stream), capacity=capacity) == list(range(0, 100, 2))

    run(main())


def test_cancelled_driver_ends_the_stream(run, probe, place):
    async def main():
        generator = Generator(1)
        reader = probe.Reader(generator)
        assert await reader.next(place) == [0]
        (driver,) = asyncio.all_tasks() - {asyncio.current_task()}
        assert driver.get_coro().__name__ == "into_stream"
        driver.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reader.next(place)
        assert await generator.closed() is GeneratorExit
        assert await reader.next(place) == []

    run(main())


def test_closed_loop(run, probe, place):
    loop = run.loop_factory()
    loop.set_exception_handler(lambda loop, context: None)
    readers = []

    async def main():
        waiting = asyncio.Event()

        async def wait():
            yield 0
            waiting.set()
            await asyncio.Event().wait()

        readers.extend(probe.Reader(wait()) for _ in range(3))
        assert await readers[0].next(place) == [0]
        assert await readers[1].next(place) == [0]
        task = asyncio.ensure_future(readers[1].next(place))
        await waiting.wait()
        task.cancel()
        await asyncio.wait([task])
        for task in asyncio.all_tasks():
            task._log_destroy_pending = False
        return [weakref.ref(task) for task in asyncio.all_tasks() if task.get_coro().__name__ == "into_stream"]

    drivers = loop.run_until_complete(main())
    assert len(drivers) == 2
    loop.close()
    readers[0].drop()
    readers[1].drop_in_thread()
    readers[2].drop()
    readers.clear()
    # The crate doesn't keep the driver of a closed loop alive.
    for _ in range(1000):
        gc.collect()
        if all(driver() is None for driver in drivers):
            break
    assert all(driver() is None for driver in drivers)
