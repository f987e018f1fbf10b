"""A process that runs programs for `compare.py`: reads a program a line, as JSON, and answers with its log.

A number stands for the program of that seed; the answer is a digest of its log and its length then. The answer is
`null` if the log depends on chance, or the program can't be loaded.
"""

import gc
import json
import sys

from tests.fuzz import programs, trace


def answer(implementation, request):
    source = programs.source(programs.program(request)) if isinstance(request, int) else request
    try:
        log = trace.log_of(implementation, source)
    except (NameError, SyntaxError):
        return None  # what a shortened program refers to is missing
    if implementation == "asyncio" and trace.log_of(implementation, source, turned=True) != log:
        return None
    return [trace.digest(log), len(log)] if isinstance(request, int) else log


if __name__ == "__main__":
    trace.load(sys.argv[1])
    gc.freeze()  # so that each program's garbage can be collected quickly
    for line in sys.stdin:
        print(json.dumps(answer(sys.argv[1], json.loads(line))), flush=True)
