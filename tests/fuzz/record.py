"""Writes digests of what programs do on this Python's asyncio: `python3.15 -m tests.fuzz.record`.

Programs that depend on chance are left out.
"""

import json
import pathlib

from tests.fuzz import programs, trace

SEEDS = range(300)


def digests():
    """Yields each seed with the digest of its log."""
    for seed in SEEDS:
        code = trace.compiled(programs.source(programs.program(seed)))
        log = trace.log_of("asyncio", code)
        if trace.log_of("asyncio", code, turned=True) == log:
            yield str(seed), trace.digest(log)


if __name__ == "__main__":
    path = pathlib.Path(__file__).with_name("digests.json")
    path.write_text(json.dumps(dict(digests()), indent=0) + "\n")
