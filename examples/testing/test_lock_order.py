"""Two transfers in opposite directions take the same two locks in opposite order, and wait for each other for ever.

In asyncio's own order the second begins when the first is over. `explore` finds the deadlock, and says who waits for
whom.
"""

import asyncio

import pytest

from ferrio import testing


async def transfer(first, second):
    async with first:
        await asyncio.sleep(0)  # checks the balance
        async with second:
            await asyncio.sleep(0)


async def ordered_transfer(first, second):
    await transfer(*sorted((first, second), key=id))


async def there_and_back(move):
    here, there = asyncio.Lock(), asyncio.Lock()

    async def back():
        for _ in range(6):
            await asyncio.sleep(0)  # waits for its approval
        await move(there, here)

    async with asyncio.TaskGroup() as group:
        group.create_task(move(here, there), name="there")
        group.create_task(back(), name="back")


async def broken():
    await there_and_back(transfer)


async def corrected():
    await there_and_back(ordered_transfer)


def test_asyncio_doesnt_show_it():
    asyncio.run(broken())


def test_the_bench_finds_it():
    with pytest.raises(testing.WaitsForever, match=r"A circle: task 'back' .* waits for task 'there'"):
        testing.explore(broken, runs=200)


def test_one_order_of_the_locks_is_enough():
    testing.explore(corrected, runs=200)
