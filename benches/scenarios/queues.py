"""Queues between two tasks."""

from scenarios import scenario


@scenario("Queue ping-pong", n=20_000)
async def ping_pong(aio, n):
    """Two tasks, two queues, one item going back and forth; an operation is a round trip."""
    there, back = aio.Queue(), aio.Queue()

    async def echo():
        for _ in range(n):
            await back.put(await there.get())

    task = aio.create_task(echo())
    for number in range(n):
        await there.put(number)
        assert await back.get() == number
    await task
    return n


@scenario("Queue buffered", n=150_000)
async def buffered(aio, n):
    """A producer fills an unbounded queue, a consumer empties it, `join` waits for the last item."""
    queue = aio.Queue()
    total = 0

    async def consumer():
        nonlocal total
        while True:
            total += await queue.get()
            queue.task_done()

    task = aio.create_task(consumer())
    for number in range(n):
        await queue.put(number)
    await queue.join()
    task.cancel()
    assert total == n * (n - 1) // 2
    return n


@scenario("Queue bounded to 10", n=80_000)
async def bounded(aio, n):
    """The producer waits whenever ten items are in the queue, the consumer whenever it is empty."""
    queue = aio.Queue(maxsize=10)

    async def producer():
        for number in range(n):
            await queue.put(number)

    task = aio.create_task(producer())
    for number in range(n):
        assert await queue.get() == number
    await task
    return n
