"""A task that waits for a plain future."""

from scenarios import scenario


@scenario("future wake", n=60_000)
async def future_wake(aio, n):
    """A callback of the next turn sets the result; the waiting task wakes."""
    loop = aio.get_running_loop()
    for number in range(n):
        future = loop.create_future()
        loop.call_soon(future.set_result, number)
        assert await future == number
    return n
