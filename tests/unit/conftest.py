"""Fixtures of the unit tests: the implementation under test, how to run a coroutine on it, and shared helpers."""

import asyncio
import concurrent.futures
import socket

import pytest
from tests.unit import c_extension

import ferrio


@pytest.fixture(params=[asyncio, ferrio], ids=["asyncio", "ferrio"])
def aio(request):
    """The implementation under test: the same body runs on each. See also `implementations.since`."""
    return request.param


@pytest.fixture(params=[concurrent.futures.ThreadPoolExecutor, ferrio.ThreadPool], ids=["standard", "ferrio"])
def pool_class(request):
    """A thread pool class that behaves like that of `concurrent.futures`."""
    return request.param


@pytest.fixture
def loop(aio):
    """A new event loop of the implementation, closed after the test."""
    loop = aio.new_event_loop()
    yield loop
    loop.close()


@pytest.fixture
def run(loop):
    """Runs a coroutine to its end and returns the result; without `asyncio.run`, to test only the loop."""
    return loop.run_until_complete


@pytest.fixture
def virtually():
    """Runs a coroutine on a ferrio loop with a virtual clock."""
    loop = ferrio.EventLoop(virtual_time=True)
    yield loop.run_until_complete
    loop.close()


@pytest.fixture
def problems(loop):
    """Records what the loop's exception handler is told."""
    told = []
    loop.set_exception_handler(lambda _, context: told.append(context))
    return told


@pytest.fixture
def settled(loop):
    """Lets transports that a test has closed notify their protocols before the loop is closed."""
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


@pytest.fixture(scope="session")
def ext_directory(tmp_path_factory):
    """Where the extension module in C is."""
    where = tmp_path_factory.mktemp("c_interface")
    c_extension.build(where)
    return where


@pytest.fixture(scope="session")
def ext_module(ext_directory):
    """The extension module in C."""
    return c_extension.load(ext_directory)


@pytest.fixture
def ext(ext_module):
    """The extension module in C; at the end of a test nothing that it made is alive."""
    yield from c_extension.checked(ext_module)
