"""What one await of a Rust future costs, in nanoseconds of wall clock and of CPU: PYTHON benches/rust_async/run.py

Beside ferrio-async stand pyo3-async-runtimes with tokio, PyO3's experimental coroutines, and what Python itself has: an
`asyncio.Future` that a thread completes with `call_soon_threadsafe`, an async generator, a queue. Each measurement is a
process of its own. They take turns, and the best of each counts. The modules are built in release mode first
(`--no-build` leaves that out). All of it takes less than five minutes.
"""

import argparse
import asyncio
import importlib.util
import json
import os
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
LOOPS = ("ferrio", "uvloop", "asyncio")
FERRIO, TOKIO = "ferrio-async", "ferrio-async, in tokio"
PEER, EXPERIMENTAL = "pyo3-async-runtimes, tokio", "PyO3's experimental-async"
# How many awaits are one body's work.
BATCH = 500
# How long a measurement takes, in nanoseconds.
TIME = 150_000_000


class Local:
    """What Python itself has."""

    @staticmethod
    def done():
        """A future that is done."""
        future = asyncio.get_running_loop().create_future()
        future.set_result(None)
        return future

    @staticmethod
    def soon():
        """A future that the loop completes in its next turn."""
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        loop.call_soon(future.set_result, None)
        return future

    def __init__(self):
        self.calls = queue.SimpleQueue()
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        """The thread, which calls what it is told to."""
        while True:
            call, *arguments = self.calls.get()
            call(*arguments)

    def from_thread(self):
        """A future that a thread completes."""
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        self.calls.put((loop.call_soon_threadsafe, future.set_result, None))
        return future

    @staticmethod
    async def items(count):
        """An async generator."""
        for item in range(count):
            yield item

    async def items_from_thread(self, count):
        """A queue that a thread fills."""
        loop, items = asyncio.get_running_loop(), asyncio.Queue()

        def fill():
            for item in range(count):
                loop.call_soon_threadsafe(items.put_nowait, item)

        self.calls.put((fill,))
        for _ in range(count):
            yield await items.get()


# What is awaited in which way: the module and its function.
CASES = {
    "ready": {
        FERRIO: ("rust_ours", "ready"),
        TOKIO: ("rust_ours", "ready_in_tokio"),
        PEER: ("rust_peer", "ready"),
        EXPERIMENTAL: ("rust_peer", "experimental_ready"),
        "asyncio.Future, done": ("python", "done"),
    },
    "woken on the thread": {
        FERRIO: ("rust_ours", "local"),
        EXPERIMENTAL: ("rust_peer", "experimental_local"),
        "asyncio.Future, call_soon": ("python", "soon"),
    },
    "completed by another thread": {
        FERRIO: ("rust_ours", "from_thread"),
        TOKIO: ("rust_ours", "from_thread_in_tokio"),
        PEER: ("rust_peer", "from_thread"),
        EXPERIMENTAL: ("rust_peer", "experimental_from_thread"),
        "asyncio.Future, call_soon_threadsafe": ("python", "from_thread"),
    },
}
# Streams that Python iterates over, and Python's iterators that Rust takes; each item counts.
STREAMS = {
    "item of a stream, ready": {
        FERRIO: ("rust_ours", "items"),
        "an async generator": ("python", "items"),
    },
    "item of a stream, from another thread": {
        FERRIO: ("rust_ours", "items_from_thread"),
        "asyncio.Queue, call_soon_threadsafe": ("python", "items_from_thread"),
    },
}
CONSUMERS = {
    "item of an async generator, taken in tokio": {
        TOKIO: ("rust_ours", "consume"),
        PEER: ("rust_peer", "consume"),
    },
}


def bodies(what, way):
    """Returns the coroutine functions that make `BATCH` awaits, by the names of their rows."""
    module, name = (CASES | STREAMS | CONSUMERS)[what][way]
    sys.path.insert(0, str(build.directory()))
    make = getattr(Local() if module == "python" else importlib.import_module(module), name)

    async def one_by_one(count=BATCH):
        for _ in range(count):
            await make()

    async def at_once():
        await asyncio.gather(*(one_by_one(BATCH // 100) for _ in range(100)))

    async def stream():
        async for _ in make(BATCH):
            pass

    async def consumer():
        await make(Local.items(BATCH))

    if what in STREAMS:
        return {what: stream}
    if what in CONSUMERS:
        return {what: consumer}
    return {what: one_by_one, f"{what}, 100 at once": at_once}


def measure(loop: str, what: str, way: str) -> dict[str, list[float]]:
    """Returns the nanoseconds, wall clock and CPU, of one await in each row."""

    async def main():
        results = {}
        for row, body in bodies(what, way).items():
            for _ in range(3):
                await body()
            best, begin = [float("inf")] * 2, time.perf_counter_ns()
            while time.perf_counter_ns() - begin < TIME:
                wall, cpu = time.perf_counter_ns(), time.process_time_ns()
                for _ in range(3):
                    await body()
                now = time.perf_counter_ns() - wall, time.process_time_ns() - cpu
                best = [min(known, new / BATCH / 3) for known, new in zip(best, now, strict=True)]
            results[row] = best
        return results

    with asyncio.Runner(loop_factory=importlib.import_module(loop).new_event_loop) as runner:
        return runner.run(main())


def main():
    """Builds, measures and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=4, help="measurements of each, of which the best counts")
    parser.add_argument("--only", default="", help="only rows or ways with this in their name")
    parser.add_argument("--no-build", action="store_true", help="use the modules that are there")
    parser.add_argument("--json", type=Path, help="write the figures there as well")
    parser.add_argument("--worker", nargs=3, metavar=("LOOP", "WHAT", "WAY"), help="measure once (used internally)")
    options = parser.parse_args()
    if options.worker:
        print(json.dumps(measure(*options.worker)), flush=True)
        # Not by way of the interpreter's end: some of what is measured aborts there now and then.
        os._exit(0)
    if not options.no_build:
        for name, crate in MODULES.items():
            build.build(name, crate, "release")
    loops = [loop for loop in LOOPS if importlib.util.find_spec(loop)]
    best = {}
    for _ in range(options.rounds):
        for what, ways in (CASES | STREAMS | CONSUMERS).items():
            for way in ways:
                if options.only not in f"{what}: {way}":
                    continue
                for loop in loops:
                    command = [sys.executable, __file__, "--worker", loop, what, way]
                    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
                    for row, values in json.loads(done.stdout).items():
                        known = best.setdefault(row, {}).setdefault(way, {}).setdefault(loop, values)
                        best[row][way][loop] = list(map(min, known, values))
    if options.json:
        options.json.write_text(json.dumps(best, indent=2))
    print("ns of wall clock and of CPU".ljust(42) + "".join(loop.rjust(18) for loop in loops))
    for row, ways in best.items():
        print(f"\n{row}")
        for way, values in ways.items():
            print(f"  {way}".ljust(42) + "".join("{:10,.0f} {:7,.0f}".format(*values[loop]) for loop in loops))


if __name__ == "__main__":
    main()
