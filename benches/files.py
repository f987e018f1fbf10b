"""The cost of reading files: `ferrio.open()` compared with aiofiles, threads and a plain blocking read.

This file holds the command and the programs that are timed. Invariant: the ways are interleaved, and each round uses
the same files, which are in the page cache. Each way checks that it has read everything.
"""

import argparse
import asyncio
import os
import sys
import tempfile
import time
from pathlib import Path

import ferrio

MANY, SIZE = 1000, 10 * 1024
LARGE, CHUNK = 1 << 30, 1 << 20


async def by_aiofiles(paths):
    """As in its documentation."""
    import aiofiles

    async def read(path):
        async with aiofiles.open(path, "rb") as file:
            return len(await file.read())

    return sum(await asyncio.gather(*map(read, paths)))


async def by_ferrio(paths):
    """The same program with ferrio's files."""

    async def read(path):
        async with ferrio.open(path, "rb") as file:
            return len(await file.read())

    return sum(await ferrio.gather(*map(read, paths)))


async def text_by_aiofiles(paths):
    """Line by line."""
    import aiofiles

    count = 0
    for path in paths:
        async with aiofiles.open(path, encoding="utf-8") as file:
            async for line in file:
                count += len(line)
    return count


async def text_by_ferrio(paths):
    """Line by line."""
    count = 0
    for path in paths:
        async with ferrio.open(path, encoding="utf-8") as file:
            async for line in file:
                count += len(line)
    return count


async def by_to_thread(paths):
    """`to_thread(path.read_bytes)` on the running loop."""
    namespace = ferrio if isinstance(asyncio.get_running_loop(), ferrio.EventLoop) else asyncio
    return sum(map(len, await namespace.gather(*[namespace.to_thread(path.read_bytes) for path in paths])))


def blocking_whole(path):
    """The built-in file, one read."""
    with open(path, "rb") as file:
        return len(file.read())


def blocking_chunks(path):
    """The built-in file, a mebibyte at a time."""
    count = 0
    with open(path, "rb") as file:
        while piece := file.read(CHUNK):
            count += len(piece)
    return count


async def ferrio_whole(path):
    """`ferrio.open`, one read."""
    async with ferrio.open(path, "rb") as file:
        return len(await file.read())


async def ferrio_chunks(path):
    """`ferrio.open`, a mebibyte at a time."""
    count = 0
    async with ferrio.open(path, "rb") as file:
        while piece := await file.read(CHUNK):
            count += len(piece)
    return count


def timed(run, function, argument, expected):
    """Seconds of wall and CPU time; the loop is made before the clock starts."""
    if run is None:
        began = time.perf_counter(), time.process_time()
        result = function(argument)
        spent = time.perf_counter() - began[0], time.process_time() - began[1]
    else:

        async def main():
            await function(argument[:20] if isinstance(argument, list) else os.devnull)  # starts the threads
            began = time.perf_counter(), time.process_time()
            result = await function(argument)
            return result, (time.perf_counter() - began[0], time.process_time() - began[1])

        result, spent = run(main())
    assert result == expected, (function, result)
    return spent


def report(title, ways, rounds, targets=()):
    """Runs the ways in turn, prints the best wall and CPU time of each.

    `targets`: which way may take at most how many times as long as which other. Returns the number of missed targets,
    by CPU time.
    """
    best = {}
    for _ in range(rounds):
        for name, arguments in ways.items():
            spent = timed(*arguments)
            best[name] = tuple(map(min, best.get(name, spent), spent))
    print(title)
    for name, (wall, cpu) in best.items():
        print(f"  {name:<34}{wall * 1e3:9.1f} ms wall {cpu * 1e3:9.1f} ms cpu")
    missed = 0
    for ours, most, other in targets:
        wall, cpu = (mine / theirs for mine, theirs in zip(best[ours], best[other], strict=True))
        mark = " " if cpu <= most else "!"
        missed += cpu > most
        print(f"{mark} {ours} / {other}: {wall:.2f} wall, {cpu:.2f} cpu (target: {most})")
    sys.stdout.flush()
    return missed


def main():
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--check", action="store_true", help="exit with status 1 if a target is missed")
    parser.add_argument("--large", type=int, default=LARGE, help="bytes of the large file; 0 leaves it out")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / str(number) for number in range(MANY)]
        for path in paths:
            path.write_bytes((b"x" * 63 + b"\n") * (SIZE // 64))
        total = MANY * SIZE
        ways = {
            "ferrio.open, ferrio": (ferrio.run, by_ferrio, paths, total),
            "ferrio.open, asyncio": (asyncio.run, by_ferrio, paths, total),
            "to_thread(read_bytes), ferrio": (ferrio.run, by_to_thread, paths, total),
            "to_thread(read_bytes), asyncio": (asyncio.run, by_to_thread, paths, total),
            "aiofiles, ferrio": (ferrio.run, by_aiofiles, paths, total),
            "aiofiles, asyncio": (asyncio.run, by_aiofiles, paths, total),
        }
        targets = [
            ("ferrio.open, ferrio", 0.3, "aiofiles, asyncio"),
            ("ferrio.open, ferrio", 0.7, "to_thread(read_bytes), asyncio"),
        ]
        missed = report(f"{MANY} files of {SIZE} bytes at once", ways, options.rounds, targets)
        few = paths[:20]
        ways = {
            "ferrio.open, ferrio": (ferrio.run, text_by_ferrio, few, 20 * SIZE),
            "aiofiles, asyncio": (asyncio.run, text_by_aiofiles, few, 20 * SIZE),
        }
        report("20 text files by line", ways, options.rounds)
        if options.large:
            large = Path(folder) / "large"
            with open(large, "wb") as file:
                os.posix_fallocate(file.fileno(), 0, options.large)
            blocking_chunks(large)
            for title, plain, ours in (
                ("one large file, one read", blocking_whole, ferrio_whole),
                ("one large file, chunks of 1 MiB", blocking_chunks, ferrio_chunks),
            ):
                ways = {
                    "built-in open": (None, plain, large, options.large),
                    "ferrio.open, ferrio": (ferrio.run, ours, large, options.large),
                }
                missed += report(title, ways, options.rounds, [("ferrio.open, ferrio", 1.1, "built-in open")])
    return 1 if options.check and missed else 0


if __name__ == "__main__":
    sys.exit(main())
