"""The process that runs one program on one implementation, measures it, and prints the figures as a line of JSON.

    python process.py IMPLEMENTATION CPU ROW PLACE SLICES

`run.py` starts it. PLACE is where the row's service is, in JSON. After a slice of work that isn't counted it measures
SLICES more, and prints the CPU and wall nanoseconds of each operation in each of them.

Invariant: the loop that runs is the one that the column names. A program has no way to make another: its loop is
checked from inside.
"""

import asyncio
import gc
import importlib
import json
import os
import sys
import time
import traceback

import beside  # noqa: F401 - makes the modules of benches/ importable
import catalogue
import implementations


def load(implementation: implementations.Implementation):
    """Import an implementation; returns what runs a coroutine on its loop, and its version.

    Programs use libraries that say `import asyncio`. So ferrio's own names are asyncio's there, as with `python -m
    ferrio`.
    """
    _, run, version = implementations.load(implementation)
    if implementation.own_names:
        importlib.import_module(implementation.package).install()
        return asyncio.run, version
    return run, version


async def measure(implementation: implementations.Implementation, row: catalogue.Row, place, slices: int) -> dict:
    """Run the program of a row; returns the figures, a list for each clock."""
    implementations.check_loop(implementation, asyncio.get_running_loop())
    figures = {"cpu": [], "wall": []}
    async with row.load()(place) as operate:
        await operate(row.n)
        for _ in range(slices):
            gc.collect()
            cpu, wall = time.process_time_ns(), time.perf_counter_ns()
            await operate(row.n)
            cpu, wall = time.process_time_ns() - cpu, time.perf_counter_ns() - wall
            figures["cpu"].append(cpu / row.n)
            figures["wall"].append(wall / row.n)
    return figures


def main(name: str, cpu: str, title: str, place: str, slices: str) -> dict:
    """Do what the file's head says; returns the line's content."""
    if cpu:
        os.sched_setaffinity(0, [int(cpu)])
    implementation = implementations.IMPLEMENTATIONS[name]
    row = next(each for each in catalogue.ROWS if each.name == title)
    try:
        run, version = load(implementation)
        return {"version": version} | run(measure(implementation, row, json.loads(place), int(slices)))
    except BaseException:
        return {"error": traceback.format_exc()}


if __name__ == "__main__":
    # The answer has its own descriptor: what a library prints goes to standard error.
    ANSWER = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    outcome = main(*sys.argv[1:])
    ANSWER.write(json.dumps(outcome) + "\n")
    ANSWER.flush()
