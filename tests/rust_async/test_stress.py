"""The storm of stress.py, on each loop, and processes that end in the middle of it.

`FERRIO_STRESS=1000000` makes so many completions, `FERRIO_STRESS_EXITS=200` so many processes, on each loop.
"""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

COMPLETIONS = int(os.environ.get("FERRIO_STRESS", "20000"))
EXITS = int(os.environ.get("FERRIO_STRESS_EXITS", "6"))
PROGRAM = Path(__file__).with_name("stress.py")
LOOPS = [name for name in ("ferrio", "asyncio", "uvloop") if importlib.util.find_spec(name)]


def run(*arguments, timeout):
    command = [sys.executable, PROGRAM, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout)


@pytest.mark.timeout(60 + COMPLETIONS / 500)
@pytest.mark.parametrize("loop", LOOPS)
def test_nothing_is_lost_and_nothing_leaks(loop):
    done = run(loop, COMPLETIONS, timeout=50 + COMPLETIONS / 500)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.timeout(60 + EXITS * 10)
@pytest.mark.parametrize("loop", LOOPS)
def test_the_interpreter_may_end_at_any_moment(loop):
    for seed in range(EXITS):
        done = run(loop, 0, seed, "--exit", timeout=60)
        assert done.returncode == 0, (seed, done)
        assert "panicked" not in done.stderr, (seed, done.stderr)
