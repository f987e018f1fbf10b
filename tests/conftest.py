"""Fixtures and checks common to all Python tests. Fixtures of one directory live in that directory.

The invariant: a test leaves nothing behind that the next one could see. No event loop stays set or running, and
`ferrio.install()` of one test does not reach another (such tests run their program in a child process).
"""

import asyncio
import faulthandler
import gc

import pytest
from _pytest.faulthandler import fault_handler_stderr_fd_key

#: For how long, in seconds, a test whose time is over may take to end.
GRACE = 30


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    """Ends a worker of pytest-xdist whose test hangs beyond its limit of time; the test is named, and others go on.

    The limit's exception ends most, but not a test that then waits for a thread of its own, which never ends.
    """
    if not hasattr(item.config, "workerinput"):  # no worker: somebody may be at a debugger's prompt
        return (yield)
    marker = item.get_closest_marker("timeout")
    limit = float(marker.args[0] if marker else item.config.getini("timeout"))
    # Not where a test's own error output goes, which nobody would see.
    stderr = item.config.stash.get(fault_handler_stderr_fd_key, 2)
    faulthandler.dump_traceback_later(limit + GRACE, exit=True, file=stderr)
    try:
        return (yield)
    finally:
        faulthandler.cancel_dump_traceback_later()


@pytest.fixture(autouse=True)
def no_running_loop_is_left_behind():
    """Fails a test that ends with a loop still marked as running in this thread."""
    yield
    # The private getter is the only one that neither raises nor warns.
    assert asyncio._get_running_loop() is None, "the test left an event loop running"


@pytest.fixture
def collected():
    """A function that runs the garbage collector until it finds nothing more: finalizers free in several rounds."""

    def collect() -> None:
        for _ in range(5):
            if gc.collect() == 0:
                break

    return collect
