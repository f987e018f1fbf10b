"""The memory that a pending, sleeping task takes on each implementation.

This file holds the command; `worker.py` makes the tasks. Invariant: each figure comes from its own process, because a
later measurement would reuse the memory that an earlier one freed.
"""

import json
import sys
from pathlib import Path

import workers

DESCRIPTION = "Measure the bytes that a pending sleeping task takes on each implementation."
EPILOG = """\
resident   growth of the process, whoever allocated it; this is the figure that counts
traced     memory from Python's allocators (tracemalloc); an extension's own allocations aren't included
The first pair is a coroutine that awaits sleep(3600), the second is create_task(sleep(3600)) itself.
Target for ferrio: no more resident bytes than asyncio.
"""
KINDS = (("in a coroutine", True), ("sleep as the task", False))


def main() -> int:
    """Run the command; returns the exit status."""
    parser = workers.common_options(DESCRIPTION, EPILOG)
    parser.add_argument("--tasks", type=int, metavar="N", default=100_000, help="tasks (default: 100000)")
    parser.add_argument("--json", metavar="F", type=Path, help="write every figure to F")
    options = parser.parse_args()
    if options.tasks < 1:
        parser.error(f"--tasks: {options.tasks} tasks measure nothing; give 1 or more")
    names = workers.chosen_names(parser, options.impls, workers.python_version(options.python))
    # Start each one first, so that a missing one ends the program before the first figure.
    for worker in workers.start_workers(options.python, names, options.cpus).values():
        worker.stop()
    titles = [f"{unit}, {kind}" for kind, _ in KINDS for unit in ("resident", "traced")]
    print(f"{'bytes per task':<14}" + "".join(f"{title:>29}" for title in titles))
    figures = {}
    for name in names:
        figures[name] = [measure(options, name, wrapped, trace) for _, wrapped in KINDS for trace in (False, True)]
        cells = ["failed" if each is None else f"{each:.0f}" for each in figures[name]]
        print(f"{name:<14}" + "".join(f"{each:>29}" for each in cells), flush=True)
    if options.json:
        options.json.write_text(json.dumps({"columns": titles, "bytes": figures}, indent=1) + "\n")
    return 0


def measure(options, name: str, wrapped: bool, trace: bool) -> float | None:
    """Return the bytes per task, measured in a new process; None if that failed."""
    worker = workers.Worker(options.python, name, options.cpus)
    request = {"measure": "memory", "count": options.tasks, "wrapped": wrapped, "trace": trace}
    try:
        return worker.ask(request, 120)["bytes"] / options.tasks
    except workers.MeasureFailed as error:
        print(error, file=sys.stderr)
        return None
    finally:
        worker.stop()


if __name__ == "__main__":
    sys.exit(main())
