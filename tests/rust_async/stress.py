"""A storm of completions: PYTHON tests/rust_async/stress.py LOOP COMPLETIONS [SEED]

Rust threads, tokio and smol complete futures out of order. Tasks that await them are cancelled at random, and loops are
closed at random with waits in progress. Nothing may be lost: each await gets what was meant for it, or raises
`CancelledError`. Nothing may leak: at the end no future, result or Python object is alive, and memory hasn't grown.

With `--exit` it ends at a random moment instead, while all of that goes on. The process must end well.
"""

import argparse
import asyncio
import contextlib
import ctypes
import gc
import importlib
import random
import sys
import threading
import time
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.rust_async.build import directory

sys.path.insert(0, str(directory()))

import rust_probe as probe

WORKERS = 60


def new_loop(name):
    """Returns a new loop of the kind: ferrio, asyncio or uvloop."""
    loop = asyncio.SelectorEventLoop() if name == "asyncio" else importlib.import_module(name).new_event_loop()
    # Loops that are closed with waits in progress have much to say.
    loop.set_exception_handler(lambda loop, context: None)
    return loop


class Storm:
    """What runs on one loop after the other, and how it ended."""

    def __init__(self, seed):
        self.chance = random.Random(seed)
        self.completed = self.cancelled = 0
        self.object = object()

    async def called(self, number, thing):
        """A Python coroutine that Rust awaits."""
        await asyncio.sleep(0)
        return number, thing

    def awaitable(self, number):
        """Returns one of the kinds of awaitables, whose value is `(number, self.object)`."""
        kind = self.chance.randrange(32)
        if kind < 14:
            return probe.storm(number, self.object)
        if kind < 18:
            return probe.storm_before_the_await(number, self.object)
        if kind < 24:
            return probe.storm_in_tokio(number, self.object)
        if kind < 30:
            return probe.storm_in_smol(number, self.object)
        calling = probe.calling if kind == 30 else probe.in_tokio.calling
        return calling(lambda: self.called(number, self.object))

    async def worker(self, count):
        """Awaits one after the other, whatever is done to it."""
        number = 0
        while number < count:
            number += 1
            try:
                value = await self.awaitable(number)
            except asyncio.CancelledError:
                self.cancelled += 1
            else:
                assert value == (number, self.object), (number, value)
                self.completed += 1

    async def run(self, count, patience):
        """Runs the workers to their end, for `patience` seconds; cancels some of their awaits."""
        workers = [asyncio.ensure_future(self.worker(count)) for _ in range(WORKERS)]
        deadline = time.monotonic() + patience
        while not all(worker.done() for worker in workers):
            for _ in range(self.chance.randrange(4)):
                self.chance.choice(workers).cancel()
            await asyncio.sleep(0.001 * self.chance.randrange(3))
            if time.monotonic() > deadline:
                sys.exit(f"lost: {sum(not worker.done() for worker in workers)} of {len(workers)} wait for ever")
        # A cancellation may have come before a worker's first step.
        await asyncio.gather(*workers, return_exceptions=True)
        for worker in workers:
            if not worker.cancelled():
                worker.result()

    def round(self, name, count):
        """One loop's life, until all has ended or until some moment before."""
        loop = new_loop(name)
        if self.chance.random() < 0.3:
            for _ in range(WORKERS):
                task = loop.create_task(self.worker(count))
                task._log_destroy_pending = False
            loop.run_until_complete(asyncio.sleep(0.01 * self.chance.random()))
            del task
        else:
            loop.run_until_complete(self.run(count, patience=300))
        loop.close()


class Memory(ctypes.Structure):
    """glibc's `struct mallinfo2`."""

    names = "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"
    _fields_ = [(name, ctypes.c_size_t) for name in names]


def bytes_in_use():
    """Returns how much malloc has handed out, or 0 where that isn't known."""
    try:
        mallinfo2 = ctypes.CDLL(None).mallinfo2
    except AttributeError:
        return 0
    mallinfo2.restype = Memory
    info = mallinfo2()
    return info.uordblks + info.hblkhd


def settle(thing, references):
    """Waits until nothing that Rust made is alive or refers to the thing."""
    deadline = time.monotonic() + 60
    gc.collect()
    # What a thread without the interpreter drops is released at the module's next call.
    while (probe.counts()[0] or sys.getrefcount(thing) > references) and time.monotonic() < deadline:
        time.sleep(0.01)
        gc.collect()
    if probe.counts()[0]:
        sys.exit(f"leaked: {probe.counts()[0]} of {probe.counts()[1]} futures and results are alive")


def stress(name, completions, seed):
    """Makes so many completions; ends the program if something was lost or leaked."""
    storm = Storm(seed)
    references = sys.getrefcount(storm.object)
    count = max(1, min(100, completions // WORKERS // 4))
    known = None
    while storm.completed < completions:
        storm.round(name, count)
        if known is None and storm.completed > completions / 3:
            # What is made once is there by now.
            settle(storm.object, references + 1)
            known = storm.completed, bytes_in_use(), sys.getallocatedblocks()
    settle(storm.object, references + 1)
    done, memory, blocks = (
        now - before
        for now, before in zip((storm.completed, bytes_in_use(), sys.getallocatedblocks()), known, strict=True)
    )
    print(
        f"{storm.completed} completed, {storm.cancelled} cancelled; in the last {done}: "
        f"{memory} bytes and {blocks} Python blocks more in use"
    )
    # A single leaked object for each completion would be more than 16 bytes each.
    if memory > 1_000_000 + done or blocks > 1000 + done // 100:
        sys.exit("leaked: memory has grown")
    if sys.getrefcount(storm.object) != references:
        sys.exit(f"leaked: {sys.getrefcount(storm.object) - references} references to a Python object")


def end_at_random(name, seed):
    """Ends the process somehow, at some moment, while Rust's threads complete and wake."""
    storm = Storm(seed)
    chance = storm.chance
    moment = chance.choice([0, 0.02 * chance.random()])
    way = chance.choice(["return", "close", "exit", "error", "thread", "two loops"])

    async def main():
        tasks.extend(asyncio.ensure_future(storm.worker(10**6)) for _ in range(WORKERS))
        await asyncio.sleep(moment)
        if way == "exit":
            sys.exit(0)
        if way == "error":
            raise KeyboardInterrupt

    tasks = []
    loop = new_loop(name)
    if way == "thread":
        # The interpreter ends while the loop runs in another thread.
        threading.Thread(target=loop.run_until_complete, args=(storm.run(10**6, 1000),), daemon=True).start()
        time.sleep(moment)
        return tasks
    with contextlib.suppress(KeyboardInterrupt):
        loop.run_until_complete(main())
    if way == "two loops":
        other = new_loop(name)
        other.run_until_complete(main())
        tasks.append((loop, other))
    if way == "close":
        loop.close()
        loop = None
    if chance.random() < 0.5:
        return tasks, loop  # alive until the module is cleared
    return None


def main():
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("loop", choices=["ferrio", "asyncio", "uvloop"])
    parser.add_argument("completions", type=int)
    parser.add_argument("seed", type=int, nargs="?", default=13)
    parser.add_argument("--exit", action="store_true", help="end at a random moment")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    if options.exit:
        return end_at_random(options.loop, options.seed)
    stress(options.loop, options.completions, options.seed)
    return None


if __name__ == "__main__":
    kept = main()
