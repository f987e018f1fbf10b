"""Locks, semaphores and events."""

from scenarios import scenario


@scenario("Lock, free", n=200_000)
async def lock_free(aio, n):
    """`async with` on a lock that nobody holds."""
    lock = aio.Lock()
    for _ in range(n):
        async with lock:
            pass
    return n


@scenario("Lock, contended", n=40_000)
async def lock_contended(aio, n):
    """Ten tasks want the lock; the task that has it yields while holding it."""
    lock = aio.Lock()

    async def worker():
        for _ in range(n // 10):
            async with lock:
                await aio.sleep(0)

    await aio.gather(*[worker() for _ in range(10)])
    return n


@scenario("Semaphore, free", n=200_000)
async def semaphore_free(aio, n):
    """`async with` on a semaphore with a permit left."""
    semaphore = aio.Semaphore(10)
    for _ in range(n):
        async with semaphore:
            pass
    return n


@scenario("Semaphore, contended", n=50_000)
async def semaphore_contended(aio, n):
    """A hundred tasks share ten permits; a task that has one yields while holding it."""
    semaphore = aio.Semaphore(10)

    async def worker():
        for _ in range(n // 100):
            async with semaphore:
                await aio.sleep(0)

    await aio.gather(*[worker() for _ in range(100)])
    return n


@scenario("Event, 1,000 waiters", n=100_000, unit=1_000)
async def event_fan_out(aio, n):
    """Each event wakes a thousand tasks, which then wait for the next one; an operation is a wake-up."""
    events = [aio.Event() for _ in range(n // 1_000)]

    async def waiter():
        for event in events:
            await event.wait()

    waiters = [aio.create_task(waiter()) for _ in range(1_000)]
    await aio.sleep(0)
    for event in events:
        event.set()
        await aio.sleep(0)
    await aio.gather(*waiters)
    return n
