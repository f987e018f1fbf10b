"""A thousand loops that are made, used and closed leave nothing behind: no memory, descriptor, thread or object."""

import json
import os
import subprocess
import sys

import pytest
from tests.repo.sources import ROOT


@pytest.fixture(scope="module")
def left_behind():
    """Returns what loops.py reports after running in its own process."""
    # One arena, so that it makes no difference which thread allocates.
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


# The fixture does all the work, within the time limit of the first test that asks for it.
pytestmark = pytest.mark.timeout(180)


def test_memory_does_not_grow(left_behind):
    # A leaked loop, task or thread stack is over a kilobyte; anything below is fragmentation.
    assert left_behind["bytes_per_loop"] < 512


def test_descriptors_are_closed(left_behind):
    assert left_behind["new_descriptors"] == []


def test_threads_end(left_behind):
    assert left_behind["new_threads"] == 0


def test_objects_are_freed(left_behind):
    assert left_behind["objects_per_loop"] < 0.1
