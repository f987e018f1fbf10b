"""Rust futures that sleep by the loop's own timers (`ferrio_async::time`)."""

import asyncio
import time

import pytest

import ferrio

HOUR = 3600.0


@pytest.fixture
def virtually():
    """Runs a coroutine on a loop of ferrio's with virtual time; returns how far its clock went."""

    def virtually(coroutine):
        loop = ferrio.EventLoop(virtual_time=True)
        began, really = loop.time(), time.monotonic()
        try:
            loop.run_until_complete(coroutine)
            assert time.monotonic() < really + HOUR
            return loop.time() - began
        finally:
            loop.close()

    return virtually


def test_sleep_lasts_its_time(run, probe):
    async def main():
        loop = asyncio.get_running_loop()
        for duration in 0, 0.02:
            began = loop.time()
            assert await probe.reactor.sleep(duration) is None
            # A clock in floats may round by a few nanoseconds.
            assert loop.time() >= began + duration - 1e-6

    run(main())


def test_many_sleeps_end_in_order(run, probe):
    async def one(number):
        await probe.reactor.sleep(0.005 * number)
        ended.append(number)

    async def main():
        # Each begins after the one before, however slow the machine is, so it ends after that too.
        await asyncio.gather(*map(one, range(12)))

    ended = []
    run(main())
    assert ended == sorted(ended)


def test_cancelled_sleep_stops_its_timer(run, probe):
    async def main():
        alive = probe.counts()[0]
        tasks = [asyncio.create_task(probe.reactor.sleep(HOUR)) for _ in range(10)]
        await asyncio.sleep(0)
        assert probe.counts()[0] == alive + 10
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert probe.counts()[0] == alive
        loop = asyncio.get_running_loop()
        assert [handle for handle in getattr(loop, "_scheduled", ()) if not handle.cancelled()] == []

    run(main())


def test_timeout_of_a_python_awaitable(run, probe):
    async def slow():
        try:
            await asyncio.sleep(HOUR)
        finally:
            ended.append(True)

    async def main():
        with pytest.raises(TimeoutError, match="the time is over"):
            await probe.reactor.limited(0.01, slow)
        await asyncio.sleep(0)
        assert ended == [True]
        assert await probe.reactor.limited(HOUR, lambda: asyncio.sleep(0, "value")) == "value"

    ended = []
    run(main())


def test_interval_ticks_at_once_and_again(run, probe):
    async def main():
        loop = asyncio.get_running_loop()
        began, times = loop.time(), []

        async def note():
            times.append(loop.time() - began)

        await probe.reactor.tick(0.01, 4, note)
        # A tick may be late, and uvloop counts in milliseconds.
        assert times == sorted(times)
        assert times[3] >= 0.03 - 1e-6

    run(main())


def test_interval_leaves_out_what_it_misses(probe, virtually):
    async def main():
        loop = asyncio.get_running_loop()
        began, times = loop.time(), []

        async def note():
            times.append(round(loop.time() - began, 3))
            if len(times) == 2:
                await asyncio.sleep(25)

        await probe.reactor.tick(10.0, 5, note)
        assert times == [0, 10, 35, 40, 50]

    virtually(main())


def test_sleep_that_goes_on_in_another_thread(run, probe):
    async def main():
        await probe.reactor.sleep_goes_on_elsewhere(0.02)
        await probe.reactor.sleep_dropped_elsewhere()

    run(main())


def test_sleep_in_a_runtime_says_what_is_wrong(run, probe, capfd):
    async def main():
        with pytest.raises(probe.RustPanic, match="no event loop runs in this thread"):
            await probe.reactor.sleep_in_tokio()

    run(main())
    assert "no event loop" in capfd.readouterr().err  # Rust's own report


def test_sleep_on_a_loop_that_is_closed_is_dropped(run, probe):
    loop = run.loop_factory()
    loop.set_exception_handler(lambda loop, context: None)

    async def main():
        task = asyncio.create_task(probe.reactor.sleep(HOUR))
        await asyncio.sleep(0)
        return task

    task = loop.run_until_complete(main())
    loop.close()
    task._log_destroy_pending = False


def test_sleep_takes_no_time_on_virtual_time(probe, virtually):
    async def main():
        await probe.reactor.sleep(HOUR)
        await probe.reactor.tick(HOUR, 3, lambda: asyncio.sleep(0))
        with pytest.raises(TimeoutError):
            await probe.reactor.limited(HOUR, lambda: asyncio.sleep(2 * HOUR))
        async with asyncio.timeout(3 * HOUR):
            await asyncio.gather(*(probe.reactor.sleep(number * HOUR) for number in range(3)))

    assert virtually(main()) == pytest.approx(6 * HOUR)


def test_python_awaitable_takes_no_time_on_virtual_time(probe, virtually):
    assert virtually(probe.calling(lambda: asyncio.sleep(HOUR))) == pytest.approx(HOUR)


def test_virtual_clock_waits_for_what_a_thread_may_wake(probe, virtually):
    async def woken_by_tokio():
        async with asyncio.timeout(60):
            assert await probe.in_tokio.sleeping(50, 7) == 7

    async def beside():
        # The sleep is the loop's own, but something else has the waker too. So it takes real time.
        began = time.monotonic()
        await probe.reactor.sleep_beside_a_thread(0.05)
        assert time.monotonic() >= began + 0.05

    virtually(woken_by_tokio())
    virtually(beside())
