"""A panic in native code is an exception with its text, and the thread goes on: what was entered is left.

The panics are real. PyO3 goes on with a panic when native code receives its `PanicException` from Python code, so code
that raises one makes ferrio's frames unwind, wherever they called it from.
"""

import asyncio
import contextvars
import gc
import signal
import socket
import sys

import pytest
from tests.unit.panics import PanicException

import ferrio

TEXT = "the text of the panic"
VARIABLE = contextvars.ContextVar("variable", default="outside")


def panic(*_arguments, **_keywords):
    raise PanicException(TEXT)


async def step(loop):
    async def panicking():
        VARIABLE.set("inside")
        panic()

    await loop.create_task(panicking())


async def first_step_of_an_eager_task(loop):
    async def panicking():
        panic()

    await ferrio.Task(panicking(), loop=loop, eager_start=True)


async def callback(loop):
    loop.call_soon(panic)
    await ferrio.sleep(3600)


async def timer(loop):
    loop.call_later(0.001, panic)
    await ferrio.sleep(3600)


async def done_callback(loop):
    future = loop.create_future()
    future.add_done_callback(panic)
    future.set_result(None)
    await ferrio.sleep(3600)


async def native_callback(loop):
    class Foreign(ferrio.Future):
        exception = cancelled = panic

    foreign = Foreign(loop=loop)
    gathering = ferrio.gather(foreign)
    foreign.set_result(None)
    await gathering


async def method_of_a_protocol(loop):
    class Protocol(ferrio.Protocol):
        data_received = panic

    told = loop.create_future()
    loop.set_exception_handler(lambda _loop, context: told.set_result(context["exception"]))
    ours, theirs = socket.socketpair()
    with theirs:
        await loop.create_connection(Protocol, sock=ours)
        theirs.send(b"data")
        failure = await told
    loop.set_exception_handler(None)
    await ferrio.sleep(0)
    raise failure


async def task_factory(loop):
    loop.set_task_factory(panic)
    try:
        ferrio.create_task(ferrio.sleep(0))
    finally:
        loop.set_task_factory(None)


async def exception_handler(loop):
    loop.set_exception_handler(panic)
    loop.call_soon(divmod, 1, 0)
    try:
        await ferrio.sleep(3600)
    finally:
        loop.set_exception_handler(None)


async def slot(loop):
    async def panicking():
        panic()

    await ferrio.wait_for(panicking(), 3600)


async def slot_of_an_iterator(loop):
    class Awaitable:
        def __await__(self):
            yield from ferrio.wait_for(panicking(), 3600).__await__()

    async def panicking():
        panic()

    await Awaitable()


async def nested_run(loop):
    ferrio.allow_nested()
    try:
        loop.run_until_complete(step(loop))
    finally:
        ferrio.allow_nested(allowed=False)


async def own_clock(loop):
    def time():
        del loop.time
        panic()

    loop.time = time
    await ferrio.sleep(3600)


PLACES = [
    step,
    first_step_of_an_eager_task,
    callback,
    timer,
    done_callback,
    native_callback,
    method_of_a_protocol,
    task_factory,
    exception_handler,
    slot,
    slot_of_an_iterator,
    nested_run,
    own_clock,
]


def assert_nothing_runs():
    assert asyncio._get_running_loop() is None
    with pytest.raises(RuntimeError):
        ferrio.current_task()
    assert VARIABLE.get() == "outside"
    assert sys.get_asyncgen_hooks() == (None, None)
    wakeup = signal.set_wakeup_fd(-1)
    assert wakeup == -1


def assert_loops_run(loop):
    assert not loop.is_running()
    assert loop.run_until_complete(ferrio.sleep(0.001, "slept")) == "slept"
    assert ferrio.run(ferrio.sleep(0, "ran")) == "ran"
    assert asyncio.run(asyncio.sleep(0, "ran")) == "ran"


def cancel_all(loop):
    for task in ferrio.all_tasks(loop):
        task.cancel()
    for _ in range(3):
        loop.run_until_complete(ferrio.sleep(0))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("place", PLACES)
def test_a_thread_goes_on_after_a_panic(place):
    loop = ferrio.new_event_loop()
    loop.run_until_complete(ferrio.sleep(0))
    with pytest.raises(BaseException, match=TEXT) as raised:
        loop.run_until_complete(place(loop))
    assert type(raised.value).__name__ == "PanicException"
    assert_nothing_runs()
    assert_loops_run(loop)
    cancel_all(loop)
    loop.close()


def test_a_hook_that_panics_while_a_loop_begins():
    class Hooked(ferrio.EventLoop):
        broken = False

        def __getattribute__(self, name):
            if name == "_asyncgen_firstiter_hook" and type(self).broken:
                panic()
            return super().__getattribute__(name)

    loop = Hooked()
    loop.run_until_complete(ferrio.sleep(0))
    Hooked.broken = True
    sleep = ferrio.sleep(0)
    with pytest.raises(BaseException, match=TEXT):
        loop.run_until_complete(sleep)
    Hooked.broken = False
    assert_nothing_runs()
    assert_loops_run(loop)
    loop.close()


def test_a_finalizer():
    loop = ferrio.new_event_loop()
    seen = []
    loop.set_exception_handler(panic)
    hook, sys.unraisablehook = sys.unraisablehook, seen.append
    try:
        future = loop.create_future()
        future.set_exception(ValueError())
        del future
        gc.collect()
    finally:
        sys.unraisablehook = hook
    told = [str(one.exc_value) for one in seen if type(one.exc_value).__name__ == "PanicException"]
    assert told == [TEXT]
    assert_nothing_runs()
    assert_loops_run(loop)
    loop.close()
