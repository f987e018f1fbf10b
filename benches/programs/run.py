"""Compare whole programs on ferrio, asyncio and other event loops: real libraries, by CPU time of the program.

This file holds the command: which rows, how many rounds, in which order. The rows are in `catalogue.py`, the programs
in the files that it names, databases in `services.py`, the measured process in `process.py`.

Invariant: the implementations of a row run one right after the other, so whatever else the machine does affects all of
them alike. Each measurement has a new process.
"""

import argparse
import contextlib
import datetime
import json
import re
import subprocess
import sys
import time
from pathlib import Path

import beside  # noqa: F401 - makes the modules of benches/ importable
import catalogue
import console
import implementations
import report
import services
import workers

DESCRIPTION = "Compare real libraries on ferrio, asyncio and other event loops, by CPU time of the whole program."
EPILOG = """\
columns   ferrio       ferrio's own names in place of asyncio's (python -m ferrio)
          ferrio-std   the standard asyncio on ferrio's loop (loop_factory=ferrio.new_event_loop)
          others       the standard asyncio on that package's loop
figures   best/median, CPU nanoseconds of the whole process per operation (--list says what one is);
          "x ferrio" is how many times as fast as the fastest peer ferrio is; "!" marks a row in which
          it isn't first

examples  benches/programs/run.py                                 everything, three rounds: some minutes
          benches/programs/run.py --quick                         one short round: does everything run?
          benches/programs/run.py --only '^redis' --rounds 7      some rows, more carefully
          benches/programs/run.py --impls uvloop,ferrio --json figures.json
"""
COMPARED = ("asyncio", "uvloop", "zuvloop", "ferrio", "ferrio-std")
LEAST_MEAN = 1.2
"""What the geometric mean of ferrio's ratios must reach, in the rows that count for it."""
# `report.py` has other targets for other Pythons. Here ferrio must be first in each row, on every Python.
FIRST_IN_EACH = (3, 14)
ROUNDS, SLICES, QUICK_SLICES = 3, 4, 1
LIMIT = 120
"""Seconds that one process may take; after that it is ended and its cell counts as failed."""
HERE = Path(__file__).resolve().parent


def main() -> int:
    """Run the command; returns the exit status."""
    options, parser = read_options()
    chosen = choose(parser, options.only)
    if options.list:
        for row in chosen:
            print(f"{row.name:<{report.NAME_WIDTH}} {row.operation}")
        return 0
    version = workers.python_version(options.python)
    impls = options.impls or ",".join(name for name in COMPARED if name in implementations.names_for(version))
    names = workers.chosen_names(parser, impls, version)
    workers.leave_cpus(options.cpus)
    rows = {row.name: report.new_row(row.name, "cpu", row.n, names) for row in chosen}
    versions: dict[str, str] = {}
    left_out: list[str] = []
    try:
        measure_all(options, chosen, rows, versions, left_out)
    except KeyboardInterrupt:
        return 130
    measured = [row for row in rows.values() if any(result.get("cpu") for result in row["results"].values())]
    facts = describe(options, version, versions)
    missed = conclude(facts, measured, names, left_out)
    if options.json:
        means = {name: mean(measured, name) for name in report.ours(names)}
        figures = {"rows": measured, "geometric_means": means, "missed": missed, "left out": left_out}
        console.save(options.json, json.dumps(facts | figures, indent=1) + "\n")
    if options.markdown:
        console.save(options.markdown, report.markdown(measured, names))
    return 1 if options.check and (missed or left_out or report.failures(measured)) else 0


def read_options() -> tuple[argparse.Namespace, argparse.ArgumentParser]:
    """Return the options of the command line, and their parser."""
    parser = workers.common_options(DESCRIPTION, EPILOG)
    parser.add_argument("--only", metavar="REGEX", default="", help="the rows whose name matches, case ignored")
    parser.add_argument("--rounds", type=int, metavar="N", help=f"rounds per row (default: {ROUNDS}; with --quick: 1)")
    parser.add_argument("--quick", action="store_true", help="one short round; the figures mean little")
    parser.add_argument("--json", metavar="F", type=Path, help="write every figure to F")
    parser.add_argument("--markdown", metavar="F", type=Path, help="write the table to F, for a page")
    parser.add_argument("--check", action="store_true", help="exit with status 1 if a target is missed or a row failed")
    parser.add_argument("--list", action="store_true", help="print the rows and what an operation is, and exit")
    options = parser.parse_args()
    options.rounds = options.rounds if options.rounds is not None else (1 if options.quick else ROUNDS)
    if options.rounds < 1:
        parser.error(f"--rounds: {options.rounds} rounds measure nothing; give 1 or more")
    return options, parser


def choose(parser: argparse.ArgumentParser, pattern: str) -> list[catalogue.Row]:
    """Return the rows whose name matches `pattern`; ends the program if it is bad or matches none."""
    try:
        chosen = [row for row in catalogue.ROWS if re.search(pattern, row.name, re.IGNORECASE)]
    except re.error as error:
        parser.error(f"--only: {pattern!r} isn't a regular expression: {error}")
    if not chosen:
        parser.error(f"--only: no row matches {pattern!r}; --list shows the rows")
    return chosen


def measure_all(options, chosen: list[catalogue.Row], rows: dict[str, dict], versions: dict, left_out: list) -> None:
    """Measure each row in each round, and add the figures to `rows`; rows without their service go to `left_out`."""
    places = {}
    cpu = options.cpus.split(",")[0]
    with contextlib.ExitStack() as stack:
        for service in sorted({row.service for row in chosen if row.service}):
            try:
                places[service] = stack.enter_context(services.started(service, cpu))
            except services.NotHere as error:
                names = ", ".join(row.name for row in chosen if row.service == service)
                left_out.append(f"{names}: {error}")
        present = [row for row in chosen if row.service is None or row.service in places]
        for turn in range(1, options.rounds + 1):
            started = time.monotonic()
            for number, row in enumerate(present, 1):
                for name, result in rows[row.name]["results"].items():
                    if "error" not in result:
                        console.progress(f"round {turn}: {number}/{len(present)} {row.name}, {name}")
                        answer = measure(options, row, name, places.get(row.service))
                        if "version" in answer:
                            versions[name] = answer["version"]
                        add(result, answer)
            console.progress("")
            print(f"round {turn} of {options.rounds}: {time.monotonic() - started:.0f} s", flush=True)


def measure(options, row: catalogue.Row, name: str, place) -> dict:
    """Run a program once on an implementation, in a process of its own; returns what it answered, or an error."""
    slices = QUICK_SLICES if options.quick else SLICES
    # One CPU for all threads of a program: how fast one CPU wakes another varies by half from second to second.
    cpu = options.cpus.split(",")[-1]
    command = [options.python, str(HERE / "process.py"), name, cpu, row.name, json.dumps(place), str(slices)]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=LIMIT, env=workers.clean_environment(), check=False
        )
    except subprocess.TimeoutExpired:
        return {"error": f"{name}: no answer within {LIMIT} s"}
    if done.returncode or not done.stdout:
        return {"error": f"{name}: its process ended with {done.returncode}\n{done.stderr.strip()}"}
    return json.loads(done.stdout)


def add(result: dict, answer: dict) -> None:
    """Add a process's figures to a cell; an error replaces what was there."""
    if "error" in answer:
        result.clear()
        result["error"] = answer["error"].strip()
        return
    for clock in ("cpu", "wall"):
        result[clock] += answer[clock]


def mean(rows: list[dict], name: str) -> float | None:
    """Return the geometric mean of the ratios of the rows that count for it."""
    counted = {row.name for row in catalogue.ROWS if row.in_mean}
    return report.geometric_mean([row for row in rows if row["name"] in counted], name)


def conclude(facts: dict, rows: list[dict], names: list[str], left_out: list[str]) -> list[str]:
    """Print the tables, the means, what failed and what is missed; returns the missed targets."""
    print(console.preface(facts))
    for title, clock in (("CPU time of the whole process, threads included", "cpu"), ("Wall time", "wall")):
        print(f"\n{title}, ns per operation, best/median")
        print(report.heading(names))
        for row in rows:
            print(report.line(row, names, clock, FIRST_IN_EACH))
    missed = []
    for name in report.ours(names):
        value = mean(rows, name)
        if value:
            print(f"{name}: {value:.2f} times the best peer in the geometric mean, without the pipeline of queues")
        if name == "ferrio" and value and value < LEAST_MEAN:
            missed.append(f"geometric mean of ferrio: {value:.2f}, the target is {LEAST_MEAN}")
    missed += report.shortfalls(rows, [name for name in names if name == "ferrio"], FIRST_IN_EACH)
    failed = report.failures(rows)
    for title, lines in (("Left out", left_out), ("Failed (--json has the whole errors)", failed), ("Missed", missed)):
        if lines:
            print(f"\n{title}:\n  " + "\n  ".join(lines))
    return missed


def describe(options, version: tuple[int, int], versions: dict[str, str]) -> dict:
    """Return what a reader must know about the run."""
    return {
        "python": ".".join(map(str, version)),
        "implementations": versions,
        "machine": console.machine(),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "rounds": options.rounds,
        "quick": options.quick,
        "only": options.only,
        "chosen implementations": options.impls,
        "pinned to CPUs": options.cpus,
    }


if __name__ == "__main__":
    sys.exit(main())
