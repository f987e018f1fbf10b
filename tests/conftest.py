"""Fixtures and checks shared by all Python tests. A directory's own fixtures live in that directory.

The invariant: a test leaves nothing behind that the next one could see. No event loop stays set or running. Tests
that call `ferrio.install()` run their program in a child process, so the call doesn't reach other tests.
"""

import asyncio
import faulthandler
import gc

import pytest
from _pytest.faulthandler import fault_handler_stderr_fd_key
from tests.unit import panics  # noqa: F401 - before a test loads another extension made with PyO3

#: How many seconds a test may take to end after its time limit.
GRACE = 30


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    """Ends a pytest-xdist worker whose test hangs beyond its time limit; the test is named, and the others go on.

    Most tests end with the limit's exception, but not one that then waits for a thread of its own that never ends.
    """
    if not hasattr(item.config, "workerinput"):  # not a worker: somebody may be at a debugger's prompt
        return (yield)
    marker = item.get_closest_marker("timeout")
    limit = float(marker.args[0] if marker else item.config.getini("timeout"))
    # Not to the test's own error output, where nobody would see it.
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
    # Only the private getter neither raises nor warns.
    assert asyncio._get_running_loop() is None, "the test left an event loop running"


@pytest.fixture
def collected():
    """Returns a function that runs the garbage collector until it finds nothing: finalizers free in several rounds."""

    def collect() -> None:
        for _ in range(5):
            if gc.collect() == 0:
                break

    return collect
