"""`ferrio.testing.running.Bench`: each run has a loop that the program can't tell from a new one."""

import asyncio
import contextvars
import gc
import signal
import socket
import weakref

import pytest

from ferrio.testing import running

ORDER = {"way": "random", "seed": 1}


def state():
    """What a program can see of its loop at its beginning."""
    loop = asyncio.get_running_loop()
    return {
        "time": loop.time(),
        "debug": loop.get_debug(),
        "task factory": loop.get_task_factory(),
        "exception handler": type(loop.get_exception_handler()),
        "slow": loop.slow_callback_duration,
        "tasks": len(asyncio.all_tasks()),
        "attributes": dict(vars(loop)),
        "executor": loop._default_executor,
        "generators": list(loop._asyncgens),
        "ready": len(loop._ready),
        "timers": len(loop._scheduled),
        "signals": len(loop._signal_handlers),
        "weak": weakref.getweakrefcount(loop),
        "call_soon": loop.call_soon.__func__,
    }


def run(bench, body):
    """One run of a plain function inside a program."""

    async def main():
        result = body()
        return await result if asyncio.iscoroutine(result) else result

    seen = []

    async def wrapped():
        seen.append(await main())

    done = bench.run(wrapped, ORDER)
    if done.error is not None:
        raise done.error
    return seen[0]


kept = []


def loop():
    return asyncio.get_running_loop()


async def generator():
    try:
        yield 1
    finally:
        kept.append("closed")


async def leave_generator():
    iterator = generator()
    kept.append(iterator)
    await anext(iterator)


async def leave_thread():
    await asyncio.to_thread(int)


async def leave_time():
    await asyncio.sleep(10)


async def leave_finished_task():
    kept.append(loop().create_task(asyncio.sleep(0)))
    await kept[-1]


async def shut_generators_down():
    await loop().shutdown_asyncgens()


def leave_reader():
    ends = socket.socketpair()
    kept.append(ends)
    loop().add_reader(ends[0], print)


def leave_error():
    try:
        raise ValueError
    except ValueError as error:
        kept.append(error)


class Factory:
    """A task factory that doesn't refer to its loop."""

    def __call__(self, loop, coro, **options):
        return asyncio.Task(coro, loop=loop, **options)


LEFT = {
    "nothing": lambda: None,
    "time": leave_time,
    "debug": lambda: loop().set_debug(True),
    "task factory": lambda: loop().set_task_factory(Factory()),
    "eager tasks": lambda: loop().set_task_factory(asyncio.eager_task_factory),
    "exception handler": lambda: loop().set_exception_handler(lambda loop, context: None),
    "slow": lambda: setattr(loop(), "slow_callback_duration", 7),
    "attribute": lambda: setattr(loop(), "note", 1),
    "method": lambda: setattr(loop(), "call_soon", loop().call_soon),
    "callback": lambda: loop().call_soon(int) and None,
    "timer": lambda: loop().call_later(1000, int) and None,
    "kept timer": lambda: kept.append(loop().call_later(1000, int)),
    "task": lambda: loop().create_task(asyncio.sleep(1000)) and None,
    "kept task": lambda: kept.append(loop().create_task(asyncio.sleep(1000))),
    "finished task": leave_finished_task,
    "generator": leave_generator,
    "no more generators": shut_generators_down,
    "thread": leave_thread,
    "signal": lambda: loop().add_signal_handler(signal.SIGUSR1, int),
    "reader": leave_reader,
    "reference": lambda: kept.append(loop()),
    "weak reference": lambda: kept.append(weakref.ref(loop())),
    "error": leave_error,
}
if not hasattr(asyncio, "eager_task_factory"):
    del LEFT["eager tasks"]


@pytest.fixture(autouse=True)
def nothing_kept():
    yield
    for thing in kept:
        if isinstance(thing, tuple):
            for end in thing:
                end.close()
    kept.clear()
    gc.collect()


@pytest.mark.parametrize("what", LEFT)
def test_the_next_run_has_a_new_loop(what):
    with running.Bench() as bench:
        new = run(bench, state)
    with running.Bench() as bench:
        run(bench, LEFT[what])
        assert run(bench, state) == new
        # And after a failure.
        assert isinstance(bench.run(leave_nothing_but_a_failure, ORDER).error, ZeroDivisionError)
        assert run(bench, state) == new


async def leave_nothing_but_a_failure():
    1 / 0  # noqa: B018


@pytest.mark.parametrize("what", ["reference", "kept timer", "finished task"])
def test_what_a_program_keeps_belongs_to_a_closed_loop(what):
    with running.Bench() as bench:
        for _ in range(100):  # until the interpreter has specialised what counts the references
            run(bench, LEFT["nothing"])
        run(bench, LEFT[what])
        [thing] = kept
        held = thing if what == "reference" else thing.get_loop() if what == "finished task" else thing._loop
        assert held.is_closed()
        run(bench, lambda: kept.append(loop()))
        assert kept[-1] is not held


def test_what_is_left_is_ended():
    with running.Bench() as bench:
        run(bench, LEFT["kept task"])
        run(bench, LEFT["generator"])
        task, _iterator, closed = kept
        assert task.cancelled() and closed == "closed"


@pytest.mark.parametrize("what", ["nothing", "time", "timer", "task", "callback", "error"])
def test_a_loop_that_nobody_keeps_is_used_again(what):
    """By its descriptors: a program that keeps the loop would change what is tested."""
    seen = set()
    with running.Bench() as bench:
        for _ in range(5):
            run(bench, LEFT[what])
            seen.add(id(bench._loop))
            assert bench._loop is not None
    assert len(seen) == 1


def test_the_order_is_in_no_later_run():
    with running.Bench() as bench:
        bench.run(three_tasks, {"way": "fixed", "choices": [2, 1]})
        assert list(bench.run(three_tasks, {"way": "fixed"}).schedule).count(0) == len(
            bench.run(three_tasks, {"way": "fixed"}).schedule
        )


async def three_tasks():
    await asyncio.gather(*(asyncio.sleep(0) for _ in range(3)))


def test_a_run_has_its_own_context():
    variable = contextvars.ContextVar("variable", default="as it was")
    seen = []

    async def program():
        seen.append(variable.get())
        variable.set("changed")

    with running.Bench() as bench:
        bench.run(program, ORDER)
        bench.run(program, ORDER)
    assert seen == ["as it was", "as it was"] and variable.get() == "as it was"
