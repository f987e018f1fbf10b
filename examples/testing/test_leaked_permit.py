"""A permit of a semaphore is lost when its holder is cancelled: the `try` begins one line too late.

It takes a cancellation in just that line, as by a timeout or a client that goes away. `cancel_everywhere` cancels the
program in each of its waits.
"""

import asyncio

import pytest

from ferrio import testing

limit = asyncio.Semaphore(1)


async def fetch():
    await limit.acquire()
    await asyncio.sleep(0.1)  # connects
    try:
        await asyncio.sleep(1)  # downloads
    finally:
        limit.release()


async def fetch_correctly():
    async with limit:
        await asyncio.sleep(0.1)
        await asyncio.sleep(1)


async def run(fetch):
    global limit
    limit = asyncio.Semaphore(1)
    await fetch()


async def broken():
    await run(fetch)


async def corrected():
    await run(fetch_correctly)


def check():
    """Nobody holds the permit any more."""
    assert not limit.locked(), "the permit is lost"


def test_asyncio_doesnt_show_it():
    with testing.virtual_time():
        asyncio.run(broken())
    check()


def test_the_bench_finds_it():
    with pytest.raises(AssertionError, match="the permit is lost"):
        testing.cancel_everywhere(broken, check)


def test_with_async_with_none_is_lost():
    testing.cancel_everywhere(corrected, check)
