"""What one await of a Rust future costs, in nanoseconds of wall clock and of CPU: PYTHON benches/rust_async/run.py

Beside ferrio-async stand pyo3-async-runtimes with tokio, and an `asyncio.Future` that a Python thread completes with
`call_soon_threadsafe`. Each measurement is a process of its own; they take turns, and the best of each counts. The
modules are built in release mode first (`--no-build` leaves that out).
"""

import argparse
import asyncio
import importlib.util
import json
import queue
import subprocess
import sys
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.rust_async import build  # noqa: E402

HERE = Path(__file__).resolve().parent
MODULES = {"rust_ours": HERE / "ours", "rust_peer": HERE / "peer"}

# What is awaited: module, function, the loops on which it runs.
LOOPS = ("ferrio", "asyncio", "uvloop")
CASES = {
    "ready": ("rust_ours", "ready"),
    "woken on the thread": ("rust_ours", "local"),
    "completed by another thread": ("rust_ours", "from_thread"),
    "ready, in tokio": ("rust_ours", "ready_in_tokio"),
    "completed by another thread, in tokio": ("rust_ours", "from_thread_in_tokio"),
    "pyo3-async-runtimes: ready": ("rust_peer", "ready"),
    "pyo3-async-runtimes: by another thread": ("rust_peer", "from_thread"),
    "asyncio.Future, call_soon_threadsafe": ("python", "completed"),
}


def completed_by_python():
    """Returns a function that makes a future, which a thread completes."""
    waiting = queue.SimpleQueue()

    def complete():
        while True:
            future = waiting.get()
            future.get_loop().call_soon_threadsafe(future.set_result, None)

    threading.Thread(target=complete, daemon=True).start()

    def completed():
        future = asyncio.get_running_loop().create_future()
        waiting.put(future)
        return future

    return completed


def measure(loop: str, case: str, count: int) -> dict[str, list[float]]:
    """Returns the nanoseconds, wall clock and CPU, of one await after the other and of a hundred at once."""
    module, name = CASES[case]
    if module == "python":
        make = completed_by_python()
    else:
        sys.path.insert(0, str(build.directory()))
        make = getattr(importlib.import_module(module), name)

    async def one_by_one():
        for _ in range(count):
            await make()

    async def one(times):
        for _ in range(times):
            await make()

    async def at_once():
        await asyncio.gather(*(one(count // 100) for _ in range(100)))

    async def main():
        results = {}
        for title, body in ("one by one", one_by_one), ("100 at once", at_once):
            await body()
            wall, cpu = time.perf_counter_ns(), time.process_time_ns()
            await body()
            results[title] = [(time.perf_counter_ns() - wall) / count, (time.process_time_ns() - cpu) / count]
        return results

    with asyncio.Runner(loop_factory=importlib.import_module(loop).new_event_loop) as runner:
        return runner.run(main())


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5, help="measurements of each, of which the best counts")
    parser.add_argument("--count", type=int, default=20_000, help="awaits in a measurement")
    parser.add_argument("--only", default="", help="only cases with this in their name")
    parser.add_argument("--no-build", action="store_true", help="use the modules that are there")
    parser.add_argument("--worker", nargs=2, metavar=("LOOP", "CASE"), help="make one measurement (used internally)")
    options = parser.parse_args()
    if options.worker:
        print(json.dumps(measure(*options.worker, options.count)))
        return
    if not options.no_build:
        for name, crate in MODULES.items():
            build.build(name, crate, "release")
    loops = [loop for loop in LOOPS if importlib.util.find_spec(loop)]
    best = {}
    for _ in range(options.rounds):
        for case in CASES:
            for loop in loops:
                if options.only not in case:
                    continue
                command = [sys.executable, __file__, "--count", str(options.count), "--worker", loop, case]
                for title, values in json.loads(subprocess.check_output(command)).items():
                    known = best.setdefault((title, case, loop), values)
                    best[title, case, loop] = list(map(min, known, values))
    for title in ("one by one", "100 at once"):
        print(f"\n{title}: ns, and ns of CPU".ljust(50) + "".join(loop.rjust(18) for loop in loops))
        for case in CASES:
            if options.only in case:
                values = (best[title, case, loop] for loop in loops)
                print(case.ljust(48) + "".join(f"{wall:10,.0f} {cpu:7,.0f}" for wall, cpu in values))


if __name__ == "__main__":
    main()
