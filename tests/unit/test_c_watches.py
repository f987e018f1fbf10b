"""What an extension in C watches by the loop's C interface: times, descriptors, the loop's close (c_interface.c)."""

import asyncio
import contextlib
import gc
import os
import socket
import tempfile
import threading

import pytest
from tests.unit.c_extension import NEEDS_COMPILER
from tests.unit.implementations import parked

import ferrio

pytestmark = NEEDS_COMPILER

READABLE, WRITABLE, EDGE = 1, 2, 4
SECOND = 10**9


@contextlib.contextmanager
def pair():
    left, right = socket.socketpair()
    with left, right:
        left.setblocking(False)
        right.setblocking(False)
        yield left, right


async def turns(number=3):
    """Lets the loop poll its descriptors, more than once."""
    for _ in range(number):
        await asyncio.sleep(0)


def test_time_is_that_of_the_loop(ext):
    class Own(ferrio.EventLoop):
        def time(self):
            return 7.0

    for virtual in False, True:
        loop = ferrio.EventLoop(virtual_time=virtual)
        before = loop.time()
        assert before <= ext.loop_time(loop) / SECOND <= loop.time()
        loop.close()
    loop = Own()
    assert ext.loop_time(loop) == 7 * SECOND
    loop.close()


def test_timer_calls_once_at_its_time_and_in_no_task(ext):
    async def main():
        loop = asyncio.get_running_loop()
        began, fired = loop.time(), loop.create_future()
        look = lambda events: fired.set_result((events, asyncio.current_task(), threading.get_ident()))  # noqa: E731
        dropped = ext.counts()["dropped"]
        watch = ext.watch_time(loop, ext.loop_time(loop) + SECOND // 100, look)
        assert await fired == (0, None, threading.get_ident())
        assert loop.time() >= began + 0.01
        assert ext.counts()["dropped"] == dropped + 1
        ext.watch_cancel(watch)

    ferrio.run(main())


def test_timers_are_in_order_and_on_virtual_time(ext):
    loop, seen = ferrio.EventLoop(virtual_time=True), []

    async def main():
        now = ext.loop_time(loop)
        for hours in 3, 1, 2:
            ext.watch_time(loop, now + hours * 3600 * SECOND, lambda events, hours=hours: seen.append(hours))
        await asyncio.sleep(2.5 * 3600)
        assert seen == [1, 2]
        await asyncio.sleep(3600)

    loop.run_until_complete(main())
    assert seen == [1, 2, 3]
    loop.close()


def test_timer_goes_on_without_its_reference_and_before_the_loop_runs(ext):
    loop = ferrio.new_event_loop()
    ext.watch_time(loop, 0, lambda events: loop.stop())
    loop.run_forever()
    loop.close()


@pytest.mark.parametrize("cancel", ["watch_cancel", "cancel_in_thread"])
def test_cancelled_timer_never_calls(ext, cancel):
    async def main():
        loop = asyncio.get_running_loop()
        dropped = ext.counts()["dropped"]
        far = ext.watch_time(loop, ext.loop_time(loop) + 3600 * SECOND, pytest.fail)
        # This one is due, and waits in the queue when it is cancelled.
        loop.call_soon(lambda: ext.watch_cancel(near))
        near = ext.watch_time(loop, 0, pytest.fail)
        getattr(ext, cancel)(far)
        while ext.counts()["dropped"] < dropped + 2:
            await asyncio.sleep(0)
        ext.watch_cancel(far)

    ferrio.run(main())


def test_error_of_a_call_goes_to_the_exception_handler(ext):
    async def main():
        loop = asyncio.get_running_loop()
        failed = loop.create_future()
        loop.set_exception_handler(lambda loop, context: failed.set_result(context["exception"]))
        ext.watch_time(loop, 0, lambda events: 1 // 0)
        assert isinstance(await failed, ZeroDivisionError)
        with pair() as (left, right):
            failed = loop.create_future()
            fail = lambda events: ext.watch_cancel(watch) or 1 // 0  # noqa: E731
            watch = ext.watch_descriptor(loop, left.fileno(), READABLE, fail)
            right.send(b"x")
            assert isinstance(await failed, ZeroDivisionError)

    ferrio.run(main())


def test_descriptor_calls_while_it_is_ready(ext):
    async def main():
        loop, seen = asyncio.get_running_loop(), []
        with pair() as (left, right):
            watch = ext.watch_descriptor(loop, left.fileno(), READABLE, seen.append)
            await turns()
            assert seen == []
            right.send(b"x")
            while len(seen) < 3:
                await asyncio.sleep(0)
            left.recv(1)
            await turns()
            count = len(seen)
            await turns()
            assert (len(seen), set(seen)) == (count, {READABLE})
            ext.watch_cancel(watch)
            right.send(b"x")
            await turns()
            assert len(seen) == count

    ferrio.run(main())


def test_edge_calls_when_something_comes(ext):
    async def main():
        loop, seen = asyncio.get_running_loop(), []
        with pair() as (left, right):
            watch = ext.watch_descriptor(loop, left.fileno(), READABLE | WRITABLE | EDGE, seen.append)
            await turns()
            assert seen == [WRITABLE]
            for _ in range(2):
                right.send(b"x")
                await turns()
            assert seen[1:] == [READABLE | WRITABLE] * 2
            right.close()
            await turns()
            assert seen[-1] & READABLE
            ext.watch_cancel(watch)

    ferrio.run(main())


def test_watches_of_one_descriptor_leave_each_other_alone(ext):
    async def main():
        loop, seen = asyncio.get_running_loop(), []
        with pair() as (left, right):
            fd = left.fileno()
            first = ext.watch_descriptor(loop, fd, READABLE | EDGE, lambda events: seen.append("first"))
            second = ext.watch_descriptor(loop, fd, READABLE, lambda events: seen.append("second"))
            loop.add_reader(fd, lambda: (seen.append("reader"), left.recv(1)))
            right.send(b"x")
            await turns()
            assert sorted(set(seen)) == ["first", "reader", "second"]
            for gone, left_over in [(second, ["first", "reader"]), (first, ["reader"])]:
                ext.watch_cancel(gone)
                seen.clear()
                right.send(b"x")
                await turns()
                assert sorted(set(seen)) == left_over
            # And the other way round: the loop's own reader goes, an operation comes and goes.
            third = ext.watch_descriptor(loop, fd, READABLE | EDGE, lambda events: seen.append("third"))
            assert loop.remove_reader(fd)
            seen.clear()
            task = asyncio.create_task(loop.sock_recv(left, 10))
            await parked(task)
            right.send(b"y")
            assert await task == b"y"
            await turns()
            assert set(seen) == {"third"}
            seen.clear()
            right.send(b"z")
            await turns()
            assert seen == ["third"]
            ext.watch_cancel(third)
            assert await loop.sock_recv(left, 10) == b"z"

    ferrio.run(main())


def test_watch_may_cancel_itself_and_others(ext):
    async def main():
        loop, seen = asyncio.get_running_loop(), []
        with pair() as (left, right):
            fd = os.dup(left.fileno())

            def call(events):
                seen.append(events)
                dropped = ext.counts()["dropped"]
                for watch in watches:
                    ext.watch_cancel(watch)
                # The other's data is dropped at once, this one's when the call has returned.
                assert ext.counts()["dropped"] == dropped + 1

            watches = [ext.watch_descriptor(loop, fd, READABLE, call, owned) for owned in (True, False)]
            right.send(b"x")
            await turns(6)
            assert seen == [READABLE]

    ferrio.run(main())


@pytest.mark.parametrize("busy", [False, True])
def test_descriptor_calls_in_its_place_in_the_queue(ext, busy):
    async def main():
        loop, seen = asyncio.get_running_loop(), []
        with pair() as (left, right):
            watch = ext.watch_descriptor(loop, left.fileno(), READABLE, lambda events: seen.append("event"))
            right.send(b"x")
            if busy:
                loop.call_soon(seen.append, "before")
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert seen[:2] == ["before", "event"] if busy else seen[0] == "event"
            ext.watch_cancel(watch)

    ferrio.run(main())


def test_watch_on_a_loop_in_debug_mode(ext):
    async def main():
        loop, seen = asyncio.get_running_loop(), []
        with pair() as (left, right):
            watch = ext.watch_descriptor(loop, left.fileno(), READABLE, seen.append)
            ext.watch_time(loop, 0, seen.append)
            right.send(b"x")
            await turns(6)
            ext.watch_cancel(watch)
            assert {0, READABLE} == set(seen)

    ferrio.run(main(), debug=True)


def test_transport_keeps_its_descriptor(ext):
    async def main():
        loop = asyncio.get_running_loop()
        left, right = socket.socketpair()
        with right:
            _, writer = await asyncio.open_connection(sock=left)
            with pytest.raises(RuntimeError, match="is used by a transport"):
                ext.watch_descriptor(loop, left.fileno(), READABLE, print)
            writer.close()
            await writer.wait_closed()

    ferrio.run(main())


def test_what_cannot_be_watched_is_refused(ext):
    loop = ferrio.new_event_loop()
    with pytest.raises(ValueError, match="Invalid file descriptor"):
        ext.watch_descriptor(loop, -1, READABLE, print)
    with pair() as (left, _):
        for interest in 0, EDGE, 8 | READABLE:
            with pytest.raises(ValueError, match="interest"):
                ext.watch_descriptor(loop, left.fileno(), interest, print)
    with tempfile.TemporaryFile() as file, pytest.raises(PermissionError):
        ext.watch_descriptor(loop, file.fileno(), READABLE, print)
    for which in range(3):
        with pytest.raises(TypeError):
            ext.watch_none(loop, print, which)
    with pytest.raises(ValueError, match="`call` and `drop`"):
        ext.watch_none(loop, print, 3)
    loop.close()
    for make in lambda: ext.watch_time(loop, 0, print), lambda: ext.watch_close(loop, print):
        with pytest.raises(RuntimeError, match="Event loop is closed"):
            make()


def test_another_thread_may_not_watch_a_running_loop(ext):
    async def main():
        loop = asyncio.get_running_loop()
        with pytest.raises(RuntimeError, match="another thread runs this loop"):
            await asyncio.to_thread(ext.watch_time, loop, 0, print)

    ferrio.run(main())


def test_closing_a_loop_calls_and_drops(ext):
    loop, seen = ferrio.new_event_loop(), []
    with pair() as (left, _):
        kept = [
            ext.watch_time(loop, ext.loop_time(loop) + 3600 * SECOND, pytest.fail),
            ext.watch_descriptor(loop, left.fileno(), READABLE, pytest.fail),
            ext.watch_close(loop, lambda events: seen.append((events, loop.is_closed()))),
            ext.watch_close(loop, lambda events: ext.watch_cancel(kept[-1])),
            ext.watch_close(loop, pytest.fail),
        ]
        cancelled = ext.watch_close(loop, pytest.fail)
        ext.watch_cancel(cancelled)
        dropped = ext.counts()["dropped"]
        loop.run_until_complete(asyncio.sleep(0))
        assert ext.counts()["dropped"] == dropped + 1
        loop.close()
        assert seen == [(0, True)]
        assert ext.counts()["dropped"] == dropped + 6
        for watch in kept:
            ext.watch_cancel(watch)
            ext.cancel_in_thread(watch)


def test_error_when_the_loop_closes_is_reported(ext):
    loop, seen = ferrio.new_event_loop(), []
    loop.set_exception_handler(lambda loop, context: seen.append(context["exception"]))
    ext.watch_close(loop, lambda events: 1 // 0)
    ext.watch_close(loop, seen.append)
    loop.close()
    assert isinstance(seen[0], ZeroDivisionError)
    assert seen[1:] == [0]


def test_unclosed_loop_drops_what_it_watches(ext):
    loop = ferrio.new_event_loop()
    seen = []
    with pair() as (left, _):
        ext.watch_close(loop, seen.append)
        ext.watch_descriptor(loop, left.fileno(), READABLE, seen.append)
        with pytest.warns(ResourceWarning, match="unclosed event loop"):
            del loop
            gc.collect()
        assert seen == [0]


def test_future_that_waits_for_the_loop_alone_lets_a_virtual_clock_jump(ext):
    loop = ferrio.EventLoop(virtual_time=True)
    began, real = loop.time(), ferrio.new_event_loop()
    before = real.time()
    loop.run_until_complete(ext.sleep(loop, 3600 * SECOND))
    assert loop.time() >= began + 3600
    assert real.time() < before + 3600
    task = loop.create_task(ext.sleep(loop, 3600 * SECOND))
    loop.run_until_complete(asyncio.sleep(0))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        loop.run_until_complete(task)
    # One whose waker a thread holds stops the clock.
    assert loop.run_until_complete(ferrio.wait_for(ext.future(loop, 3, True, lambda: "value", 4), 5)) == "value"
    real.close()
    loop.close()
