"""Runs an example the way its reader would, with `python -m ferrio FILE`, but on virtual time.

The whole output is compared, line by line: the text and its order are the example's contract. How long an example
takes isn't checked here. Where that matters the example's own clock says so, and on virtual time that clock is exact.
"""

import pathlib
import subprocess
import sys

import pytest

EXAMPLES = pathlib.Path(__file__).parents[2] / "examples"


@pytest.fixture
def run_example():
    """Returns a function that runs an example by name and returns what it printed, as text."""

    def run(name, *options):
        command = [sys.executable, "-m", "ferrio", "--virtual-time", *options, str(EXAMPLES / name)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        return done.stdout

    return run
