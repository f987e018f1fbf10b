"""Compare ferrio with asyncio and the other event loops: one interleaved run, a table, and JSON.

This file holds the command: which scenarios, how many rounds, in which order. The scenarios are in `scenarios/`, the
processes in `worker.py` and `workers.py`, ratios and tables in `report.py`.

Invariant: the implementations of a scenario run one right after the other (A B C, and A B C again in the next round).
So whatever else the machine does affects all of them alike. Each round uses new processes, because memory layout makes
a process faster or slower for its whole life.
"""

import dataclasses
import datetime
import json
import re
import sys
import time
from pathlib import Path

import console
import report
import scenarios
import workers

DESCRIPTION = "Compare ferrio with asyncio and other event loops, interleaved, pinned to two CPUs."
EPILOG = """\
columns   ferrio       ferrio's own names (import ferrio as asyncio)
          ferrio-std   the standard asyncio on ferrio's loop (loop_factory=ferrio.new_event_loop)
          others       the standard asyncio on that package's loop
figures   best/median of the rounds, nanoseconds per operation; "x ferrio" is how many times as fast as
          the fastest peer ferrio is; "!" marks a row below its target: 1.5 for ferrio and 1 for
          ferrio-std up to Python 3.13, 1 for both (first in the row) from 3.14

examples  benches/run.py                                   everything, five rounds
          benches/run.py --quick                           a tenth of the work, to check that everything runs
          benches/run.py --only 'queue|lock' --rounds 9    some rows, more carefully
          benches/run.py --python .venv-bench/bin/python --json figures.json --markdown table.md
"""
SHARE_WARM, SHARE_QUICK = 0.02, 0.1
LIMIT = 60.0
"""Seconds that one measurement may take; after that its process is ended and the row counts as failed."""


def main() -> int:
    """Run the command; returns the exit status."""
    parser = workers.common_options(DESCRIPTION, EPILOG)
    parser.add_argument("--only", metavar="REGEX", default="", help="the rows whose name matches, case ignored")
    parser.add_argument("--rounds", type=int, metavar="N", help="rounds per row (default: 5; with --quick: 2)")
    parser.add_argument(
        "--by",
        choices=("wall", "cpu"),
        default="wall",
        help="the clock that judges rows that don't wait (default: wall; cpu is steadier on a busy machine)",
    )
    parser.add_argument("--quick", action="store_true", help="a tenth of the work; the figures mean little")
    parser.add_argument("--json", metavar="F", type=Path, help="write every figure to F")
    parser.add_argument("--markdown", metavar="F", type=Path, help="write the table to F, for a page")
    parser.add_argument("--check", action="store_true", help="exit with status 1 if a target is missed or a row failed")
    parser.add_argument("--list", action="store_true", help="print the rows and exit")
    options = parser.parse_args()
    chosen = choose(parser, options.only)
    if options.by == "cpu":
        chosen = [dataclasses.replace(each, judged=each.judged and "cpu") for each in chosen]
    if options.list:
        for each in chosen:
            print(f"{each.name:<{report.NAME_WIDTH}} n={each.n:<8} {each.body.__doc__.splitlines()[0]}")
        return 0
    rounds = options.rounds if options.rounds is not None else (2 if options.quick else 5)
    if rounds < 1:
        parser.error(f"--rounds: {rounds} rounds measure nothing; give 1 or more")
    version = workers.python_version(options.python)
    names = workers.chosen_names(parser, options.impls, version)
    workers.leave_cpus(options.cpus)
    share = SHARE_QUICK if options.quick else 1.0
    rows = [report.new_row(each.name, each.judged, each.count(share), names) for each in chosen]
    try:
        for turn in range(1, rounds + 1):
            pool = workers.start_workers(options.python, names, options.cpus)
            if turn == 1:
                facts = describe(options, version, rounds, pool)
                print(console.preface(facts), flush=True)
            run_round(f"round {turn} of {rounds}", chosen, rows, pool, share)
    except KeyboardInterrupt:
        return 130
    conclude(rows, names, version)
    if options.json:
        console.save(options.json, json.dumps(facts | summary(rows, names, version), indent=1) + "\n")
    if options.markdown:
        console.save(options.markdown, report.markdown(rows, names))
    missed = report.shortfalls(rows, names, version) or report.failures(rows)
    return 1 if options.check and missed else 0


def choose(parser, pattern: str) -> list[scenarios.Scenario]:
    """Return the scenarios whose name matches `pattern`; ends the program if it is bad or matches none."""
    every = scenarios.load()
    try:
        chosen = [each for each in every if re.search(pattern, each.name, re.IGNORECASE)]
    except re.error as error:
        parser.error(f"--only: {pattern!r} isn't a regular expression: {error}")
    if not chosen:
        parser.error(f"--only: no row matches {pattern!r}; --list shows the rows")
    return chosen


def run_round(title: str, chosen: list[scenarios.Scenario], rows: list[dict], pool, share: float) -> None:
    """Measure every scenario once on each worker of `pool`, add the figures to `rows`, and stop the workers."""
    started = time.monotonic()
    try:
        for number, (scenario, row) in enumerate(zip(chosen, rows, strict=True), 1):
            for name, worker in pool.items():
                if "error" not in row["results"][name]:
                    console.progress(f"{title}: {number}/{len(chosen)} {scenario.name}, {name}")
                    measure(scenario, row, name, worker, scenario.count(share * SHARE_WARM))
    finally:
        console.progress("")
        for worker in pool.values():
            worker.stop()
    print(f"{title}: {time.monotonic() - started:.0f} s", flush=True)


def measure(scenario: scenarios.Scenario, row: dict, name: str, worker: workers.Worker, warm: int) -> None:
    """Run a scenario on a worker, first with count `warm`, which isn't counted; adds the figures to `row`."""
    for n in (warm, row["n"]):
        try:
            reply = worker.ask({"measure": "scenario", "scenario": scenario.name, "n": n}, LIMIT)
        except workers.MeasureFailed as error:
            row["results"][name] = {"error": str(error)}
            return
        if reply["operations"] != n:
            row["results"][name] = {"error": f"{name}: did {reply['operations']} operations, not {n}"}
            return
    row["results"][name]["wall"].append(reply["wall_ns"] / n)
    row["results"][name]["cpu"].append(reply["cpu_ns"] / n)


def conclude(rows: list[dict], names: list[str], version: tuple[int, int]) -> None:
    """Print the tables of wall and CPU time, the means, the failures and the missed targets."""
    for title, clock in (("Wall time", "wall"), ("CPU time of the whole process, threads included", "cpu")):
        print(f"\n{title}, ns per operation, best/median")
        print(report.heading(names))
        for row in rows:
            print(report.line(row, names, clock, version))
    if report.ours(names):
        print(report.means_line(rows, names))
    failed = report.failures(rows)
    if failed:
        print("\nFailed (--json has the whole errors):\n  " + "\n  ".join(failed))
    lines = report.shortfalls(rows, names, version)
    if lines:
        print("\nBelow target:\n  " + "\n  ".join(lines))
    elif not failed and any(report.geometric_mean(rows, name) for name in report.ours(names)):
        print("\nEvery target is met.")


def describe(options, version: tuple[int, int], rounds: int, pool) -> dict:
    """Return what a reader must know about the run: interpreter, versions, machine, load, settings."""
    return {
        "python": ".".join(map(str, version)),
        "implementations": {name: worker.version for name, worker in pool.items()},
        "machine": console.machine(),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "rounds": rounds,
        "quick": options.quick,
        "only": options.only,
        "chosen implementations": options.impls,
        "judged by": options.by,
        "pinned to CPUs": options.cpus,
    }


def summary(rows: list[dict], names: list[str], version: tuple[int, int]) -> dict:
    """Return rows, ratios, means and missed targets for the JSON file."""
    ours = report.ours(names)
    for row in rows:
        peer = report.fastest_peer(row, row["judged"] or "wall")
        row["fastest_peer"] = peer[0] if peer else None
        row["ratios"] = {name: report.ratio(row, name) for name in ours}
    return {
        "rows": rows,
        "geometric_means": {name: report.geometric_mean(rows, name) for name in ours},
        "below_target": report.shortfalls(rows, names, version),
    }


if __name__ == "__main__":
    sys.exit(main())
