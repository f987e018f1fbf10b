"""How the example tests run an example: as its reader would, `python -m ferrio FILE`, but on virtual time.

The output is compared whole, line by line: it is the example's contract, its order included. How long an
example takes isn't checked here: its own clock says so where it matters, and on virtual time that clock is
exact.
"""

import pathlib
import subprocess
import sys

import pytest

EXAMPLES = pathlib.Path(__file__).parents[2] / "examples"


@pytest.fixture
def run_example():
    """A function that runs an example by its name and returns what it printed, as text."""

    def run(name, *options):
        command = [sys.executable, "-m", "ferrio", "--virtual-time", *options, str(EXAMPLES / name)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        return done.stdout

    return run
