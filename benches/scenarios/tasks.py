"""Tasks that take turns, and tasks that are created and awaited one after the other."""

import socket

from scenarios import scenario


@scenario("sleep(0), 1 task", n=100_000)
async def switch_alone(aio, n):
    """One task yields to nobody: each switch is a turn of the loop."""
    for _ in range(n):
        await aio.sleep(0)
    return n


@scenario("sleep(0), 1 task, 1 reader", n=100_000)
async def switch_beside_a_descriptor(aio, n):
    """As above, with an idle descriptor that the loop polls in each turn."""
    loop = aio.get_running_loop()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        loop.add_reader(ours.fileno(), ours.recv, 1)
        try:
            for _ in range(n):
                await aio.sleep(0)
        finally:
            loop.remove_reader(ours.fileno())
    return n


@scenario("sleep(0), 100 tasks", n=200_000)
async def switch_among_100(aio, n):
    """A hundred tasks take turns: a step of a task, with the cost of a turn shared."""

    async def worker():
        for _ in range(n // 100):
            await aio.sleep(0)

    await aio.gather(*[worker() for _ in range(100)])
    return n


@scenario("create and await a task", n=30_000)
async def create_and_await(aio, n):
    """A task that returns at once, awaited by the task that created it."""

    async def child(number):
        return number

    total = 0
    for number in range(n):
        total += await aio.create_task(child(number))
    assert total == n * (n - 1) // 2
    return n
