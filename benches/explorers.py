"""How many orders a second an explorer tries: `ferrio.testing.explore` compared with detangle and simloom.

looptime and async-solipsism have a virtual clock and asyncio's order alone, so they show what a bare run costs. This
file holds the command, the programs and the ways of running them. Invariant: the ways are interleaved. Each runs
the same programs from the same seeds, chooses at random and on virtual time, and must run as often as it was told.
"""

import argparse
import asyncio
import functools
import gc
import importlib
import json
import statistics
import sys
import time

import ferrio
from ferrio import testing


def lost_update(names):
    """Two tasks read, pause and write. What is lost isn't looked at, so every run goes to its end."""

    async def main():
        value = 0

        async def add():
            nonlocal value
            seen = value
            await names.sleep(0)
            value = seen + 1

        await names.gather(add(), add())

    return main


def queue(names):
    """Three workers share a queue of nine items."""

    async def main():
        items, taken = names.Queue(), []

        async def work():
            while True:
                taken.append(await items.get())
                items.task_done()

        workers = [names.create_task(work()) for _ in range(3)]
        for number in range(9):
            items.put_nowait(number)
        await items.join()
        for worker in workers:
            worker.cancel()
        await names.gather(*workers, return_exceptions=True)
        assert sorted(taken) == list(range(9))

    return main


def lock(names):
    """Four tasks sleep inside a lock, twice each."""

    async def main():
        inside = names.Lock()

        async def work():
            for _ in range(2):
                async with inside:
                    await names.sleep(0.1)
                await names.sleep(0.01)

        await names.gather(*(work() for _ in range(4)))

    return main


def sleeps(names):
    """Ten tasks sleep three times each, some of them for as long as others."""

    async def main():
        async def work(number):
            for _ in range(3):
                await names.sleep(0.1 * (number % 3))

        async with names.TaskGroup() as group:
            for number in range(10):
                group.create_task(work(number))

    return main


PROGRAMS = (lost_update, queue, lock, sleeps)


def by_ferrio(names, program, runs, seed):
    """ferrio's explorer, with ferrio's or asyncio's classes."""
    assert testing.explore(program(names), runs=runs, seed=seed).runs == runs


def by_detangle(program, runs, seed):
    """detangle's, with its seeded random walk."""
    import detangle

    walk = detangle.RandomWalk(seed)
    stats = detangle.explore(program(asyncio), runs=runs, strategy=walk, database=False, shrink=False)
    assert stats.runs == runs


def by_simloom(program, runs, seed):
    """simloom's; the program needs no world of hosts, which costs time."""
    import simloom

    found = simloom.explore(program(asyncio), runs=runs, start_seed=seed, world=False)
    assert found.runs == runs and not found.failed


def by_loop(make, program, runs, seed):
    """No explorer: the program runs again and again on new loops."""
    main = program(asyncio)
    for _ in range(runs):
        with asyncio.Runner(loop_factory=make) as runner:
            runner.run(main())


def looptime_loop():
    """A loop of looptime's, whose clock stands still while nothing waits."""
    import looptime

    return looptime.new_event_loop(start=0)


def solipsism_loop():
    """A loop of async-solipsism's."""
    import async_solipsism

    return async_solipsism.EventLoop()


EXPLORERS = {
    "ferrio": (functools.partial(by_ferrio, ferrio), None),
    "ferrio, asyncio's classes": (functools.partial(by_ferrio, asyncio), None),
    "detangle": (by_detangle, "detangle"),
    "simloom": (by_simloom, "simloom"),
}
CLOCKS = {
    "looptime": (functools.partial(by_loop, looptime_loop), "looptime"),
    "async-solipsism": (functools.partial(by_loop, solipsism_loop), "async_solipsism"),
    "asyncio, real sleeps": (functools.partial(by_loop, asyncio.new_event_loop), None),
}
PEERS = ("detangle", "simloom")


def installed(ways):
    """Those whose package is there."""
    for name, (run, package) in ways.items():
        try:
            if package is not None:
                importlib.import_module(package)
        except ImportError as missing:
            print(f"{name} is left out: {missing}", file=sys.stderr)
            continue
        yield name, run


def timed(run, program, runs, seed):
    """Runs a second, by the wall and by this process's CPU time."""
    gc.collect()
    began = time.perf_counter(), time.process_time()
    run(program, runs, seed)
    return runs / (time.perf_counter() - began[0]), runs / (time.process_time() - began[1])


def measure(ways, program, rounds, runs):
    """The medians of some rounds, in which each way has its turn."""
    for run in ways.values():
        run(program, 3, 0)
    found = {name: [] for name in ways}
    for number in range(rounds):
        for name, run in ways.items():
            # The slow ones run less often, for about as long.
            few = runs if name.startswith("ferrio") else max(10, runs // 10)
            found[name].append(timed(run, program, few, number * runs))
    return {name: [statistics.median(column) for column in zip(*took, strict=True)] for name, took in found.items()}


def show(results):
    """Prints a table for each clock: runs a second, and how much faster ferrio is than the fastest other explorer."""
    width = max(map(len, EXPLORERS | CLOCKS))
    for place, clock in enumerate(("of wall time", "of CPU time")):
        print(f"\n{'runs a second ' + clock:{width}}" + "".join(f"{name:>14}" for name in results))
        for name in next(iter(results.values())):
            row = [f"{took[name][place]:14,.0f}" if name in took else f"{'':14}" for took in results.values()]
            print(f"{name:{width}}" + "".join(row))
        peers = [[took[name][place] for name in PEERS if name in took] for took in results.values()]
        if all(peers):
            times = [took["ferrio"][place] / max(rates) for took, rates in zip(results.values(), peers, strict=True)]
            print(f"{'ferrio, times the fastest peer':{width}}" + "".join(f"{by:14.1f}" for by in times))


def main():
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=2_000, help="runs of ferrio's in a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", help="programs whose name contains this")
    parser.add_argument("--clocks", action="store_true", help="also the loops that explore nothing")
    parser.add_argument("--json", help="a file for the results")
    options = parser.parse_args()
    ways = dict(installed(EXPLORERS | (CLOCKS if options.clocks else {})))
    results = {}
    for program in PROGRAMS:
        if options.only in program.__name__:
            # Real sleeps would take minutes.
            fit = {name: run for name, run in ways.items() if "real" not in name or program in (lost_update, queue)}
            results[program.__name__] = measure(fit, program, options.rounds, options.runs)
    show(results)
    if options.json:
        with open(options.json, "w") as file:
            json.dump({"python": sys.version.split()[0], "runs_a_second": results}, file, indent=1)


if __name__ == "__main__":
    main()
