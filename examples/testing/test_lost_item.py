"""A cancelled `wait_for` loses an item: the queue has handed it over, and nobody takes it.

asyncio had this fault until Python 3.12: `wait_for` ran its awaitable as a task of its own, and a cancellation could
come when that task was done. The function here has the same idea. `cancel_everywhere` cancels the program in each of
its waits, early and late, and looks afterwards whether the item is anywhere.
"""

import asyncio

import pytest

from ferrio import testing

put, handled = [], []
queue = asyncio.Queue()


async def old_wait_for(awaitable, timeout):
    task = asyncio.ensure_future(awaitable)
    try:
        done, _ = await asyncio.wait([task], timeout=timeout)
    except asyncio.CancelledError:
        task.cancel()  # which does nothing if it is done: its result is lost
        raise
    if not done:
        task.cancel()
        raise TimeoutError
    return task.result()


async def wait_for(awaitable, timeout):
    async with asyncio.timeout(timeout):
        return await awaitable


async def consume(wait):
    global queue
    queue = asyncio.Queue()
    put.clear()
    handled.clear()

    def produce():
        put.append("job")
        queue.put_nowait("job")

    asyncio.get_running_loop().call_later(1, produce)
    handled.append(await wait(queue.get(), 10))


async def broken():
    await consume(old_wait_for)


async def corrected():
    await consume(wait_for)


def check():
    """Each item was handled, or is still in the queue."""
    assert len(put) == len(handled) + queue.qsize(), "an item is lost"


def test_asyncio_doesnt_show_it():
    with testing.virtual_time():
        asyncio.run(broken())
    check()


def test_the_bench_finds_it():
    with pytest.raises(AssertionError, match="an item is lost"):
        testing.cancel_everywhere(broken, check)


def test_without_a_task_in_between_nothing_is_lost():
    testing.cancel_everywhere(corrected, check)
