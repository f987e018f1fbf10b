"""A pending task that sleeps costs no more memory than asyncio's."""

import subprocess
import sys

from tests.repo.sources import ROOT

# RSS counts pages and tables grow by doubling: two runs of one program differ by about a percent.
NOISE = 1.03


def bytes_per_task(implementation: str) -> float:
    """What pending.py prints for an implementation: the coroutine, the task, its timer, and their places in tables."""
    output = subprocess.run(
        [sys.executable, "-m", "tests.leaks.pending", implementation],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return float(output)


def test_a_pending_sleep_is_no_bigger_than_asyncios():
    assert bytes_per_task("ferrio") <= bytes_per_task("asyncio") * NOISE
