"""What a seed chooses: the same in every run and every process, whatever the machine does besides."""

import asyncio
import hashlib
import os
import subprocess
import sys
import textwrap
import threading

from ferrio import testing
from ferrio.testing import running


async def busy():
    """Tasks, a lock, a queue, timers due at one time, and calls in threads."""
    lock, queue, done = asyncio.Lock(), asyncio.Queue(2), asyncio.Event()
    seen = []

    async def produce(number):
        for item in range(2):
            await queue.put((number, item))
        await asyncio.sleep(1)
        seen.append(("produced", number))

    async def consume():
        while True:
            item = await queue.get()
            async with lock:
                seen.append(item)
                await asyncio.sleep(0.5)
            queue.task_done()

    async def call(number):
        seen.append(await asyncio.to_thread(lambda: ("thread", number)))
        await done.wait()
        seen.append(("woken", number))

    consumers = [asyncio.create_task(consume(), name=f"consumer {number}") for number in range(2)]
    async with asyncio.TaskGroup() as group:
        for number in range(2):
            group.create_task(produce(number), name=f"producer {number}")
            group.create_task(call(number), name=f"caller {number}")
        await asyncio.sleep(1)
        done.set()
    await queue.join()
    for consumer in consumers:
        consumer.cancel()
    await asyncio.gather(*consumers, return_exceptions=True)
    traces.append(seen)


traces = []


def trace(bench, order, program=busy, with_steps=True):
    """A hash of what ran and where, what was chosen, and what the program saw."""
    done = bench.run(program, order, with_steps=with_steps)
    assert done.error is None
    steps = [(step.what, step.where, step.chosen, step.of) for step in done.steps]
    return hashlib.sha256(repr((steps, done.schedule, done.of, traces.pop())).encode()).hexdigest()


def test_a_thousand_runs_of_a_seed_are_the_same():
    with running.Bench() as bench:
        order = {"way": "random", "seed": 7}
        seen = {trace(bench, order, with_steps=number % 50 == 0) for number in range(1000)}
        # With and without the steps.
        assert len(seen) == 2
        assert len({trace(bench, {"way": "random", "seed": seed}) for seed in range(20)}) == 20


def test_other_processes_choose_the_same():
    source = f"""
        import sys; sys.path.insert(0, {str(sys.path[0])!r})
        from ferrio.testing import running
        from tests.unit import test_determinism as it
        with running.Bench() as bench:
            for way in ("random", "priorities"):
                for seed in range(3):
                    print(it.trace(bench, {{"way": way, "seed": seed, "depth": 3, "length": 50}}))
    """

    def say(hash_seed):
        return subprocess.run(
            [sys.executable, "-c", textwrap.dedent(source)],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            check=True,
            capture_output=True,
            text=True,
        ).stdout

    said = say("1")
    assert len(set(said.split())) == 6 and said == say("2")


def orders_of(program, runs=60):
    """The orders that a program notes in the list that it is given."""
    seen = set()

    async def main():
        order = []
        await program(order)
        seen.add(tuple(order))

    testing.explore(main, runs=runs)
    return seen


def test_timers_due_at_one_time_go_on_in_any_order():
    async def program(order):
        async def sleep(number):
            await asyncio.sleep(1)
            order.append(number)

        await asyncio.gather(*map(sleep, range(3)))

    assert len(orders_of(program)) == 6


def test_waiters_that_are_woken_together_go_on_in_any_order():
    async def program(order):
        event = asyncio.Event()

        async def wait(number):
            await event.wait()
            order.append(number)

        async with asyncio.TaskGroup() as group:
            for number in range(3):
                group.create_task(wait(number))
            await asyncio.sleep(1)
            event.set()

    assert len(orders_of(program)) == 6


def test_a_thread_that_waits_for_the_loop_does_not_stop_it():
    async def program(order):
        loop, answered = asyncio.get_running_loop(), threading.Event()

        def ask():
            loop.call_soon_threadsafe(answered.set)
            return answered.wait(30)

        order.append(await asyncio.to_thread(ask))

    assert orders_of(program, runs=2) == {(True,)}
