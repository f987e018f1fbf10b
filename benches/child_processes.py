"""Compare the cost of child processes on ferrio, asyncio and other loops, in one interleaved run.

It prints two tables. The first: wall and CPU time of starting children, waiting for them, and sending 4 MiB through
one. The second: how long a loop stands still while it starts a child, from a small program and from one with much
memory, and how long the start takes. There ferrio has two more rows: `Popen` starts the child (`FERRIO_SPAWN=popen`),
and `os.posix_spawn` does, called in the loop's thread. The scenarios are in `scenarios/children.py`, the processes in
`worker.py` and `workers.py`.

Invariant: as in `run.py`, the implementations of a row run one right after the other, in new processes each round.
"""

import os
import statistics
import sys

import report
import scenarios
import workers

DESCRIPTION = "Compare child processes on ferrio, asyncio and other event loops, interleaved."
EPILOG = """\
figures   best/median of the rounds; "x" is the best figure divided by the best of the others; CPU time is that of
          the program that starts the children, not theirs
stood still  the longest time that the loop stood still during a start: median of the starts, and the longest of all
"""
LIMIT = 120.0
STARTS = 20
TARGETS = {"start and wait, one by one": 0.7, "start and wait, 20 at a time": 0.7, "4 MiB through cat": 0.8}
"""What "x" should be at most."""


def main() -> int:
    """Run the command; returns the exit status."""
    parser = workers.common_options(DESCRIPTION, EPILOG)
    parser.add_argument("--rounds", type=int, metavar="N", default=5, help="rounds (default: %(default)s)")
    parser.add_argument("--memory", type=int, metavar="MIB", default=4096, help="of the large program (%(default)s)")
    parser.add_argument("--quick", action="store_true", help="a tenth of the work; the figures mean little")
    options = parser.parse_args()
    names = workers.chosen_names(parser, options.impls, workers.python_version(options.python))
    rows = scenarios.load(("children",))
    blocks = [
        (0, False, "small program"),
        (options.memory, False, f"{options.memory} MiB"),
        (options.memory, True, f"{options.memory} MiB, user="),
    ]
    times: dict = {}
    stops: dict = {}
    share = 0.1 if options.quick else 1.0
    for turn in range(options.rounds):
        pool = workers.start_workers(options.python, names, options.cpus)
        try:
            for row in rows:
                for name, worker in pool.items():
                    measure(worker, row, row.count(share * 0.1))
                    times.setdefault((row.name, name), []).append(measure(worker, row, row.count(share)))
            for memory, user, title in blocks:
                for name, way, label in ways(names):
                    request = {"measure": "block", "memory": memory, "user": user, "starts": STARTS, "way": way}
                    if user and way == "posix_spawn":
                        continue  # it can't change the user
                    try:
                        stops.setdefault((title, label), []).append(pool[name].ask(request, LIMIT))
                    except workers.MeasureFailed as error:
                        # uvloop doesn't know `user`.
                        print(str(error).splitlines()[-1], file=sys.stderr)
        finally:
            for worker in pool.values():
                worker.stop()
        print(f"round {turn + 1} of {options.rounds}", file=sys.stderr, flush=True)
    print(f"Python {options.python}, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}")
    show_times([row.name for row in rows], names, times)
    show_stops([title for _, _, title in blocks], [label for _, _, label in ways(names)], stops)
    return 0


def ways(names: list[str]) -> list[tuple[str, str, str]]:
    """The rows of the second table: implementation, who starts the child, label."""
    rows = []
    for name in names:
        rows.append((name, "own", name))
        if name == "ferrio":
            rows += [(name, "popen", "ferrio, popen"), (name, "posix_spawn", "posix_spawn")]
    return rows


def measure(worker: workers.Worker, row: scenarios.Scenario, count: int) -> tuple[float, float]:
    """Wall and CPU milliseconds per operation."""
    reply = worker.ask({"measure": "scenario", "scenario": row.name, "n": count}, LIMIT)
    return reply["wall_ns"] / count / 1e6, reply["cpu_ns"] / count / 1e6


def show_times(titles: list[str], names: list[str], times: dict) -> None:
    """Print the first table."""
    for clock, what in enumerate(("Wall time", "CPU time of the program")):
        print(f"\n{what}, ms per operation, best/median, x the fastest of the others")
        for title in titles:
            best = {name: min(each[clock] for each in times[title, name]) for name in names}
            others = [best[name] for name in names if name not in report.ours(names)]
            print(f"{title} (target {TARGETS[title]})")
            for name in names:
                median = statistics.median(each[clock] for each in times[title, name])
                ratio = f"{best[name] / min(others):6.2f}" if others else ""
                print(f"  {name:<12}{best[name]:9.3f}/{median:.3f}{ratio}")


def show_stops(titles: list[str], names: list[str], stops: dict) -> None:
    """Print the second table."""
    print("\nThe loop stood still, ms: median of the starts / longest; a start took, ms: median")
    for title in titles:
        print(title)
        for name in names:
            replies = stops.get((title, name))
            if not replies:
                print(f"  {name:<14}        -")
                continue
            gaps = [gap for reply in replies for gap in reply["gap_ns"]]
            took = statistics.median(each for reply in replies for each in reply["start_ns"])
            print(
                f"  {name:<14}{statistics.median(gaps) / 1e6:9.3f} / {max(gaps) / 1e6:9.3f}{took / 1e6:12.3f}",
            )


if __name__ == "__main__":
    sys.exit(main())
