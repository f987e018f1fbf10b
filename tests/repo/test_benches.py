"""The benchmark commands start. `make bench` measures; here we only check that the commands run at all.

A command is a file in `benches` with an argument parser. It imports all its modules before it prints its help.
"""

import subprocess
import sys

import pytest
from tests.repo.sources import ROOT

COMMANDS = [
    path.relative_to(ROOT) for path in sorted((ROOT / "benches").rglob("*.py")) if "parse_args(" in path.read_text()
]


def test_there_are_commands():
    assert {"benches/run.py", "benches/net/run.py"} <= {str(path) for path in COMMANDS}


@pytest.mark.parametrize("command", COMMANDS, ids=str)
def test_command_starts(command):
    outcome = subprocess.run([sys.executable, ROOT / command, "--help"], capture_output=True, text=True, check=False)
    assert outcome.returncode == 0, outcome.stderr
    assert outcome.stdout.startswith("usage: ")
