"""A deposit is lost: two tasks read a balance, wait, and write what they have counted.

asyncio's own order never shows it, because the salary comes a little later. `explore` tries other orders.
"""

import asyncio

import pytest

from ferrio import testing


class Account:
    def __init__(self):
        self.balance = 0

    async def deposit(self, amount):
        balance = self.balance
        await asyncio.sleep(0)  # writes to the journal
        self.balance = balance + amount


class CorrectAccount(Account):
    def __init__(self):
        super().__init__()
        self.lock = asyncio.Lock()

    async def deposit(self, amount):
        async with self.lock:
            await super().deposit(amount)


async def two_deposits(account):
    async def salary():
        for _ in range(3):
            await asyncio.sleep(0)  # fetches the payslip
        await account.deposit(1000)

    async def refund():
        await account.deposit(5)

    await asyncio.gather(salary(), refund())
    assert account.balance == 1005


async def broken():
    await two_deposits(Account())


async def corrected():
    await two_deposits(CorrectAccount())


def test_asyncio_doesnt_show_it():
    asyncio.run(broken())


def test_the_bench_finds_it():
    with pytest.raises(AssertionError, match="== 1005"):
        testing.explore(broken, runs=100)


def test_with_a_lock_it_is_gone():
    testing.explore(corrected, runs=100)
