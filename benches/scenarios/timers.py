"""Timers: cancelled, slept through, and fired."""

from scenarios import scenario


@scenario("call_later + cancel", n=100_000, unit=1_000)
async def schedule_and_cancel(aio, n):
    """Timers cancelled before they are due, like those of idle connections; one turn per thousand."""
    loop = aio.get_running_loop()

    def late():
        raise AssertionError("a cancelled timer fired")

    for _ in range(n // 1_000):
        for _ in range(1_000):
            loop.call_later(60, late).cancel()
        await aio.sleep(0)
    return n


@scenario("100,000 sleepers", n=100_000, unit=1_000)
async def sleepers(aio, n):
    """n tasks sleep at once, 0.01 to 10 ms each, in no particular order."""

    async def sleeper(delay):
        await aio.sleep(delay)

    await aio.gather(*[sleeper((number * 7919 % 1000 + 1) * 1e-5) for number in range(n)])
    return n


@scenario("timers that fire, 1,000 at once", n=50_000, unit=1_000, judged="cpu")
async def fire_together(aio, n):
    """Rounds of a thousand callbacks due in a millisecond. Judged by CPU time, because every round waits."""
    loop = aio.get_running_loop()
    for _ in range(n // 1_000):
        finished = loop.create_future()
        left = 1_000

        def tick():
            nonlocal left
            left -= 1
            if not left:
                finished.set_result(None)  # noqa: B023 - the round is over before the name is bound again

        for _ in range(1_000):
            loop.call_later(0.001, tick)
        await finished
    return n


# Not judged: an implementation that rounds 0.1 ms to zero never waits, and looks cheapest.
@scenario("timers that fire, one by one", n=200, judged=None)
async def fire_in_turn(aio, n):
    """`call_later(0.0001)`, wait for it, again: wall time shows what the loop makes of 0.1 ms."""
    loop = aio.get_running_loop()
    for _ in range(n):
        finished = loop.create_future()
        loop.call_later(0.0001, finished.set_result, None)
        await finished
    return n
