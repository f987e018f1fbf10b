"""Limits on waiting: wait_for and timeout, none of which expires."""

from scenarios import scenario


@scenario("wait_for, done at once", n=60_000)
async def wait_for_coroutine(aio, n):
    """A coroutine that returns without waiting."""

    async def child(number):
        return number

    for number in range(n):
        assert await aio.wait_for(child(number), 10) == number
    return n


@scenario("wait_for, pending future", n=40_000)
async def wait_for_future(aio, n):
    """A future that a callback of the next turn sets."""
    loop = aio.get_running_loop()
    for number in range(n):
        future = loop.create_future()
        loop.call_soon(future.set_result, number)
        assert await aio.wait_for(future, 10) == number
    return n


@scenario("timeout()", n=40_000)
async def timeout(aio, n):
    """`async with timeout(10)` around one switch."""
    for _ in range(n):
        async with aio.timeout(10):
            await aio.sleep(0)
    return n
