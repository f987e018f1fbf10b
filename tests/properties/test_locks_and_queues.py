"""Random programs with locks and queues: asyncio and ferrio must do the same things in the same turns.

A program is a handful of tasks that use one shared object, and a conductor. The conductor lets turns pass and counts
them, looks at the objects, and cancels tasks now and then. All choices come from a seed, so both implementations get
the same program. The trace of what each task saw in which turn is compared.
"""

import asyncio
import random
import re
import sys

import pytest

import ferrio

TURNS = 60
SEEDS = range(40)

pytestmark = pytest.mark.skipif(
    sys.version_info < (3, 13),
    reason="Python 3.11 and 3.12 lack lock fixes of 3.13 (gh-111693, gh-112202) and the queues' shutdown()",
)


class Worker:
    """One task of a program, which chooses what to do next by its random numbers."""

    def __init__(self, aio, thing, name, seed, log):
        self.aio = aio
        self.thing = thing
        self.name = name
        self.random = random.Random(seed)
        self.log = log

    async def pause(self):
        for _ in range(self.random.randrange(3)):
            await self.aio.sleep(0)

    async def run(self, step):
        while True:
            await self.pause()
            try:
                self.log(self.name, await step(self))
            except (self.aio.CancelledError, self.aio.BrokenBarrierError) as error:
                self.log(self.name, type(error).__name__, error.args)
                if self.random.random() < 0.3:
                    raise


async def lock_step(worker):
    async with worker.thing:
        worker.log(worker.name, "has it")
        await worker.pause()
    return "gave it back"


async def lock_by_hand_step(worker):
    assert await worker.thing.acquire() is True
    try:
        worker.log(worker.name, "has it")
        await worker.pause()
    finally:
        worker.thing.release()


async def event_step(worker):
    choice = worker.random.random()
    if choice < 0.6:
        return await worker.thing.wait()
    if choice < 0.8:
        worker.thing.set()
    else:
        worker.thing.clear()
    return worker.thing.is_set()


async def condition_step(worker):
    async with worker.thing:
        choice = worker.random.random()
        if choice < 0.5:
            return await worker.thing.wait()
        if choice < 0.6:
            seen = []

            def third_time():
                seen.append(None)
                return len(seen) == 3

            return await worker.thing.wait_for(third_time)
        await worker.pause()
        if choice < 0.9:
            worker.thing.notify(worker.random.randrange(1, 4))
        else:
            worker.thing.notify_all()


async def barrier_step(worker):
    choice = worker.random.random()
    if choice < 0.05:
        return await worker.thing.reset()
    if choice < 0.052:
        return await worker.thing.abort()
    if choice < 0.5:
        async with worker.thing as position:
            return position
    return await worker.thing.wait()


async def queue_step(worker):
    choice = worker.random.random()
    try:
        if choice < 0.4:
            return "put", await worker.thing.put(worker.random.randrange(100))
        if choice < 0.8:
            item = await worker.thing.get()
            if worker.random.random() < 0.7:
                worker.thing.task_done()
            return "got", item
        if choice < 0.85:
            return "put", worker.thing.put_nowait(worker.random.randrange(100))
        if choice < 0.9:
            return "got", worker.thing.get_nowait()
        if choice < 0.902:
            return "shut down", worker.thing.shutdown(worker.random.random() < 0.5)
        return "joined", await worker.thing.join()
    except (worker.aio.QueueFull, worker.aio.QueueEmpty, worker.aio.QueueShutDown) as error:
        return type(error).__name__


PROGRAMS = {
    "Lock": (lambda aio, _: aio.Lock(), lock_step),
    "Lock by hand": (lambda aio, _: aio.Lock(), lock_by_hand_step),
    "Semaphore": (lambda aio, rng: aio.Semaphore(rng.randrange(1, 4)), lock_step),
    "BoundedSemaphore": (lambda aio, rng: aio.BoundedSemaphore(rng.randrange(1, 4)), lock_by_hand_step),
    "Event": (lambda aio, _: aio.Event(), event_step),
    "Condition": (lambda aio, _: aio.Condition(), condition_step),
    "Barrier": (lambda aio, rng: aio.Barrier(rng.randrange(1, 4)), barrier_step),
    "Queue": (lambda aio, rng: aio.Queue(rng.randrange(4)), queue_step),
    "PriorityQueue": (lambda aio, rng: aio.PriorityQueue(rng.randrange(4)), queue_step),
    "LifoQueue": (lambda aio, rng: aio.LifoQueue(rng.randrange(4)), queue_step),
}


def shown(thing):
    """Returns the `repr` without the class's module and the address."""
    return re.sub(r"^.*? (?:object )?at 0x[0-9a-f]+", "", repr(thing))


def comparable(value):
    """Returns exceptions as class and arguments, since no two are equal."""
    if isinstance(value, list):
        return [comparable(element) for element in value]
    return (type(value), value.args) if isinstance(value, BaseException) else value


def trace(aio, loop_factory, program, seed):
    """Runs one program and returns what happened."""
    make, step = PROGRAMS[program]
    conductor = random.Random(seed)
    happened = []
    turn = 0

    def log(*what):
        happened.append((turn, *what))

    async def main():
        nonlocal turn
        thing = make(aio, conductor)
        workers = [Worker(aio, thing, name, f"{seed} {name}", log) for name in "abcdefg"]
        tasks = [aio.create_task(worker.run(step)) for worker in workers]
        for turn in range(TURNS):
            log(shown(thing))
            if conductor.random() < 0.2:
                victim = conductor.randrange(len(tasks))
                log("cancel", victim, tasks[victim].cancel(f"in turn {turn}"))
            await aio.sleep(0)
        # Some go on after a cancellation.
        while left := [task for task in tasks if not task.done()]:
            for task in left:
                task.cancel("at the end")
            await aio.sleep(0)
        log(shown(thing), await aio.gather(*tasks, return_exceptions=True))

    loop = loop_factory()
    try:
        loop.run_until_complete(main())
    finally:
        loop.close()
    return [tuple(map(comparable, what)) for what in happened]


@pytest.mark.parametrize("program", PROGRAMS)
def test_ferrio_does_what_asyncio_does(program):
    for seed in SEEDS:
        expected = trace(asyncio, asyncio.new_event_loop, program, seed)
        assert trace(ferrio, ferrio.new_event_loop, program, seed) == expected, f"seed {seed}"


class FerriosObjectsOnly:
    """asyncio, except that the locks and queues are ferrio's."""

    def __getattr__(self, name):
        ours = name in ferrio.locks.__all__ or name in ferrio.queues.__all__
        return getattr(ferrio if ours else asyncio, name)


@pytest.mark.parametrize("program", PROGRAMS)
def test_ferrios_objects_do_the_same_in_standard_tasks(program):
    for seed in SEEDS[:10]:
        expected = trace(asyncio, asyncio.new_event_loop, program, seed)
        assert trace(FerriosObjectsOnly(), asyncio.new_event_loop, program, seed) == expected, f"seed {seed}"
