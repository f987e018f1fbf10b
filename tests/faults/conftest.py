"""Fixtures of the tests that make things fail or interrupt them."""

import signal

import pytest


@pytest.fixture
def python_handles_interrupts():
    """Lets Python handle SIGINT in its default way; pytest's workers may ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
