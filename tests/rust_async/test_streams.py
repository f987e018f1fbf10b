"""Rust streams consumed by Python: first what async generators do too, then what only streams promise."""

import asyncio
import collections.abc
import concurrent.futures
import contextlib
import contextvars
import gc
import importlib
import itertools
import random
import subprocess
import sys
import textwrap
import threading

import pytest
from tests.rust_async.build import directory
from tests.rust_async.conftest import LOOPS

PLACES = ["task", "tokio", "smol"]


class Feed:
    """What `probe.Feed` is, for a Python generator."""

    def __init__(self):
        self.items, self.changed, self.ended = [], asyncio.Event(), False

    def push(self, number):
        self.items.append(number)
        self.changed.set()

    def end(self):
        self.ended = True
        self.changed.set()

    async def stream(self):
        while True:
            while self.items:
                yield self.items.pop(0)
            if self.ended:
                return
            self.changed.clear()
            await self.changed.wait()


class Python:
    """Python's own async generators, which say what is right."""

    Feed = Feed
    place = None

    @staticmethod
    async def counting(end, failure=None):
        for number in range(end):
            yield number
        if failure is not None:
            raise ValueError(failure)


class Rust:
    """The same made of streams, polled by the task or in a runtime."""

    def __init__(self, probe, place):
        self.probe, self.place = probe, place

    def counting(self, *arguments, **options):
        return self.probe.counting(self.place, *arguments, **options)

    def Feed(self):
        feed, place = self.probe.Feed(), self.place

        class Placed:
            push, end, push_in_thread = feed.push, feed.end, feed.push_in_thread
            is_awaited = feed.is_awaited

            def stream(self):
                return feed.stream(place)

        return Placed()


@pytest.fixture(params=["generator", *PLACES])
def either(request, probe):
    return Python() if request.param == "generator" else Rust(probe, request.param)


@pytest.fixture(params=PLACES)
def rust(request, probe):
    return Rust(probe, request.param)


async def parked(task):
    """Lets a few turns pass; the task must still wait then."""
    for _ in range(5):
        await asyncio.sleep(0)
    assert not task.done()


async def ended(iterator):
    """Whether it says that it has ended, each time."""
    for _ in range(2):
        with pytest.raises(StopAsyncIteration):
            await anext(iterator)
    assert await anext(iterator, "default") == "default"
    return True


@pytest.mark.parametrize("end", [0, 1, 2, 1000])
def test_items_come_in_order_up_to_the_end(run, either, end):
    async def main():
        iterator = either.counting(end)
        assert [number async for number in iterator] == list(range(end))
        assert await ended(iterator)

    run(main())


def test_items_that_come_later(run, either):
    async def main():
        feed = either.Feed()
        task = asyncio.create_task(collect(feed.stream()))
        for number in range(5):
            await parked(task)
            feed.push(2 * number)
            feed.push(2 * number + 1)
        feed.end()
        assert await task == list(range(10))

    run(main())


async def collect(iterator):
    return [number async for number in iterator]


def test_error_comes_after_what_was_before_it(run, either):
    async def main():
        seen = []
        with pytest.raises(ValueError, match="so it is"):
            async for number in either.counting(3, "so it is"):
                seen.append(number)  # noqa: PERF401 - a comprehension would lose what came before the error
        assert seen == [0, 1, 2]

    run(main())


def test_stream_goes_on_after_an_error(run, rust):
    async def main():
        iterator = rust.counting(1, "so it is")
        assert await anext(iterator) == 0
        with pytest.raises(ValueError, match="so it is"):
            await anext(iterator)
        assert await anext(iterator) == 2
        assert await ended(iterator)

    run(main())


def test_panic_is_an_exception_and_the_end(run, rust, probe, capfd):
    async def main():
        alive = probe.counts()[0]
        iterator = rust.counting(1, panics=True)
        assert await anext(iterator) == 0
        with pytest.raises(probe.RustPanic, match="so it is"):
            await anext(iterator)
        while probe.counts()[0] != alive:  # a runtime drops it on its own time
            await asyncio.sleep(0)
        assert await ended(iterator)

    run(main())
    assert "so it is" in capfd.readouterr().err  # Rust's own report


@pytest.mark.parametrize("taken", [0, 1])
def test_closed(run, either, taken):
    async def main():
        iterator = either.counting(5)
        for number in range(taken):
            assert await anext(iterator) == number
        assert await iterator.aclose() is None
        assert await ended(iterator)
        assert await iterator.aclose() is None

        async with contextlib.aclosing(either.counting(5)) as iterator:
            async for number in iterator:
                if number == 2:
                    break
        assert await ended(iterator)

    run(main())


def test_close_drops_the_stream(run, rust, probe):
    async def main():
        alive = probe.counts()[0]
        iterator = rust.counting(100)
        await anext(iterator)
        await iterator.aclose()
        while probe.counts()[0] != alive:  # as above
            await asyncio.sleep(0)
        assert await ended(iterator)

    run(main())


def test_one_consumer_at_a_time(run, either):
    async def main():
        feed = either.Feed()
        iterator = feed.stream()
        task = asyncio.create_task(collect(iterator))
        await parked(task)
        with pytest.raises(RuntimeError, match=r"^anext\(\): asynchronous generator is already running$"):
            await anext(iterator)
        with pytest.raises(RuntimeError, match=r"^aclose\(\): asynchronous generator is already running$"):
            await iterator.aclose()
        feed.push(1)
        feed.end()
        assert await task == [1]

    run(main())


def test_unawaited_next_holds_nothing(run, rust):
    async def main():
        iterator = rust.counting(2)
        with pytest.warns(RuntimeWarning, match="coroutine 'anext' was never awaited"):
            iterator.__anext__()
        assert await collect(iterator) == [0, 1]

    run(main())


def test_it_is_an_async_iterator(run, rust):
    async def main():
        iterator = rust.counting(0)
        assert isinstance(iterator, collections.abc.AsyncIterator)
        assert aiter(iterator) is iterator
        pending = iterator.__anext__()
        assert asyncio.iscoroutine(pending)
        pending.close()

    run(main())


def test_it_may_be_made_before_the_loop(run, rust):
    iterator = rust.counting(3)
    assert run(collect(iterator)) == [0, 1, 2]


def test_it_may_go_on_in_another_loop(run, rust):
    iterator = rust.counting(200)

    async def some():
        return [await anext(iterator) for _ in range(100)]

    if rust.place == "task":
        assert run(some()) + run(some()) == list(range(200))
    else:  # its home is the first loop, but the items aren't bound to that
        assert [*run(some()), *run(some())] == list(range(200))


def test_cancelled_await_loses_nothing(run, rust):
    async def main():
        feed = rust.Feed()
        iterator = feed.stream()
        for number in range(5):
            task = asyncio.create_task(iterator.__anext__())
            await parked(task)
            if number % 2:
                feed.push(number)  # it is woken, and cancelled before its step
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            if not number % 2:
                feed.push(number)
            assert await anext(iterator) == number
        feed.end()
        assert await ended(iterator)

    run(main())


def test_nothing_is_lost_or_changes_places_among_cancellations(run, rust):
    chance = random.Random(13)

    async def main():
        feed = rust.Feed()
        iterator, seen = feed.stream(), []
        feed.push_in_thread(list(range(2000)))
        while len(seen) < 2000:
            task = asyncio.create_task(iterator.__anext__())
            for _ in range(chance.randrange(3)):
                await asyncio.sleep(0)
            if chance.random() < 0.5:
                task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                seen.append(await task)
        assert seen == list(range(2000))
        feed.end()
        assert await ended(iterator)

    run(main())


def test_iterator_that_is_dropped_drops_the_stream(run, rust, probe):
    async def main():
        alive = probe.counts()[0]
        feed = rust.Feed()
        iterators = [rust.counting(3), rust.counting(300), feed.stream()]
        assert await anext(iterators[1]) == 0
        task = asyncio.create_task(iterators[2].__anext__())
        await parked(task)
        del iterators
        assert probe.counts()[0] > alive  # the await still has its stream
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        del task
        gc.collect()
        if rust.place == "task":
            assert probe.counts()[0] == alive
        while probe.counts()[0] != alive:  # a runtime drops it on its own time
            await asyncio.sleep(0)

    run(main())


def test_stream_of_a_closed_loop_is_dropped(run, rust):
    loop = run.loop_factory()
    loop.set_exception_handler(lambda loop, context: None)
    feed = rust.Feed()

    async def main():
        task = asyncio.create_task(collect(feed.stream()))
        await parked(task)
        return task

    task = loop.run_until_complete(main())
    loop.close()
    feed.push_in_thread([1, 2, 3])
    task._log_destroy_pending = False


def test_poll_is_in_the_context_of_the_task(run, probe):
    variable = contextvars.ContextVar("variable")

    async def look():
        return variable.get(), threading.get_ident(), asyncio.get_running_loop()

    async def one(place, number):
        variable.set(number)
        expected = number, threading.get_ident(), asyncio.get_running_loop()
        assert await collect(probe.calling_stream(place, look, 3)) == [expected] * 3

    async def main():
        await asyncio.gather(*(one(place, index) for index, place in enumerate(PLACES * 5)))

    run(main())


@pytest.mark.parametrize("place", PLACES[1:])
@pytest.mark.parametrize("capacity", [1, 2, 10])
def test_runtime_reads_ahead_so_far_and_no_farther(run, probe, place, capacity):
    async def main():
        endless = probe.Endless()
        iterator = endless.stream(place, capacity)
        for number in range(20):
            assert await anext(iterator) == number
            # What was handed over, what waits for that, and what the runtime reads next.
            assert endless.taken() <= number + 1 + 2 * capacity
        await iterator.aclose()

    run(main())


@pytest.mark.parametrize("place", PLACES[1:])
def test_runtime_fills_a_batch_while_the_interpreter_is_held(run, probe, place):
    async def main():
        endless, turns = probe.Endless(), itertools.count()

        def turn():
            next(turns)
            handle[0] = asyncio.get_running_loop().call_soon(turn)

        handle = [asyncio.get_running_loop().call_soon(turn)]
        iterator = endless.stream(place, 50)
        assert await anext(iterator) == 0
        # No thread of the runtime attaches to give these, so they come though the interpreter is held.
        endless.hold_until(50)
        before = next(turns)
        for number in range(1, 50):
            assert await anext(iterator) == number
        # All that was there came at once, and a second batch at most once more.
        assert next(turns) - before <= 10
        handle[0].cancel()
        await iterator.aclose()

    run(main())


def test_local_stream(run, probe):
    async def main():
        assert await collect(probe.local_counting(5)) == list(range(5))

    run(main())


def test_local_stream_stays_in_its_thread(run):
    # Not the fixture: what may only be dropped in its thread is leaked, as the crate says.
    probe = importlib.import_module("rust_probe")
    iterators = [probe.local_counting(5)]

    async def main():
        with pytest.raises(RuntimeError, match="isn't Send"):
            await anext(iterators[0])
        alive = probe.counts()[0]
        iterators.clear()
        assert probe.counts()[0] == alive

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        pool.submit(run, main()).result()


@pytest.mark.parametrize("loop", LOOPS)
def test_interpreter_ends_at_any_time(loop):
    # Nothing to assert but that the process ends well: an abort or a hang would fail.
    code = f"""
        import asyncio, sys
        sys.path.insert(0, {str(directory())!r})
        import ferrio, rust_probe
        new_loop = {{"ferrio": ferrio.new_event_loop, "subclass": type("Mine", (ferrio.EventLoop,), {{}}),
                    "asyncio": asyncio.SelectorEventLoop}}.get({loop!r})
        if new_loop is None:
            import uvloop
            new_loop = uvloop.new_event_loop
        feed = rust_probe.Feed()
        async def consume(iterator):
            async for _ in iterator:
                await asyncio.sleep(0)
        async def generate():
            while True:
                await asyncio.sleep(0)
                yield None
        async def main():
            for place in ("task", "tokio", "smol"):
                asyncio.ensure_future(consume(feed.stream(place)))
                asyncio.ensure_future(consume(rust_probe.counting(place, 1 << 40)))
                asyncio.ensure_future(consume(rust_probe.Endless().stream(place, 100)))
                asyncio.ensure_future(rust_probe.read(place, generate()))
            feed.push_in_thread(list(range(100000)))
            await asyncio.sleep(0.01)
            sys.exit(0)
        keep = new_loop()
        keep.set_exception_handler(lambda loop, context: None)
        keep.run_until_complete(main())
    """
    command = [sys.executable, "-X", "dev", "-W", "ignore", "-c", textwrap.dedent(code)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50)
    assert done.returncode == 0, done
    assert "panic" not in done.stderr
    assert "Fatal" not in done.stderr
