"""Callbacks alone: no task or future involved."""

from scenarios import scenario


@scenario("call_soon chain", n=200_000)
async def call_soon_chain(aio, n):
    """Each callback schedules the next: the cost of one turn with one ready callback."""
    loop = aio.get_running_loop()
    finished = loop.create_future()
    left = n

    def step():
        nonlocal left
        left -= 1
        if left:
            loop.call_soon(step)
        else:
            finished.set_result(None)

    loop.call_soon(step)
    await finished
    return n
