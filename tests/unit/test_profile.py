"""What a profiler reports about a loop: idle time belongs to the wait, not to whatever ran or closed the loop."""

import cProfile
import pstats
import sys

import pytest

import ferrio

IDLE = 0.3


async def work():
    for _ in range(50):
        await ferrio.sleep(0)


async def main():
    await ferrio.sleep(IDLE)
    await ferrio.gather(work(), work())
    return 42


def times(profile):
    """Returns the time spent in each function itself, by name."""
    return {name: spent[2] for (_, _, name), spent in pstats.Stats(profile).stats.items()}


def waits_of(profile):
    return sum(spent for name, spent in times(profile).items() if "'poll'" in name)


def test_idle_time_belongs_to_the_wait():
    with cProfile.Profile() as profile:
        ferrio.run(main())
    spent = times(profile)
    assert waits_of(profile) > IDLE * 0.9
    assert all(time < IDLE * 0.9 for name, time in spent.items() if "'poll'" not in name)


def test_profiler_may_start_and_stop_inside_the_loop():
    async def outer():
        with cProfile.Profile() as profile:
            assert await main() == 42
        return profile

    assert waits_of(ferrio.run(outer())) > IDLE * 0.9


def test_profile_function_is_told_of_the_wait():
    seen = []

    async def profiled():
        sys.setprofile(lambda frame, event, argument: seen.append((event, getattr(argument, "__name__", None))))
        try:
            await ferrio.sleep(0.05)
        finally:
            sys.setprofile(None)

    ferrio.run(profiled())
    assert ("c_call", "poll") in seen
    assert ("c_return", "poll") in seen


def test_interrupt_ends_the_wait():
    async def interrupted():
        import os
        import signal
        import threading

        timer = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT))
        timer.start()
        await ferrio.sleep(60)

    with cProfile.Profile(), pytest.raises(KeyboardInterrupt):
        ferrio.run(interrupted())
