"""A process that runs programs for `compare.py`: reads a request a line, as JSON, and answers each with a line.

    python3.15 -m tests.fuzz.serve asyncio ferrio    # compares by itself
    python3.13 -m tests.fuzz.serve ferrio            # tells what ferrio does

`["seeds", first, last]` asks about the programs of these seeds. A process that has both implementations answers with
how many lines there were and the seeds that differ. One that has a single one answers with a digest and a length for
each seed. `["log", implementation, source, turned]` asks for the log of a program. The answer is `null` if the program
can't be loaded.
"""

import gc
import json
import sys

from tests.fuzz import programs, trace

WARM = range(20)  # seeds whose programs fill the caches of the standard library


def of_seeds(implementations, seeds):
    """Returns the lines and the seeds that differ, or digests."""
    lines, found = 0, []
    for seed in seeds:
        source = programs.source(programs.program(seed))
        code = trace.compiled(source)
        logs = [trace.log_of(implementation, code) for implementation in implementations]
        if len(logs) == 1:
            found.append([trace.digest(logs[0]), len(logs[0])])
            continue
        lines += len(logs[0])
        if json.dumps(logs[0]) != json.dumps(logs[1]) and trace.digest(logs[0]) != trace.digest(logs[1]):
            found.append(seed)
    return found if len(implementations) == 1 else [lines, found]


def log(implementation, source, turned):
    try:
        return trace.log_of(implementation, trace.compiled(source), turned)
    except (NameError, SyntaxError):
        return None  # what a shortened program refers to is missing


def answer(implementations, request):
    what, *arguments = request
    return of_seeds(implementations, range(*arguments)) if what == "seeds" else log(*arguments)


def main(implementations):
    for implementation in implementations:
        trace.load(implementation)
    sys.unraisablehook = lambda unraisable: None  # programs leave things behind that raise when they are closed
    of_seeds(implementations, WARM)
    gc.collect()
    gc.freeze()  # so that each program's garbage can be collected quickly
    for line in sys.stdin:
        print(json.dumps(answer(implementations, json.loads(line))), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
