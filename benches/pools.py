"""The cost of a call in another process: `to_process` and `run_in_executor` compared with the bare `concurrent.futures`
pool.

This file holds the command and the programs that are timed. Invariant: the ways are interleaved. Each makes the same
calls on its own warm pool of one process, and checks every result.
"""

import argparse
import asyncio
import concurrent.futures
import sys
import time

import ferrio

CALLS, WARM = 2_000, 200
TOGETHER = 5_000


def bare_in_turn(pool, count):
    """The pool itself, in a program without a loop."""
    for number in range(count):
        assert pool.submit(abs, -number).result() == number


def bare_together(pool, count):
    """The pool itself; all calls are made before the first is waited for."""
    futures = [pool.submit(abs, -number) for number in range(count)]
    assert [future.result() for future in futures] == list(range(count))


def in_turn(names, call):
    """A coroutine function that awaits each call before it makes the next."""

    async def main(pool, count):
        one = call(names, pool)
        for number in range(count):
            assert await one(number) == number

    return main


def together(names, call):
    """A coroutine function that makes all calls at once."""

    async def main(pool, count):
        one = call(names, pool)
        assert await names.gather(*map(one, range(count))) == list(range(count))

    return main


def run_in_executor(names, pool):
    """One call, asyncio's way."""
    loop = names.get_running_loop()
    return lambda number: loop.run_in_executor(pool, abs, -number)


def to_process(names, pool):
    """One call, ferrio's way."""
    names.get_running_loop().set_process_executor(pool)
    return lambda number: ferrio.to_process(abs, -number)


def timed(run, way, count):
    """Seconds of wall time and of this process's CPU time for `count` calls."""
    with concurrent.futures.ProcessPoolExecutor(1) as pool:
        if run is None:
            way(pool, WARM)
            began = time.perf_counter(), time.process_time()
            way(pool, count)
            return time.perf_counter() - began[0], time.process_time() - began[1]

        async def main():
            await way(pool, WARM)
            began = time.perf_counter(), time.process_time()
            await way(pool, count)
            return time.perf_counter() - began[0], time.process_time() - began[1]

        return run(main())


def report(title, count, bare, ways, rounds):
    """Runs the bare pool and the ways in turn, and prints the best wall and CPU time of each. It also prints how many
    times as long as the bare pool each took.
    """
    ways = {"the bare pool": (None, bare)} | ways
    best = {}
    for _ in range(rounds):
        for name, (run, way) in ways.items():
            spent = timed(run, way, count)
            best[name] = tuple(map(min, best.get(name, spent), spent))
    print(title)
    base = best["the bare pool"]
    for name, (wall, cpu) in best.items():
        print(
            f"  {name:<28}{wall / count * 1e6:9.1f} us wall {cpu / count * 1e6:9.1f} us cpu"
            f"{wall / base[0]:7.2f} {cpu / base[1]:5.2f}"
        )
    sys.stdout.flush()


def uvloop_run():
    """uvloop's `run`, or `None` if it isn't installed."""
    try:
        import uvloop
    except ImportError:
        return None

    def run(main):
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(main)

    return run


def main():
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    for title, count, bare, shape in (
        ("one by one", CALLS, bare_in_turn, in_turn),
        ("all at once", TOGETHER, bare_together, together),
    ):
        ways = {"run_in_executor, asyncio": (asyncio.run, shape(asyncio, run_in_executor))}
        if uvloop := uvloop_run():
            ways["run_in_executor, uvloop"] = (uvloop, shape(asyncio, run_in_executor))
        ways |= {
            "run_in_executor, ferrio": (ferrio.run, shape(ferrio, run_in_executor)),
            "to_process, ferrio": (ferrio.run, shape(ferrio, to_process)),
        }
        report(f"a call of abs() in a process pool, {count} {title}", count, bare, ways, options.rounds)


if __name__ == "__main__":
    main()
