"""What it costs to look: ferrio with each part of `ferrio.sight` on, compared with ferrio alone, in one run.

The rows are those of `run.py`, or with `--net` the servers of `net/run.py`. A way is a set of environment variables,
so all ways run the same build. "again" is the first way once more: how far it is from 1 shows the noise. "top" has what
`ferrio top` has in this process: a connection that asks for the table every second.

Invariant: the ways of a row run one right after the other, and each round uses new processes, as in `run.py`.
"""

import contextlib
import math
import os
import re
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

import console
import scenarios
import workers

from ferrio.cli import programs, watching

DESCRIPTION = "Measure what watchdog, metrics and the other parts of ferrio.sight cost, against ferrio alone."
EPILOG = """\
figures   the time of each way divided by that of "off": of the best rounds, and of the medians

examples  benches/sight.py                                 every row, five rounds
          benches/sight.py --only 'sleep|queue' --ways off,metrics --rounds 9
          benches/sight.py --net                           the servers: CPU time of the server per message
"""
WAYS = {
    "off": {},
    "again": {},
    "metrics": {"FERRIO_METRICS": "1"},
    "watch": {"FERRIO_WATCH": "0.1"},
    "record": {"FERRIO_RECORD": "10"},
    "order": {"FERRIO_RECORD": os.path.join(tempfile.gettempdir(), "ferrio-benches.bin")},
    "sight": {"FERRIO_SIGHT": "1"},
    "top": {"FERRIO_SIGHT": "1"},
}
"""The environment of each way. The first is what the others are compared with."""
SHARE_WARM, SHARE_QUICK = 0.02, 0.1
LIMIT = 60.0
NET = Path(__file__).resolve().parent / "net"
LOAD_SECONDS, LOAD_WARM = 0.6, 0.2


def main() -> int:
    """Run the command; returns the exit status."""
    parser = workers.common_options(DESCRIPTION, EPILOG, impls=False)
    parser.add_argument("--only", metavar="REGEX", default="", help="the rows whose name matches, case ignored")
    parser.add_argument("--ways", metavar="A,B", default=",".join(WAYS), help="which ways (default: %(default)s)")
    parser.add_argument("--rounds", type=int, metavar="N", default=5, help="rounds per row (default: %(default)s)")
    parser.add_argument("--by", choices=("wall", "cpu"), default="cpu", help="which time (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="a tenth of the work; the figures mean little")
    parser.add_argument(
        "--net", action="store_true", help="the servers of net/, by their CPU time, instead of programs"
    )
    options = parser.parse_args()
    ways = options.ways.split(",")
    if unknown := [way for way in ways if way not in WAYS]:
        parser.error(f"--ways: {', '.join(unknown)} isn't a way; there are {', '.join(WAYS)}")
    if options.rounds < 1:
        parser.error(f"--rounds: {options.rounds} rounds measure nothing; give 1 or more")
    workers.leave_cpus(options.cpus)
    rows: dict[str, dict[str, list[float]]] = {}
    measure = measure_servers if options.net else measure_programs
    try:
        for turn in range(1, options.rounds + 1):
            started = time.monotonic()
            measure(f"round {turn} of {options.rounds}", options, ways, rows)
            console.progress("")
            print(f"round {turn} of {options.rounds}: {time.monotonic() - started:.0f} s", flush=True)
    except KeyboardInterrupt:
        print("\nInterrupted; the table has what was measured so far.")
    if not rows:
        parser.error(f"--only: no row matches {options.only!r}")
    print(table(rows, ways))
    return 0


class Watcher:
    """Looks at a process as `ferrio top` does, but draws nothing, if the way is "top"; a context manager."""

    def __init__(self, way: str, pid: int) -> None:
        self._pid = pid if way == "top" else None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self):
        if self._pid is not None:
            self._thread.start()
        return self

    def __exit__(self, *_):
        if self._pid is not None:
            self._over.set()
            self._thread.join()

    def _look(self) -> None:
        request = {"sort": "busy", "reverse": True, "limit": 200, "filter": ""}
        watched = None
        while not self._over.wait(1.0 if watched else 0.02):
            if watched is None:
                # A program can be seen from its first loop on.
                with contextlib.suppress(programs.Unseen):
                    watched = watching.Watching([programs.open_program(self._pid)])
            if watched is not None:
                watched.look(request)
        if watched is None:
            raise RuntimeError(f"process {self._pid} was never seen, so nothing was measured")
        watched.close()


def measure_programs(title: str, options, ways: list[str], rows: dict) -> None:
    """One round of the scenarios: adds nanoseconds per operation to `rows`."""
    chosen = [each for each in scenarios.load() if re.search(options.only, each.name, re.IGNORECASE)]
    pool = {way: workers.Worker(options.python, "ferrio", options.cpus, WAYS[way]) for way in ways}
    with contextlib.ExitStack() as stack:
        for way, worker in pool.items():
            stack.callback(worker.stop)
            # One for all rows: a row is shorter than a second.
            stack.enter_context(Watcher(way, worker.pid))
        for scenario in chosen:
            n = scenario.count(SHARE_QUICK if options.quick else 1.0)
            for way, worker in pool.items():
                console.progress(f"{title}: {scenario.name}, {way}")
                for count in (scenario.count(SHARE_WARM), n):
                    request = {"measure": "scenario", "scenario": scenario.name, "n": count}
                    reply = worker.ask(request, LIMIT)
                rows.setdefault(scenario.name, {}).setdefault(way, []).append(reply[f"{options.by}_ns"] / n)


def measure_servers(title: str, options, ways: list[str], rows: dict) -> None:
    """One round of the servers under load: adds nanoseconds of the server's CPU time per operation to `rows`."""
    if str(NET) not in sys.path:
        sys.path.insert(0, str(NET))
    import cells
    import processes

    has_tls = processes.build()
    server_cpu, _, load_cpu = options.cpus.partition(",")
    seconds = LOAD_SECONDS * (SHARE_QUICK if options.quick else 1)
    chosen = [
        cell
        for cell in cells.CELLS
        if re.search(options.only, cell.name, re.IGNORECASE) and (has_tls or not cell.server.tls)
    ]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if any(cell.server.tls for cell in chosen):
            processes.make_certificate(folder)
        for cell in chosen:
            for way in ways:
                console.progress(f"{title}: {cell.name}, {way}")
                server = processes.Server(
                    options.python, "ferrio", cell.server, server_cpu, folder, variables=WAYS[way]
                )
                try:
                    with Watcher(way, server.pid):
                        reply = processes.load(server, cell, seconds, LOAD_WARM, load_cpu, folder)
                finally:
                    server.stop()
                figure = reply["server_cpu_ns"] / (reply["messages"] * cell.operations)
                rows.setdefault(cell.name, {}).setdefault(way, []).append(figure)


def table(rows: dict, ways: list[str]) -> str:
    """The ratios of each row, and their geometric means."""
    first, *others = ways
    lines = [f"\n{'':<44}{first + ', ns':>12}" + "".join(f"{way:>10} median" for way in others)]
    best, median = ({way: [] for way in others} for _ in range(2))
    for name, row in rows.items():
        if any(len(row.get(way, [])) == 0 for way in ways):
            continue  # interrupted
        line = f"{name:<44}{min(row[first]):>12.0f}"
        for way in others:
            best[way].append(min(row[way]) / min(row[first]))
            median[way].append(statistics.median(row[way]) / statistics.median(row[first]))
            line += f"{best[way][-1]:>10.3f} {median[way][-1]:>6.3f}"
        lines.append(line)
    if others and best[others[0]]:
        means = "".join(f"{mean(best[way]):>10.3f} {mean(median[way]):>6.3f}" for way in others)
        lines.append(f"{'geometric mean':<56}{means}")
    return "\n".join(lines)


def mean(ratios: list[float]) -> float:
    """The geometric mean."""
    return math.exp(statistics.fmean(map(math.log, ratios)))


if __name__ == "__main__":
    sys.exit(main())
