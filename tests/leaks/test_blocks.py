"""Operations leave nothing in Python's allocator, not even objects that the garbage collector doesn't know."""

import json
import subprocess
import sys

import pytest
from tests.repo.sources import ROOT


@pytest.fixture(scope="module")
def left():
    """Returns what blocks.py reports after running in its own process."""
    command = [sys.executable, "-m", "tests.leaks.blocks"]
    return json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout)


@pytest.mark.parametrize(
    "operation",
    ["streams", "TLS", "a file in pieces", "a file by TLS", "sock_sendall", "sock_sendfile", "a name"],
)
def test_nothing_is_left(left, operation):
    # A leak is at least one block each time; caches and spare objects settle.
    assert left[operation] < 0.5
