"""`ferrio.testing.explore` finds faults that depend on the order, and what it prints brings them back."""

import asyncio
import os
import pathlib
import re
import subprocess
import sys
import textwrap

import pytest

import ferrio
from ferrio import testing


async def pause(turns):
    for _ in range(turns):
        await asyncio.sleep(0)


async def together(**bodies):
    async with asyncio.TaskGroup() as group:
        for name, body in bodies.items():
            group.create_task(body, name=name)


async def lost_update():
    value = 0

    async def add(turns):
        nonlocal value
        await pause(turns)
        seen = value
        await asyncio.sleep(0)
        value = seen + 1

    await together(soon=add(0), later=add(3))
    assert value == 2


async def check_then_act():
    queue = asyncio.Queue()
    queue.put_nowait("the only one")

    async def take(turns):
        await pause(turns)
        if not queue.empty():
            await asyncio.sleep(0)
            queue.get_nowait()

    await together(soon=take(0), later=take(3))


async def lock_order():
    first, second = asyncio.Lock(), asyncio.Lock()

    async def hold(outer, inner, turns):
        await pause(turns)
        async with outer:
            await asyncio.sleep(0)
            async with inner:
                pass

    await together(soon=hold(first, second, 0), later=hold(second, first, 4))


async def old_wait_for(awaitable, timeout):
    """As it was once: a result that comes together with a cancellation is lost."""
    loop = asyncio.get_running_loop()
    waiter = loop.create_future()
    timer = loop.call_later(timeout, waiter.cancel)
    task = loop.create_task(awaitable)
    task.add_done_callback(lambda _done: waiter.done() or waiter.set_result(None))
    try:
        await waiter
        return task.result()
    finally:
        timer.cancel()
        task.cancel()


async def lost_item():
    queue = asyncio.Queue()
    got = []

    async def consume():
        got.append(await old_wait_for(queue.get(), 60))

    consumer = asyncio.create_task(consume(), name="consumer")

    async def produce():
        await pause(2)
        queue.put_nowait("item")

    async def call_off():
        await pause(8)
        consumer.cancel()

    await together(producer=produce(), canceller=call_off())
    await asyncio.wait([consumer])
    assert queue.qsize() + len(got) == 1


async def leaked_semaphore():
    limit = asyncio.Semaphore(1)

    async def work():
        await limit.acquire()
        await asyncio.sleep(0)
        limit.release()

    worker = asyncio.create_task(work(), name="worker")

    async def call_off():
        await pause(4)
        worker.cancel()

    await together(canceller=call_off())
    await asyncio.wait([worker])
    assert not limit.locked()


async def double_close():
    closed = False

    async def close(turns):
        nonlocal closed
        await pause(turns)
        if not closed:
            await asyncio.sleep(0)  # sends what is left
            assert not closed, "closed twice"
            closed = True

    await together(soon=close(0), later=close(3))


FAULTS = {
    lost_update: AssertionError,
    check_then_act: asyncio.QueueEmpty,
    lock_order: testing.WaitsForever,
    lost_item: AssertionError,
    leaked_semaphore: AssertionError,
    double_close: AssertionError,
}
RUNS = 500
STRATEGIES = ("random", "priorities", "exhaustive")


def found(program, **options):
    """The exception by which `explore` says that it found a fault, and the schedule."""
    with pytest.raises(BaseException) as caught:
        testing.explore(program, runs=RUNS, **options)
    [note] = caught.value.__notes__
    return caught.value, re.search(r"replay\(\.\.\., '(.*)'\)", note)[1]


def root(error):
    return error.exceptions[0] if isinstance(error, BaseExceptionGroup) else error


@pytest.mark.parametrize("program", FAULTS, ids=lambda program: program.__name__)
def test_asyncio_s_order_hides_the_fault(program):
    ferrio.run(program())


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("program", FAULTS, ids=lambda program: program.__name__)
def test_planted_faults_are_found_and_replayed(program, strategy):
    error, schedule = found(program, strategy=strategy)
    assert isinstance(root(error), FAULTS[program])
    for _ in range(100):
        with pytest.raises(type(error)) as again:
            testing.replay(program, schedule)
        assert str(root(again.value))[:20] == str(root(error))[:20]


@pytest.mark.skipif(sys.version_info[:2] != (3, 13), reason="asyncio's own classes take other steps elsewhere")
def test_the_guide_says_how_many_runs_it_takes():
    table = ["| fault | " + " | ".join(f'`"{strategy}"`' for strategy in STRATEGIES) + " |"]
    table.append("|---|" + "---:|" * len(STRATEGIES))
    for program in FAULTS:
        runs = [first_run(program, strategy) for strategy in STRATEGIES]
        table.append(f"| {program.__name__.replace('_', ' ')} | " + " | ".join(map(str, runs)) + " |")
    guide = pathlib.Path(__file__).parents[2] / "docs" / "guide" / "races.md"
    assert "\n".join(table) in guide.read_text(), "docs/guide/races.md needs this table:\n" + "\n".join(table)


def first_run(program, strategy):
    """The number of the first run that fails."""
    error, _schedule = found(program, strategy=strategy)
    return int(re.search(r"run (\d+) of", error.__notes__[0])[1])


def test_the_shortest_schedule_has_its_steps():
    error, schedule = found(double_close)
    note = error.__notes__[0]
    assert f"of {RUNS} failed, seed " in note and schedule in note
    unusual = [line for line in note.splitlines() if line.startswith("> ")]
    # Only what asyncio wouldn't have chosen is needed: "later" goes ahead of "soon".
    assert 1 <= len(unusual) <= 6
    assert all("task 'later'" in line or "task 'soon'" in line for line in unusual)
    assert f"{__file__}:" in note and "in pause: await asyncio.sleep(0)" in note


def test_a_program_without_a_fault_is_explored_to_the_end():
    async def program():
        await together(one=pause(2), two=pause(2))

    explored = testing.explore(program, runs=1000, strategy="exhaustive")
    # Three steps each, and the end of each task.
    assert explored.complete and explored.runs == explored.orders > 20
    assert testing.explore(program, runs=30).runs == 30


def test_callbacks_keep_their_order_unless_relaxed():
    async def program():
        loop, order = asyncio.get_running_loop(), []
        for number in range(4):
            loop.call_soon(order.append, number)
        await pause(20)
        assert order == sorted(order)

    assert not testing.explore(program, runs=50).complete
    with pytest.raises(AssertionError):
        testing.explore(program, runs=50, relaxed=True)


def test_locks_and_queues_stay_fair():
    async def program():
        lock, order = asyncio.Lock(), []

        async def enter(number):
            async with lock:
                order.append(number)
                await asyncio.sleep(0)

        await lock.acquire()
        waiting = []
        for number in range(3):
            waiting.append(asyncio.create_task(enter(number)))
            # Not before this one waits.
            while len(lock._waiters or ()) <= number:
                await asyncio.sleep(0)
        lock.release()
        await asyncio.gather(*waiting)
        assert order == [0, 1, 2]

    testing.explore(program, runs=100)


def test_results_of_threads_come_in_any_order():
    async def program():
        order = []

        async def work(number):
            await asyncio.to_thread(int, number)
            order.append(number)

        await together(a=work(1), b=work(2), c=pause(5))
        orders.add(tuple(order))

    orders = set()
    testing.explore(program, runs=60)
    assert orders == {(1, 2), (2, 1)}


def test_time_is_virtual_and_can_be_real():
    async def program():
        before = asyncio.get_running_loop().time()
        await asyncio.sleep(seconds)
        assert asyncio.get_running_loop().time() - before >= seconds

    seconds = 3600
    testing.explore(program, runs=5)
    seconds = 0.01
    testing.explore(program, runs=2, virtual_time=False)


def test_what_reaches_the_exception_handler_fails_a_run():
    async def program():
        asyncio.get_running_loop().call_soon(lambda: 1 / 0)
        await pause(2)

    with pytest.raises(ZeroDivisionError):
        testing.explore(program)


def test_a_program_that_is_not_deterministic_is_told():
    runs = 0

    async def program():
        nonlocal runs
        runs += 1
        await pause(1)
        assert runs != 3

    with pytest.raises(AssertionError) as caught:
        testing.explore(program)
    assert "isn't deterministic" in caught.value.__notes__[0]


@testing.explore(runs=20)
async def test_a_decorated_function_is_a_test():
    await asyncio.sleep(0)


def test_a_decorated_function_takes_arguments():
    @testing.explore(runs=3)
    async def decorated(first, *, second):
        """Its own words."""
        seen.append((first, second))

    seen = []
    decorated(1, second=2)
    assert seen == [(1, 2)] * 3 and decorated.__doc__ == "Its own words."


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match="'breadth'"):
        testing.explore(lost_update, strategy="breadth")
    with pytest.raises(ValueError, match="runs=0"):
        testing.explore(lost_update, runs=0)
    with pytest.raises(TypeError, match="coroutine function"):
        testing.explore(runs=1)(len)
    with pytest.raises(TypeError, match="seed must be a whole number, not 'x'"):
        testing.explore(lost_update, seed="x")
    with pytest.raises(TypeError, match="runs must be a whole number"):
        testing.explore(lost_update, runs=2.5)
    with pytest.raises(ValueError, match="depth=10000000000"):
        testing.explore(lost_update, depth=10**10, strategy="priorities")


@pytest.mark.parametrize(
    "call",
    [
        testing.explore,
        lambda main: testing.replay(main, "z0"),
        testing.cancel_everywhere,
        testing.timeout_everywhere,
        lambda main: testing.replay_recording(main, "order.bin"),
    ],
)
def test_a_call_that_can_t_work_is_explained(call):
    async def program():
        pass

    async def inside():
        call(program)

    with pytest.raises(RuntimeError, match="while another loop runs"):
        asyncio.run(inside())
    with pytest.raises(TypeError, match="needs a function that returns a coroutine, not <coroutine"):
        call(program())


def test_any_whole_number_is_a_seed():
    async def program():
        await together(a=pause(1), b=pause(2))

    for seed in (-1, 1 << 70):
        assert testing.explore(program, seed=seed, runs=10).runs == 10


def test_an_event_comes_once_when_the_program_ends():
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    found = []

    async def program():
        os.write(writing, b"x")
        asyncio.get_running_loop().add_reader(reading, lambda: found.append(os.read(reading, 1)))

    try:
        testing.explore(program, runs=3)
    finally:
        os.close(reading)
        os.close(writing)
    assert found == [b"x"] * 3


def test_ctrl_c_ends_the_search():
    async def program():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        testing.explore(program)


def test_other_processes_find_the_same():
    source = f"""
        import sys; sys.path.insert(0, {str(sys.path[0])!r})
        from ferrio import testing
        from tests.unit import test_exploring as programs
        for program in (programs.lost_item, programs.lock_order):
            for strategy in ("random", "priorities"):
                try: testing.explore(program, runs=500, strategy=strategy)
                except BaseException as error: print(error.__notes__[0])
    """

    def say():
        command = [sys.executable, "-c", textwrap.dedent(source)]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    said = say()
    assert said.count("replay(") == 4 and said == say()
