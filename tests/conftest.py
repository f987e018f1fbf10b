"""Fixtures and checks common to all Python tests. Fixtures of one directory live in that directory.

The invariant: a test leaves nothing behind that the next one could see. No event loop stays set or running, and
`ferrio.install()` of one test does not reach another (such tests run their program in a child process).
"""

import asyncio
import gc

import pytest


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
