"""Fixtures of the unit tests: the implementation under test, what runs a coroutine on it, what several files need."""

import asyncio
import concurrent.futures
import socket

import pytest

import ferrio


@pytest.fixture(params=[asyncio, ferrio], ids=["asyncio", "ferrio"])
def aio(request):
    """The implementation under test: one body says what both do. See also `implementations.since`."""
    return request.param


@pytest.fixture(params=[concurrent.futures.ThreadPoolExecutor, ferrio.ThreadPool], ids=["standard", "ferrio"])
def pool_class(request):
    """A thread pool as `concurrent.futures` has it."""
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


@pytest.fixture
def pair():
    """Two connected non-blocking sockets."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    with ours, theirs:
        yield ours, theirs
