"""Compare servers on ferrio with servers on the other event loops and in C: CPU time of the server per message.

This file holds the command: which rows, how many rounds, in which order. The rows are in `cells.py`, the servers in
`servers.py` and `echo.c`, the load generator in `load.c`, processes in `processes.py`, ratios in `table.py`.

Invariant: the implementations of a row run one right after the other, so whatever else the machine does affects all of
them alike. Each round uses new processes.
"""

import argparse
import datetime
import json
import re
import sys
import tempfile
import time
from pathlib import Path

import beside  # noqa: F401 - makes the modules of benches/ importable
import cells
import console
import processes
import table
import workers

DESCRIPTION = "Compare servers on ferrio, asyncio and other event loops with each other and with one in C."
EPILOG = """\
figures   CPU microseconds that the server process takes per operation (a message, a connection, a
          line), best/median of the rounds; the load generator has its own CPU and isn't counted
columns   C            an epoll server in C: the limit
          ferrio       ferrio's own names (import ferrio as asyncio)
          ferrio-std   the standard asyncio on ferrio's loop
          others       the standard asyncio on that package's loop
ratios    ours divided by C's and by the best peer's, of the best figures; "!" marks a missed target
busy      how much of the time the server ran or waited for its CPU; a row with 50 connections or more
          is listed if this is below 0.9, because the generator is then the limit (--json has all of
          them, and rates and latencies)

examples  benches/net/run.py                                 everything, three rounds: half an hour
          benches/net/run.py --quick                         one short round: does everything run?
          benches/net/run.py --only '^protocol' --rounds 7   some rows, more carefully
          benches/net/run.py --impls uvloop,ferrio --only TLS --json figures.json
"""
SECONDS, WARM = 0.6, 0.2
QUICK_SECONDS, QUICK_WARM = 0.15, 0.05
LEAST_BUSY, MOST_WAIT = 0.9, 0.05
"""If a server has less work than this and the generator had its CPU, the server wasn't loaded enough."""


def main() -> int:
    """Run the command; returns the exit status."""
    options, parser = read_options()
    chosen = choose(parser, options.only)
    if options.list:
        for cell in chosen:
            print(f"{cell.name:<{table.NAME_WIDTH}} {processes_of(cell)}")
        return 0
    version = workers.python_version(options.python)
    impls = None if options.impls is None else ",".join(options.impls.split(","))
    names = [processes.LIMIT_NAME, *workers.chosen_names(parser, impls, version)]
    if not processes.build():
        dropped = [cell.name for cell in chosen if cell.server.tls]
        chosen = [cell for cell in chosen if not cell.server.tls]
        if dropped:
            print(f"Left out, because OpenSSL's headers or openssl are missing (apt install libssl-dev): {dropped}")
    rows = [{"cell": cell, "results": {name: [] for name in names}} for cell in chosen]
    versions: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder:
        if any(cell.server.tls for cell in chosen):
            processes.make_certificate(Path(folder))
        try:
            for turn in range(1, options.rounds + 1):
                run_round(f"round {turn} of {options.rounds}", rows, names, options, Path(folder), versions)
        except KeyboardInterrupt:
            if not any(any(result) for row in rows for result in row["results"].values()):
                return 130
                print("\nInterrupted; the table has what was measured so far.")
    facts = describe(options, version, versions)
    print("\n" + preface(facts))
    conclude(rows, names)
    if options.json:
        console.save(options.json, json.dumps(facts | summary(rows, names), indent=1) + "\n")
    if options.markdown:
        console.save(options.markdown, table.markdown(rows, names))
    return 1 if options.check and (table.shortfalls(rows, names) or table.failures(rows)) else 0


def read_options() -> tuple[argparse.Namespace, argparse.ArgumentParser]:
    """Return the options and the parser, for errors found later."""
    parser = workers.common_options(DESCRIPTION, EPILOG)
    parser.add_argument("--only", metavar="REGEX", default="", help="the rows whose name matches, case ignored")
    parser.add_argument("--rounds", type=int, metavar="N", help="rounds (default: 3; with --quick: 1)")
    parser.add_argument("--seconds", type=float, metavar="S", help=f"how long each load is measured ({SECONDS})")
    parser.add_argument("--quick", action="store_true", help="short loads; the figures mean little")
    parser.add_argument("--json", metavar="F", type=Path, help="write every figure to F")
    parser.add_argument("--markdown", metavar="F", type=Path, help="write the table to F, for a page")
    parser.add_argument("--check", action="store_true", help="exit with status 1 if a target is missed or a row failed")
    parser.add_argument("--list", action="store_true", help="print the rows and exit")
    options = parser.parse_args()
    options.rounds = options.rounds if options.rounds is not None else (1 if options.quick else 3)
    options.warm = QUICK_WARM if options.quick else WARM
    options.seconds = options.seconds or (QUICK_SECONDS if options.quick else SECONDS)
    if options.rounds < 1 or options.seconds <= 0:
        parser.error("--rounds and --seconds: less than one round, or no time, measures nothing")
    pinned = options.cpus.split(",")
    if len(pinned) not in (1, 2) or (len(pinned) == 1 and pinned[0]):
        parser.error(f"--cpus: two are needed, the server's and the load generator's, not {options.cpus}")
    options.server_cpu, options.load_cpu = pinned if len(pinned) == 2 else ("", "")
    return options, parser


def choose(parser: argparse.ArgumentParser, pattern: str) -> list[cells.Cell]:
    """Return the cells whose name matches `pattern`; ends the program if it is bad or matches none."""
    try:
        chosen = [cell for cell in cells.CELLS if re.search(pattern, cell.name, re.IGNORECASE)]
    except re.error as error:
        parser.error(f"--only: {pattern!r} isn't a regular expression: {error}")
    if not chosen:
        parser.error(f"--only: no row matches {pattern!r}; --list shows the rows")
    return chosen


def processes_of(cell: cells.Cell) -> str:
    """Return what `--list` prints about a cell."""
    limit = f"at most {cell.to_limit} x C, " if cell.to_limit else ""
    peer = cell.to_peer_named or "the best peer"
    return f"server {cell.server.name}; {limit}at most {cell.to_peer:.2f} x {peer}"


def run_round(title: str, rows: list[dict], names: list[str], options, folder: Path, versions: dict) -> None:
    """Measure every row once on each implementation, with new server processes, and add the figures."""
    started = time.monotonic()
    groups: dict[cells.Server, list[dict]] = {}
    for row in rows:
        groups.setdefault(row["cell"].server, []).append(row)
    done = 0
    for server, members in groups.items():
        running: dict[str, processes.Server] = {}
        try:
            for name in names:
                if name != processes.LIMIT_NAME or server.limit:
                    start(name, server, members, running, options, folder)
            for row in members:
                done += 1
                for name, process in running.items():
                    console.progress(f"{title}: {done}/{len(rows)} {row['cell'].name}, {name}")
                    measure(row, name, process, options, folder)
        finally:
            console.progress("")
            for name, process in running.items():
                versions.setdefault(name, process.version)
                process.stop()
    print(f"{title}: {time.monotonic() - started:.0f} s", flush=True)


def start(name: str, server: cells.Server, rows: list[dict], running: dict, options, folder: Path) -> None:
    """Start a server and put it into `running`; if it fails, note it in the rows and go on."""
    if all(isinstance(row["results"][name], dict) for row in rows):
        return
    try:
        running[name] = processes.Server(options.python, name, server, options.server_cpu, folder)
    except processes.CannotMeasure as error:
        for row in rows:
            row["results"][name] = {"error": str(error)}


def measure(row: dict, name: str, process: processes.Server, options, folder: Path) -> None:
    """Put the load of a row on a running server and add the figures to the row."""
    if isinstance(row["results"][name], dict):
        return
    cell = row["cell"]
    try:
        reply = processes.load(process, cell, options.seconds, options.warm, options.load_cpu, folder)
    except processes.CannotMeasure as error:
        row["results"][name] = {"error": str(error)}
        return
    operations = reply["messages"] * cell.operations
    row["results"][name].append(
        {
            "cpu_ns": reply["server_cpu_ns"] / operations,
            "rate": operations / reply["seconds"],
            "busy": (reply["server_cpu_ns"] + reply["server_wait_ns"]) / 1e9 / reply["seconds"],
            "load_busy": reply["own_cpu_ns"] / 1e9 / reply["seconds"],
            "load_wait": reply["own_wait_ns"] / 1e9 / reply["seconds"],
            "p50_us": reply["p50_us"],
            "p99_us": reply["p99_us"],
        }
    )


def conclude(rows: list[dict], names: list[str]) -> None:
    """Print the table, the failures and the missed targets."""
    print("\nCPU time of the server process, µs per operation, best/median")
    print(table.heading(names))
    for row in rows:
        print(table.line(row, names, rows))
    for name in table.ours(names):
        mean = table.geometric_mean(rows, name)
        if mean:
            print(f"{name}: {mean:.2f} times the best peer in the geometric mean")
    failed = table.failures(rows)
    if failed:
        print("\nFailed:\n  " + "\n  ".join(failed))
    idle = idle_rows(rows)
    if idle:
        print("\nThe server waited for the load in spite of many connections:\n  " + "\n  ".join(idle))
    missed = table.shortfalls(rows, names)
    if missed:
        print("\nTarget missed:\n  " + "\n  ".join(missed))
    elif not failed and table.ours(names):
        print("\nEvery target is met.")


def idle_rows(rows: list[dict]) -> list[str]:
    """Return a line for each row with many connections in which servers other than C's had time to spare.

    Rounds in which the generator had to wait for its own CPU don't count: something else ran there.
    """
    lines = []
    for row in rows:
        shares = {}
        for name, rounds in row["results"].items():
            if isinstance(rounds, list) and row["cell"].connections >= 50 and name != processes.LIMIT_NAME:
                alone = [each["busy"] for each in rounds if each["load_wait"] < MOST_WAIT]
                if alone and max(alone) < LEAST_BUSY:
                    shares[name] = max(alone)
        if shares:
            listed = ", ".join(f"{name} {share:.2f}" for name, share in shares.items())
            lines.append(f"{row['cell'].name:<{table.NAME_WIDTH}} busy: {listed}")
    return lines


def describe(options, version: tuple[int, int], versions: dict[str, str]) -> dict:
    """Return what a reader must know about the run."""
    return {
        "python": ".".join(map(str, version)),
        "implementations": versions,
        "machine": console.machine(),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "rounds": options.rounds,
        "seconds": options.seconds,
        "quick": options.quick,
        "only": options.only,
        "chosen implementations": options.impls,
        "pinned to CPUs": options.cpus,
    }


def preface(facts: dict) -> str:
    """Return the lines above the table."""
    settings = f"server on the first of these CPUs, load on the other, {facts['seconds']} s per load"
    return f"{console.preface(facts)}\n{settings}"


def summary(rows: list[dict], names: list[str]) -> dict:
    """Return rows, ratios and missed targets for the JSON file."""
    listed = []
    for row in rows:
        peer = table.best_peer(row)
        ratios = {
            name: {
                "to_limit": table.ratio(row, name, table.best(row, processes.LIMIT_NAME)),
                "to_best_peer": table.ratio(row, name, peer and peer[1]),
            }
            for name in table.ours(names)
        }
        best = peer and peer[0]
        listed.append({"name": row["cell"].name, "best_peer": best, "ratios": ratios, "results": row["results"]})
    means = {name: table.geometric_mean(rows, name) for name in table.ours(names)}
    return {"rows": listed, "geometric_means": means, "missed": table.shortfalls(rows, names)}


if __name__ == "__main__":
    sys.exit(main())
