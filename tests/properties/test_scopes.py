"""Timeouts, task groups and cancellations do what the newest asyncio does, in the same order, on random programs.

What asyncio does was written down by `scopes.py`, whose head says how, and how to look at a program that differs.
"""

import json
import pathlib

import pytest
from tests.properties.scopes import SEEDS, digest, log_of

DIGESTS = json.loads(pathlib.Path(__file__).with_name("scopes_of_asyncio.json").read_text())


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
def test_random_programs_run_as_on_the_newest_asyncio():
    differing = [seed for seed in SEEDS if digest(log_of("ferrio", seed)) != DIGESTS[str(seed)]]
    assert differing == [], "compare the logs: python -m tests.properties.scopes asyncio|ferrio SEED"


def test_the_programs_say_something():
    """The digests are not those of empty logs."""
    logs = [log_of("ferrio", seed) for seed in range(50)]
    assert sum(map(len, logs)) > 1000
    words = {word for log in logs for line in log for word in line if isinstance(word, str)}
    assert words >= {"timeout raises", "wait_for raises", "group raises", "caught"}
