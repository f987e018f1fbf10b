"""A pending task that sleeps costs no more memory than on asyncio."""

import subprocess
import sys

from tests.repo.sources import ROOT

# RSS counts in pages and tables grow by doubling: two runs of one program differ by about a percent.
NOISE = 1.03


def bytes_per_task(implementation: str) -> float:
    """Returns what pending.py prints: the size of the coroutine, the task, its timer, and their table entries."""
    output = subprocess.run(
        [sys.executable, "-m", "tests.leaks.pending", implementation],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return float(output)


def test_pending_sleep_is_no_bigger_than_on_asyncio():
    assert bytes_per_task("ferrio") <= bytes_per_task("asyncio") * NOISE
