"""Loops with a clock of the program's own: a subclass's `time()`, or one assigned to a loop. One body on asyncio and on
ferrio; then with ferrio's virtual time.
"""

import asyncio

import pytest

import ferrio


@pytest.fixture
def base(aio):
    """The loop class to make subclasses of."""
    return asyncio.SelectorEventLoop if aio is asyncio else ferrio.EventLoop


async def turns():
    """Lets the loop turn without waiting."""
    for _ in range(4):
        await asyncio.sleep(0)


def test_timers_follow_an_assigned_clock(aio, loop, run):
    async def main():
        done = []
        in_two_hours = loop.time() + 7200
        soon, late = [loop.call_later(seconds, done.append, seconds) for seconds in (3600, 10_800)]
        loop.time = lambda: in_two_hours
        await turns()
        assert done == [3600]
        del loop.time
        assert loop.time() < in_two_hours
        again = loop.call_later(3600, done.append, "again")
        await turns()
        assert done == [3600]
        for timer in (soon, late, again):
            timer.cancel()

    run(main())


def test_earlier_waits_follow_an_assigned_clock(aio, loop, run):
    async def limited():
        async with aio.timeout(3600):
            await aio.Future()

    async def main():
        tasks = [aio.create_task(aio.wait_for(aio.Future(), 3600)), aio.create_task(limited())]
        sleeping = aio.create_task(aio.sleep(3600))
        await turns()
        in_two_hours = loop.time() + 7200
        loop.time = lambda: in_two_hours
        ended = await aio.gather(*tasks, return_exceptions=True)
        assert [type(failure) for failure in ended] == [TimeoutError, TimeoutError]
        await sleeping
        del loop.time

    run(main())


def test_clock_that_is_moved_by_hand(aio, base):
    class Clocked(base):
        now = 100.0

        def time(self):
            return self.now

    async def sleeper():
        await aio.sleep(0.3)
        done.append("slept")

    async def limited():
        with pytest.raises(TimeoutError):
            async with aio.timeout(0.3):
                await aio.Future()
        done.append("timed out")

    async def main():
        tasks = [aio.create_task(sleeper()), aio.create_task(limited())]
        loop.call_later(0.3, done.append, "called")
        loop.call_at(100.30001, done.append, "called at a time")
        await turns()
        # As floats, 100.1 and 0.2 don't quite add up to 100.3.
        for step in (0.1, 0.1):
            loop.now += step
            await turns()
            assert done == []
        loop.now += 0.1
        await aio.gather(*tasks)
        assert sorted(done) == ["called", "slept", "timed out"]
        loop.now = 100.4
        await turns()
        assert done[-1] == "called at a time"

    done = []
    loop = Clocked()
    try:
        loop.run_until_complete(main())
    finally:
        loop.close()


def test_clock_that_runs_ahead(aio, base):
    class Ahead(base):
        def time(self):
            return super().time() + 1000

    async def main():
        began = loop.time()
        await aio.sleep(0.001)
        when = loop.create_future()
        loop.call_later(0.001, lambda: when.set_result(loop.time()))
        with pytest.raises(TimeoutError):
            await aio.wait_for(aio.Future(), 0.001)
        assert await when - began >= 0.002 - 2e-9

    loop = Ahead()
    try:
        loop.run_until_complete(main())
    finally:
        loop.close()


def test_clock_that_raises_ends_the_run(aio, loop):
    def fail():
        raise ZeroDivisionError("no time")

    loop.call_soon(loop.stop)
    loop.time = fail
    with pytest.raises(ZeroDivisionError, match="no time"):
        loop.run_forever()
    del loop.time
    loop.run_forever()


def test_other_replaced_methods_stay_when_the_clock_is_restored(aio, loop, run):
    calls = []

    def call_soon(callback, *args, context=None):
        calls.append(callback)
        return type(loop).call_soon(loop, callback, *args, context=context)

    loop.call_soon = call_soon
    loop.time = lambda: 0.0
    del loop.time
    future = loop.create_future()
    future.add_done_callback(calls.append)
    future.set_result(None)
    assert calls == [calls.append]
    del loop.call_soon
    run(asyncio.sleep(0))


def test_clock_on_top_of_a_virtual_one():
    class Ahead(ferrio.EventLoop):
        def time(self):
            return super().time() + 1000

    async def main():
        began = loop.time()
        await ferrio.sleep(3600)
        assert loop.time() - began == pytest.approx(3600)
        with pytest.raises(TimeoutError):
            await ferrio.wait_for(ferrio.Future(), 3600)
        assert loop.time() - began == pytest.approx(7200)

    loop = Ahead(virtual_time=True)
    try:
        loop.run_until_complete(main())
    finally:
        loop.close()


def test_clock_that_returns_nan():
    # Everything is due then, as on asyncio where it doesn't fail.
    loop = ferrio.new_event_loop()
    loop.time = lambda: float("nan")
    loop.call_at(1e12, loop.stop)
    loop.run_forever()
    loop.close()
