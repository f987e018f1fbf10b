"""A test suite that uses asyncio in every way that pytest supports. test_integrations.py copies and runs it."""

import asyncio
import os
import unittest
from asyncio import Queue

import pytest

LOOP = os.environ["EXPECTED_LOOP"]
NAMES = os.environ["EXPECTED_NAMES"]


def check():
    """Fails unless the loop and the names are as expected."""
    assert type(asyncio.get_running_loop()).__module__.partition(".")[0] == LOOP
    assert asyncio.Task.__module__.strip("_") == NAMES
    assert Queue.__module__.partition(".")[0] == NAMES


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.mark.asyncio
async def test_of_pytest_asyncio():
    check()


@pytest.mark.anyio
async def test_of_anyio():
    check()


def test_that_runs_a_loop():
    async def main():
        check()

    asyncio.run(main())


class Case(unittest.IsolatedAsyncioTestCase):
    async def test_of_unittest(self):
        check()
