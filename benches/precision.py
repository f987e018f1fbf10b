"""How late `sleep` returns, and whether it ever returns early, on each implementation.

This file holds the command; `worker.py` does the sleeping. Rounds are interleaved as in `run.py`. Invariant: lateness
is measured from before the call of `sleep` to after it, by the monotonic clock. A negative figure means early.
"""

import json
import statistics
import sys
from pathlib import Path

import workers

DESCRIPTION = "Measure how late sleep(d) returns, and how often early, on each implementation."
EPILOG = """\
The last column of each row counts sleeps that returned too early. Targets for both of ferrio's columns: never
early, and less than 100 us late on average for the first two delays.
"""
DELAYS = (0.0002, 0.0013, 0.0105)
JUDGED_DELAYS = DELAYS[:2]
LATE_TARGET_NS = 100_000
ROUNDS = 5


def main() -> int:
    """Run the command; returns the exit status."""
    parser = workers.common_options(DESCRIPTION, EPILOG)
    parser.add_argument("--sleeps", type=int, metavar="N", default=200, help="sleeps per delay (default: 200)")
    parser.add_argument("--json", metavar="F", type=Path, help="write every figure to F")
    options = parser.parse_args()
    if options.sleeps < ROUNDS:
        parser.error(f"--sleeps: {options.sleeps} is too few, give {ROUNDS} or more")
    names = workers.chosen_names(parser, options.impls, workers.python_version(options.python))
    pool = workers.start_workers(options.python, names, options.cpus)
    workers.leave_cpus(options.cpus)
    figures = {}
    print(f"{'':<18}{'':<12}{'mean late':>12}{'median':>12}{'worst':>12}{'early':>12}")
    try:
        for delay in DELAYS:
            figures[str(delay)] = measure(pool, delay, options.sleeps // ROUNDS)
            for name, late in figures[str(delay)].items():
                print(line(delay, name, late), flush=True)
    finally:
        for worker in pool.values():
            worker.stop()
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")
    return 0


def measure(pool: dict[str, workers.Worker], delay: float, count: int) -> dict[str, list[int]]:
    """Return for each implementation how late each sleep was, in nanoseconds; empty if it failed."""
    late: dict[str, list[int]] = {name: [] for name in pool}
    for _ in range(ROUNDS):
        for name, worker in pool.items():
            try:
                reply = worker.ask({"measure": "sleep", "delay": delay, "count": count}, 60)
            except workers.MeasureFailed as error:
                print(error, file=sys.stderr)
                continue
            late[name] += reply["late_ns"]
    return late


def line(delay: float, name: str, late: list[int]) -> str:
    """Return the row of one implementation; `!` marks a target that one of ours misses."""
    title = f"{f'sleep({delay})':<18}{name:<12}"
    if not late:
        return f"{title}{'failed':>12}"
    mean, early = statistics.fmean(late), sum(each < 0 for each in late)
    figures = [f"{each / 1000:.0f} us" for each in (mean, statistics.median(late), max(late))]
    judged = name.startswith("ferrio")
    missed = judged and (early or (delay in JUDGED_DELAYS and mean >= LATE_TARGET_NS))
    cells = "".join(f"{each:>12}" for each in [*figures, f"{early}/{len(late)}"])
    return title + cells + (" !" if missed else "")


if __name__ == "__main__":
    sys.exit(main())
