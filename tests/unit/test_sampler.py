"""`_ferrio._Sampler`: the rows of a table of tasks, and the samples of where a loop's time goes.

A step that must be seen in a sample goes on until it was, so no test depends on the machine's speed.
"""

import contextlib
import gc
import os
import threading
import weakref

import pytest

import ferrio
from ferrio import _ferrio


@contextlib.contextmanager
def sampling():
    """A sampler that takes samples of all loops in a thread of its own."""
    sampler = _ferrio._Sampler()
    readable, writable = os.pipe()
    thread = threading.Thread(target=sampler.wait, args=(readable,))
    sampler.attach(True)
    thread.start()
    try:
        yield sampler
    finally:
        os.write(writable, b"x")
        thread.join()
        sampler.attach(False)
        os.close(readable)
        os.close(writable)


def rows_of(sampler, loop):
    """The rows by the task's name."""
    sampler.settle(loop)
    rows, more = sampler.rows(loop, 0, 1000)
    assert not more
    return {str(row[0][2]): row for row in rows}


async def until(condition):
    while not condition():
        await ferrio.sleep(0)


def test_states_and_counts():
    async def main():
        loop = ferrio.get_running_loop()
        future = loop.create_future()

        async def waits():
            for _ in range(3):
                await ferrio.sleep(0)
            await ferrio.sleep(0.001)
            await future

        async def sleeps():
            await ferrio.sleep(1000)

        ferrio.current_task().set_name("main")
        tasks = [ferrio.create_task(waits(), name="waits"), ferrio.create_task(sleeps(), name="sleeps")]
        await until(lambda: rows_of(sampler, loop)["waits"][1][1] == 5)
        ready = ferrio.create_task(waits(), name="ready")
        rows = rows_of(sampler, loop)
        # Three bare turns, the wake-up from the sleep, and the first step.
        assert rows["waits"][1] == ("waiting", 5, 1)
        assert rows["waits"][0][3].endswith(".waits")
        assert rows["sleeps"][1] == ("waiting", 1, 0)
        assert 900 < rows["sleeps"][4] <= 1000
        assert rows["waits"][4] is None
        assert rows["main"][1][0] == "running"
        assert rows["ready"][1] == ("scheduled", 0, 0)
        future.set_result(None)
        await ferrio.sleep(0)
        assert rows_of(sampler, loop)["sleeps"][1][0] == "waiting"
        assert "waits" not in rows_of(sampler, loop)
        for task in (ready, *tasks):
            task.cancel()

    sampler = _ferrio._Sampler()
    ferrio.run(main())


def test_a_wake_up_that_is_due_makes_a_task_scheduled():
    async def main():
        loop = ferrio.get_running_loop()
        future = loop.create_future()

        async def waits():
            await future

        task = ferrio.create_task(waits(), name="waits")
        await ferrio.sleep(0)
        assert rows_of(sampler, loop)["waits"][1][0] == "waiting"
        future.set_result(None)
        assert rows_of(sampler, loop)["waits"][1][0] == "scheduled"
        await task

    sampler = _ferrio._Sampler()
    ferrio.run(main())


def test_numbers_are_never_used_again():
    async def main():
        loop = ferrio.get_running_loop()
        seen = set()
        for _ in range(50):
            task = ferrio.create_task(ferrio.sleep(0), name="one")
            place, number = rows_of(sampler, loop)["one"][0][:2]
            assert sampler.task(loop, place, number) is task
            assert sampler.place(loop, task) == (place, number)
            seen.add(number)
            await task
            assert sampler.task(loop, place, number) is None
            assert sampler.place(loop, task) is None
        assert len(seen) == 50

    sampler = _ferrio._Sampler()
    ferrio.run(main())


def test_a_table_in_pieces():
    async def main():
        loop = ferrio.get_running_loop()
        tasks = [ferrio.create_task(ferrio.sleep(1000), name=str(number)) for number in range(100)]
        names, start, more = [], 0, True
        while more:
            rows, more = sampler.rows(loop, start, 7)
            assert len(rows) <= 7
            names += [row[0][2] for row in rows]
            start += 7
        assert {task.get_name() for task in tasks} <= set(names)
        assert len(names) == len(set(names)) == 101
        for task in tasks:
            task.cancel()

    sampler = _ferrio._Sampler()
    ferrio.run(main())


def test_time_goes_to_the_task_that_runs_and_to_those_that_are_ready():
    async def main():
        loop = ferrio.get_running_loop()

        def both_seen():
            rows = rows_of(sampler, loop)
            return rows["busy"][3][0] > 0 and rows["ready"][3][1] > 0

        async def busy():
            # One step until it was seen to run.
            while rows_of(sampler, loop)["busy"][3][0] == 0:
                pass
            await until(both_seen)

        async def ready():
            while True:
                await ferrio.sleep(0)

        other = ferrio.create_task(ready(), name="ready")
        idle = ferrio.create_task(ferrio.sleep(1000), name="idle")
        await ferrio.create_task(busy(), name="busy")
        rows = rows_of(sampler, loop)
        assert rows["idle"][3] == (0, 0)
        numbers = sampler.numbers(loop)
        assert 0 < numbers["busy"] <= numbers["sampled"]
        assert numbers["pending"] == 3
        assert numbers["running"]
        other.cancel()
        idle.cancel()

    with sampling() as sampler:
        with ferrio.Runner() as runner:
            runner.get_loop()
            sampler.attach(True)
            runner.run(main())


def test_ages():
    async def main():
        loop = ferrio.get_running_loop()
        before = ferrio.create_task(ferrio.sleep(1000), name="before")
        sampler.add(loop)
        later = ferrio.create_task(ferrio.sleep(1000), name="later")
        rows = rows_of(sampler, loop)
        assert rows["before"][2][1], "it began before the first look"
        assert not rows["later"][2][1]
        assert 0 <= rows["later"][2][0] <= rows["before"][2][0]
        before.cancel()
        later.cancel()

    sampler = _ferrio._Sampler()
    ferrio.run(main())


def test_a_sampler_keeps_nothing_alive():
    with sampling() as sampler:
        loop = ferrio.new_event_loop()
        sampler.attach(True)
        loop.run_until_complete(ferrio.sleep(0))
        loop.close()
        gone = weakref.ref(loop)
        del loop
        gc.collect()
        assert gone() is None


@pytest.mark.parametrize("name", ["Ünïcode", "-5", ""])
def test_odd_names(name):
    async def main():
        ferrio.current_task().set_name(name)
        assert name in rows_of(sampler, ferrio.get_running_loop())

    sampler = _ferrio._Sampler()
    ferrio.run(main())


def test_odd_coroutines():
    class Odd:
        def __await__(self):
            yield

        def __getattr__(self, name):
            raise AssertionError(f"{name} was asked for")

    class Coroutine(Odd):
        def send(self, value):
            raise StopIteration

        def throw(self, *error):
            raise error[0]

        def close(self):
            pass

    async def main():
        task = ferrio.create_task(Coroutine(), name="odd")
        assert rows_of(sampler, ferrio.get_running_loop())["odd"][0][3].endswith("Coroutine")
        await task

    sampler = _ferrio._Sampler()
    ferrio.run(main())
