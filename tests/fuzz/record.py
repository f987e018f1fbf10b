"""Writes digests of what programs do on this Python's asyncio: `python3.15 -m tests.fuzz.record`.

The seeds are the first ones, and those of programs that have differed once. Programs that depend on chance are left
out.
"""

import json
import pathlib

from tests.fuzz import programs, trace

# Seeds whose programs found something.
FOUND = (14, 35, 54, 62, 93, 97, 126, 151, 172)
SEEDS = sorted({*range(200), *FOUND})


def digests():
    """Yields each seed with the digest of its log."""
    for seed in SEEDS:
        source = programs.source(programs.program(seed))
        log = trace.log_of("asyncio", source)
        if trace.log_of("asyncio", source, turned=True) == log:
            yield str(seed), trace.digest(log)


if __name__ == "__main__":
    path = pathlib.Path(__file__).with_name("digests.json")
    path.write_text(json.dumps(dict(digests()), indent=0) + "\n")
