"""`explore(strategy="exhaustive", reduce=True)`: fewer runs, and every outcome that all orders have."""

import asyncio
import contextvars
import random
import sys

import pytest

from ferrio.testing import explore
from ferrio.testing.reducing import Reduction
from ferrio.testing.running import Bench

total = 0


def all_outcomes(program):
    """Returns what all orders of the program return, and how many runs that took."""
    seen = set()

    async def main():
        seen.add(await program())

    done = explore(main, strategy="exhaustive", runs=20_000)
    assert done.complete
    return seen, done.runs


def outcomes(program):
    """Returns what the orders return that a reduction takes for different ones, and how many runs there were."""
    seen, runs = set(), 0
    returned = []

    async def main():
        returned.append(await program())

    reduction = Reduction()
    with Bench() as bench:
        while True:
            done = bench.run(main, {"way": "asked", "ask": reduction.ask})
            assert done.error is None
            runs += 1
            if not reduction.is_redundant:
                seen.add(returned[-1])
            if not reduction.next():
                return seen, runs


def both(program):
    """Returns the runs without and with reduction, whose outcomes are the same."""
    every, runs = all_outcomes(program)
    some, fewer = outcomes(program)
    assert some == every
    return runs, fewer


async def apart():
    async def count(number):
        box = [number]
        await asyncio.sleep(0)
        box[0] += 1
        return box[0]

    return tuple(await asyncio.gather(count(1), count(2), count(3)))


async def through_pairs():
    async def pair(log):
        queue = asyncio.Queue()

        async def put():
            for number in range(2):
                await queue.put(number)

        task = asyncio.ensure_future(put())
        log += [await queue.get() for _ in range(2)]
        await task
        return tuple(log)

    return tuple(await asyncio.gather(pair([]), pair([])))


def test_steps_that_have_nothing_in_common_are_tried_in_one_order():
    runs, fewer = both(apart)
    assert fewer < runs / 4
    runs, fewer = both(through_pairs)
    assert fewer < runs


class Account:
    shared = 0

    def __init__(self):
        self.own = 0


class Cell:
    __slots__ = ("value",)


async def read_wait_write(get, put, tasks=2):
    async def add():
        seen = get()
        await asyncio.sleep(0)
        put(seen + 1)

    await asyncio.gather(*(add() for _ in range(tasks)))
    return get()


async def with_a_closure():
    count = 0

    async def add():
        nonlocal count
        seen = count
        await asyncio.sleep(0)
        count = seen + 1

    async def other(log):
        await asyncio.sleep(0)
        log.append(1)

    await asyncio.gather(add(), other([]), add())
    return count


async def with_a_global():
    global total
    total = 0

    async def add():
        global total
        seen = total
        await asyncio.sleep(0)
        total = seen + 1

    await asyncio.gather(add(), add())
    return total


async def with_a_module():
    this = sys.modules[__name__]
    this.total = 0

    async def add():
        seen = this.total
        await asyncio.sleep(0)
        this.total = seen + 1

    await asyncio.gather(add(), add())
    return this.total


async def with_a_class():
    Account.shared = 0

    async def add():
        seen = Account.shared
        await asyncio.sleep(0)
        Account.shared = seen + 1

    await asyncio.gather(add(), add())
    return Account.shared


async def with_an_object():
    account = Account()
    return await read_wait_write(lambda: account.own, lambda value: setattr(account, "own", value))


async def with_slots():
    cell = Cell()
    cell.value = 0

    def put(value):
        cell.value = value

    return await read_wait_write(lambda: cell.value, put)


async def with_a_method():
    class Counter:
        def __init__(self):
            self.count = 0

        async def add(self):
            seen = self.count
            await asyncio.sleep(0)
            self.count = seen + 1

    counter = Counter()
    await asyncio.gather(counter.add(), counter.add())
    return counter.count


async def with_a_function():
    def counter():
        pass

    counter.count = 0

    async def add():
        seen = counter.count
        await asyncio.sleep(0)
        counter.count = seen + 1

    await asyncio.gather(add(), add())
    return counter.count


async def with_a_default():
    async def add(box=[0]):  # noqa: B006
        seen = box[0]
        await asyncio.sleep(0)
        box[0] = seen + 1
        return box

    return max((await asyncio.gather(add(), add()))[0])


async def with_a_dictionary_of_tasks():
    found = {}

    async def note(name):
        await asyncio.sleep(0)
        found[name] = len(found)

    await asyncio.gather(note("a"), note("b"), note("c"))
    return tuple(sorted(found.items()))


async def with_an_iterator():
    numbers = iter(range(4))

    async def take():
        first = next(numbers)
        await asyncio.sleep(0)
        return first, next(numbers)

    return tuple(await asyncio.gather(take(), take()))


async def with_a_generator():
    def count():
        yield from range(4)

    numbers = count()

    async def take():
        first = next(numbers)
        await asyncio.sleep(0)
        return first, next(numbers)

    return tuple(await asyncio.gather(take(), take()))


async def with_a_context_variable():
    variable = contextvars.ContextVar("variable")
    variable.set([])

    async def note(name):
        await asyncio.sleep(0)
        variable.get().append(name)

    await asyncio.gather(note("a"), note("b"))
    return tuple(variable.get())


async def with_a_lock():
    lock, log = asyncio.Lock(), []

    async def note(name):
        async with lock:
            log.append(name)
            await asyncio.sleep(0)

    await asyncio.gather(note("a"), note("b"), note("c"))
    return tuple(log)


async def with_an_event():
    event = asyncio.Event()

    async def wait():
        before = event.is_set()
        await event.wait()
        return before

    async def set_it():
        event.set()

    return tuple(await asyncio.gather(wait(), set_it(), wait()))


async def with_callbacks():
    log = []

    async def call(name):
        asyncio.get_running_loop().call_soon(log.append, name)
        await asyncio.sleep(0)

    await asyncio.gather(call("a"), call("b"))
    await asyncio.sleep(0)
    return tuple(log)


async def with_timers_at_one_time():
    log = []

    async def call(name):
        asyncio.get_running_loop().call_later(1, log.append, name)

    await asyncio.gather(call("a"), call("b"))
    await asyncio.sleep(2)
    return tuple(log)


async def with_the_first_that_is_done():
    async def work(number):
        await asyncio.sleep(0)
        return number

    done, _ = await asyncio.wait({asyncio.ensure_future(work(n)) for n in range(2)}, return_when="FIRST_COMPLETED")
    return tuple(sorted(task.result() for task in done))


async def with_a_cancellation():
    async def work():
        await asyncio.sleep(0)
        return "done"

    task = asyncio.ensure_future(work())

    async def cancel():
        task.cancel()

    await cancel_beside(cancel, [])
    return (await asyncio.gather(task, return_exceptions=True))[0] == "done"


async def cancel_beside(cancel, log):
    async def other():
        log.append(1)
        await asyncio.sleep(0)

    await asyncio.gather(asyncio.ensure_future(cancel()), other())


PROGRAMS = [known for name, known in list(globals().items()) if name.startswith("with_")]


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_every_outcome_is_found(program):
    runs, fewer = both(program)
    assert fewer <= runs


def generated(seed):
    """Returns a random program of three tasks that share some of what they use."""
    chance = random.Random(seed)
    plans = []
    for _task in range(3):
        names = chance.sample("abc", chance.randrange(1, 3))
        plans.append([(chance.choice("rwlsq"), chance.choice(names)) for _ in range(chance.randrange(1, 4))])

    async def main():
        boxes = {name: [0] for name in "abc"}
        locks = {name: asyncio.Lock() for name in "abc"}
        queues = {name: asyncio.Queue() for name in "abc"}

        async def work(plan, parts):
            seen = 0
            for action, (box, lock, queue) in zip(plan, parts, strict=True):
                if action == "r":
                    seen = box[0]
                elif action == "w":
                    box[0] = 2 * seen + 1
                elif action == "s":
                    await asyncio.sleep(0)
                elif action == "q":
                    queue.put_nowait(seen)
                    seen += queue.qsize()
                else:
                    async with lock:
                        seen = box[0]
                        await asyncio.sleep(0)
                        box[0] = seen + 1
            return seen

        parts = [[(boxes[name], locks[name], queues[name]) for _action, name in plan] for plan in plans]
        actions = [[action for action, _name in plan] for plan in plans]
        results = await asyncio.gather(*map(work, actions, parts))
        return *results, *(box[0] for box in boxes.values()), *(queue.qsize() for queue in queues.values())

    return main


@pytest.mark.parametrize("part", range(4))
def test_random_programs_have_every_outcome(part):
    most = 0
    for seed in range(part, 16, 4):
        runs, fewer = both(generated(seed))
        most = max(most, runs / fewer)
    assert most > 1.5


def test_a_fault_is_found_in_fewer_runs():
    async def main():
        assert await with_a_closure() == 2

    with pytest.raises(AssertionError) as failed:
        explore(main, strategy="exhaustive", runs=1000, reduce=True)
    assert "replay(" in failed.value.__notes__[-1]


@pytest.mark.parametrize("options", [{"strategy": "random"}, {"strategy": "exhaustive", "relaxed": True}])
def test_other_orders_cannot_be_reduced(options):
    with pytest.raises(ValueError, match="reduce needs"):
        explore(apart, reduce=True, **options)
