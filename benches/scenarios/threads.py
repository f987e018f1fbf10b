"""Work handed to threads, and callbacks handed over by a thread."""

import threading

from scenarios import scenario


def double(number):
    """A blocking call that costs nothing, so the row shows the cost of the round trip."""
    return 2 * number


@scenario("to_thread, one by one", n=4_000)
async def to_thread_in_turn(aio, n):
    """Each call is awaited before the next is made."""
    for number in range(n):
        assert await aio.to_thread(double, number) == 2 * number
    return n


@scenario("to_thread, 20,000 at once", n=20_000)
async def to_thread_at_once(aio, n):
    """All calls are made before the first is awaited."""
    results = await aio.gather(*[aio.to_thread(double, number) for number in range(n)])
    assert results[-1] == 2 * (n - 1)
    return n


@scenario("call_soon_threadsafe", n=100_000)
async def post_from_a_thread(aio, n):
    """A thread posts bursts of a hundred callbacks and waits after each until the loop has run it."""
    loop = aio.get_running_loop()
    finished = loop.create_future()
    burst_done = threading.Event()
    ran = 0

    def callback():
        nonlocal ran
        ran += 1

    def poster():
        for _ in range(n // 100):
            for _ in range(100):
                loop.call_soon_threadsafe(callback)
            loop.call_soon_threadsafe(burst_done.set)
            burst_done.wait()
            burst_done.clear()
        loop.call_soon_threadsafe(finished.set_result, None)

    thread = threading.Thread(target=poster)
    thread.start()
    await finished
    thread.join()
    assert ran == n
    return n
