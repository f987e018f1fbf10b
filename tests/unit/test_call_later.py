"""`loop.call_later` and `call_at`: which time their handles tell."""

import math

import pytest


@pytest.mark.parametrize("delay", [-1, -0.5, 0, 0.25, 3600])
def test_a_handle_tells_the_time_that_was_asked_for(aio, delay):
    async def main():
        loop = aio.get_running_loop()
        before = loop.time()
        handle = loop.call_later(delay, int)
        after = loop.time()
        handle.cancel()
        # ferrio's clock counts whole nanoseconds.
        assert before + delay - 2e-9 <= handle.when() <= after + delay + 2e-9

    aio.run(main())


def test_a_delay_that_never_ends(aio):
    async def main():
        handle = aio.get_running_loop().call_later(math.inf, int)
        handle.cancel()
        assert handle.when() == math.inf

    aio.run(main())


def test_a_delay_below_zero_is_due_at_once(aio):
    async def main():
        loop, seen = aio.get_running_loop(), []
        loop.call_later(-5, seen.append, 1)
        loop.call_at(loop.time() - 5, seen.append, 2)
        await aio.sleep(0)
        await aio.sleep(0)
        return sorted(seen)

    assert aio.run(main()) == [1, 2]


def test_the_earlier_of_two_past_times_runs_first(aio):
    async def main():
        loop, seen = aio.get_running_loop(), []
        loop.call_later(0, seen.append, "now")
        loop.call_later(-1, seen.append, "a second ago")
        loop.call_at(loop.time() - 2, seen.append, "two seconds ago")
        await aio.sleep(0)
        await aio.sleep(0)
        return seen

    assert aio.run(main()) == ["two seconds ago", "a second ago", "now"]
