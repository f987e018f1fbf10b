"""Fixtures of the unit tests: the implementation under test, and a way to run a coroutine on it."""

import asyncio

import pytest

import ferrio


@pytest.fixture(params=[asyncio, ferrio], ids=["asyncio", "ferrio"])
def aio(request):
    """The implementation under test: one body says what both do. See also `implementations.since`."""
    return request.param


@pytest.fixture
def loop(aio):
    """A new event loop of the implementation, closed after the test."""
    loop = aio.new_event_loop()
    yield loop
    loop.close()


@pytest.fixture
def run(loop):
    """A function that runs a coroutine to its end and returns the result; no `asyncio.run`, to test the loop alone."""
    return loop.run_until_complete


@pytest.fixture
def settled(loop):
    """Lets the transports that a test has closed tell their protocols, before the loop is closed."""
    yield
    for _ in range(4):
        loop.call_soon(loop.stop)
        loop.run_forever()
