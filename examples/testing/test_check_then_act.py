"""A worker looks whether a queue has something, waits, and takes it without waiting: by then another one may have it.

Asking first is harmless only as long as nothing is awaited in between. `explore` finds the order in which it isn't.
"""

import asyncio

import pytest

from ferrio import testing


async def take_if_any(queue, done):
    if not queue.empty():
        await asyncio.sleep(0)  # asks a rate limiter
        done.append(queue.get_nowait())


async def take_if_any_correctly(queue, done):
    try:
        item = queue.get_nowait()
    except asyncio.QueueEmpty:
        return
    await asyncio.sleep(0)
    done.append(item)


async def two_workers(take):
    queue, done = asyncio.Queue(), []
    queue.put_nowait("the only job")

    async def late():
        for _ in range(3):
            await asyncio.sleep(0)  # logs in
        await take(queue, done)

    await asyncio.gather(take(queue, done), late())
    assert done == ["the only job"]


async def broken():
    await two_workers(take_if_any)


async def corrected():
    await two_workers(take_if_any_correctly)


def test_asyncio_doesnt_show_it():
    asyncio.run(broken())


def test_the_bench_finds_it():
    with pytest.raises(asyncio.QueueEmpty):
        testing.explore(broken, runs=100)


def test_whoever_takes_at_once_is_safe():
    testing.explore(corrected, runs=100)
