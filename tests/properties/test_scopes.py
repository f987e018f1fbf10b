"""On random programs, timeouts, task groups and cancellations do what the newest asyncio does, in the same order.

`scopes.py` wrote down what asyncio does. Its head says how, and how to look at a program that differs.
"""

import json
import pathlib

from tests.properties.scopes import SEEDS, digest, log_of

DIGESTS = json.loads(pathlib.Path(__file__).with_name("scopes_of_asyncio.json").read_text())


def test_random_programs_run_as_on_the_newest_asyncio():
    differing = [seed for seed in SEEDS if digest(log_of("ferrio", seed)) != DIGESTS[str(seed)]]
    assert differing == [], "compare the logs: python -m tests.properties.scopes asyncio|ferrio SEED"


def test_programs_leave_long_logs():
    """The digests aren't those of empty logs."""
    logs = [log_of("ferrio", seed) for seed in range(50)]
    assert sum(map(len, logs)) > 1000
    words = {word for log in logs for line in log for word in line if isinstance(word, str)}
    assert words >= {"timeout raises", "wait_for raises", "group raises", "caught"}
