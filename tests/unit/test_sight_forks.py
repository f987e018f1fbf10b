"""Forks in the middle of something that `ferrio.sight` does in another thread."""

import signal
import sys
import threading

import pytest
from tests.unit.implementations import in_a_fork

from ferrio import sight
from ferrio.sight import ledger


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_fork_while_another_thread_turns_metering_on():
    """The child has the lock, and not the thread that would release it."""
    held, forked = threading.Event(), threading.Event()

    def hold():
        with sys.modules["ferrio.sight.metrics"]._lock, ledger._lock:  # the function has the module's name
            held.set()
            assert forked.wait(30)

    def child():
        signal.alarm(30)  # ends a child that hangs
        with sight.meter():
            sight.all_metrics()

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(30)
    try:
        in_a_fork(child)
    finally:
        forked.set()
        thread.join()
