"""A thousand loops made, used and closed leave nothing behind: no memory, no descriptor, no thread, no object."""

import json
import os
import subprocess
import sys

import pytest
from tests.repo.sources import ROOT


@pytest.fixture(scope="module")
def left_behind():
    """What loops.py reports, after it has run in a process of its own."""
    # One arena, so that which thread took memory from which one is no noise.
    environment = {**os.environ, "MALLOC_ARENA_MAX": "1"}
    output = subprocess.run(
        [sys.executable, "-m", "tests.leaks.loops", "ferrio"],
        cwd=ROOT,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return json.loads(output)


# The fixture does all the work, within the time of the first test that asks for it.
pytestmark = pytest.mark.timeout(180)


def test_memory_does_not_grow(left_behind):
    # A loop, a task, or the stack of a thread that stays is over a kilobyte; what is below is fragmentation.
    assert left_behind["bytes_per_loop"] < 512


def test_descriptors_are_closed(left_behind):
    assert left_behind["new_descriptors"] == []


def test_threads_end(left_behind):
    assert left_behind["new_threads"] == 0


def test_objects_are_freed(left_behind):
    assert left_behind["objects_per_loop"] < 0.1
