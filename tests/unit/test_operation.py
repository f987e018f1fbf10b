"""What `sleep`, `Queue.get` and similar calls return behaves like a coroutine, and so does what a task waits for in it.

test_shared_coroutine.py covers several drivers that share one.
"""

import asyncio
import collections.abc
import copy
import gc
import inspect
import pickle
import sys
import tracemalloc
import types
import warnings

import pytest
from tests.unit.implementations import since

import ferrio

MAKERS = {
    "sleep": lambda aio: aio.sleep(0),
    "get": lambda aio: aio.Queue().get(),
    "put": lambda aio: aio.Queue().put(1),
    "join": lambda aio: aio.Queue().join(),
    "acquire": lambda aio: aio.Lock().acquire(),
    "enter": lambda aio: aio.Lock().__aenter__(),
    "leave": lambda aio: aio.Lock().__aexit__(None, None, None),
    "semaphore": lambda aio: aio.Semaphore().acquire(),
    "enter semaphore": lambda aio: aio.Semaphore().__aenter__(),
    "event": lambda aio: aio.Event().wait(),
    "condition": lambda aio: aio.Condition().wait(),
    "barrier": lambda aio: aio.Barrier(1).wait(),
    "enter barrier": lambda aio: aio.Barrier(1).__aenter__(),
    "leave barrier": lambda aio: aio.Barrier(1).__aexit__(None, None, None),
    "timeout": lambda aio: aio.Timeout(None).__aenter__(),
    "leave timeout": lambda aio: aio.Timeout(None).__aexit__(None, None, None),
    "wait_for": lambda aio: aio.wait_for(None, 1),
    "to_thread": lambda aio: aio.to_thread(len, ()),
}


def told(function):
    """Returns what a call returned, or the type of what it raised."""
    try:
        return function()
    except Exception as failure:
        return type(failure)


@pytest.fixture(params=MAKERS)
def make(request):
    return MAKERS[request.param]


def face(coroutine):
    """Returns everything that can be asked of a coroutine before it is awaited."""
    frame, code = coroutine.cr_frame, coroutine.cr_code
    return (
        type(coroutine).__name__,
        coroutine.__name__,
        coroutine.__qualname__,
        repr(coroutine).partition(" at ")[0],
        coroutine.__class__ is types.CoroutineType,
        isinstance(coroutine, types.CoroutineType),
        isinstance(coroutine, collections.abc.Coroutine),
        isinstance(coroutine, collections.abc.Iterable),
        isinstance(coroutine, collections.abc.Iterator),
        isinstance(coroutine, asyncio.Future),
        inspect.iscoroutine(coroutine),
        inspect.isawaitable(coroutine),
        inspect.isgenerator(coroutine),
        asyncio.iscoroutine(coroutine),
        asyncio.isfuture(coroutine),
        callable(coroutine),
        inspect.getcoroutinestate(coroutine),
        (frame.f_code is code, code.co_name, code.co_qualname, bool(code.co_flags & inspect.CO_COROUTINE)),
        (coroutine.cr_await, coroutine.cr_running, coroutine.cr_suspended, coroutine.cr_origin),
        [hasattr(coroutine, name) for name in ("gi_frame", "done", "result", "__iter__", "__next__", "__getitem__")],
        type(coroutine.__await__()).__name__,
        [
            told(wrong)
            for wrong in (
                lambda: coroutine.value,
                lambda: setattr(coroutine, "value", 1),
                lambda: coroutine[0],
                lambda: coroutine["key"],
                lambda: coroutine(),
                lambda: len(coroutine),
                lambda: iter(coroutine),
                lambda: list(coroutine),
                lambda: coroutine + 1,
                lambda: coroutine < coroutine,
                lambda: {**coroutine},
                lambda: coroutine.send(1),
                lambda: copy.copy(coroutine),
                lambda: pickle.dumps(coroutine),
                lambda: coroutine.__enter__(),
                lambda: coroutine.__aenter__(),
                lambda: setattr(coroutine, "__name__", 1),
            )
        ],
    )


def test_passes_for_a_coroutine(make):
    standard, ours = make(asyncio), make(ferrio)
    try:
        assert face(ours) == face(standard)
    finally:
        standard.close()
        ours.close()
    assert inspect.getcoroutinestate(ours) == inspect.getcoroutinestate(standard) == inspect.CORO_CLOSED
    assert ours.cr_frame is standard.cr_frame is None
    assert ours.__qualname__ == standard.__qualname__


def test_wrong_use_hints_at_await():
    coroutine = ferrio.Queue().get()
    for wrong in (lambda: coroutine.items, lambda: coroutine[0], lambda: list(coroutine)):
        with pytest.raises((AttributeError, TypeError), match=r"^'coroutine' object .*: is an `await` missing"):
            wrong()
    with pytest.raises(AttributeError) as caught:
        coroutine.items  # noqa: B018
    assert (caught.value.name, caught.value.obj) == ("items", coroutine)
    coroutine.close()


def test_operation_can_be_renamed(aio):
    coroutine = aio.sleep(0)
    coroutine.__name__, coroutine.__qualname__ = "nap", "my.nap"
    assert (coroutine.__name__, coroutine.__qualname__) == ("nap", "my.nap")
    assert repr(coroutine).startswith("<coroutine object my.nap at ")
    coroutine.close()


def test_operation_that_is_never_awaited_warns(make):
    def warnings_of(aio):
        gc.collect()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            make(aio)
            gc.collect()
        return [(warning.category, str(warning.message), warning.filename) for warning in caught]

    assert warnings_of(ferrio) == warnings_of(asyncio)
    assert len(warnings_of(ferrio)) == 1


def test_tracemalloc_shows_where_it_was_made(aio):
    for _ in range(2):  # the report about reused memory shows its last use
        tracemalloc.start(4)
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                aio.sleep(0)  # here
                gc.collect()
            (warning,) = caught
            lines = tracemalloc.get_object_traceback(warning.source).format()
            assert "aio.sleep(0)  # here" in "\n".join(lines)
            del warning, caught
        finally:
            tracemalloc.stop()


def test_yield_from_in_a_plain_generator_is_refused(aio):
    def generator(coroutine):
        yield from coroutine

    coroutine = aio.sleep(0)
    with pytest.raises(TypeError):
        next(generator(coroutine))
    coroutine.close()


def test_yield_from_the_result_of_dunder_await(aio, run):
    class Value:
        def __await__(self):
            return (yield from aio.sleep(0, "slept").__await__())

    async def main():
        return await Value()

    assert run(main()) == "slept"


def test_states_of_a_coroutine(aio, run):
    async def main():
        event = aio.Event()
        coroutine = event.wait()
        task = aio.create_task(coroutine)
        states = [inspect.getcoroutinestate(coroutine)]
        await aio.sleep(0)
        states.append(inspect.getcoroutinestate(coroutine))
        assert type(coroutine.cr_await).__name__ == "FutureIter"
        assert [frame.f_code.co_name for frame in task.get_stack()] == ["wait"]
        event.set()
        await task
        states.append(inspect.getcoroutinestate(coroutine))
        assert coroutine.cr_await is None
        return states

    assert run(main()) == [inspect.CORO_CREATED, inspect.CORO_SUSPENDED, inspect.CORO_CLOSED]


# ---- what the task waits for

WAITS = {
    "sleep": lambda aio: aio.sleep(60),
    "get": lambda aio: aio.Queue().get(),
    "event": lambda aio: aio.Event().wait(),
    "acquire": lambda aio: aio.Semaphore(0).acquire(),
    "read": lambda aio: aio.StreamReader().read(),
    "wait_for": lambda aio: aio.wait_for(aio.Event().wait(), 60),
    "gather": lambda aio: aio.wait([aio.Future()]),
}


@pytest.fixture(params=WAITS)
def wait(request):
    return WAITS[request.param]


async def waiting(aio, wait, wrapped=True):
    async def body():
        return await wait(aio)

    task = aio.create_task(body() if wrapped else wait(aio))
    await aio.sleep(0)
    return task


@pytest.mark.parametrize("wrapped", [True, False], ids=["async def", "bare"])
def test_waiter_is_a_future(aio, run, wait, wrapped):
    async def main():
        loop = aio.get_running_loop()
        task = await waiting(aio, wait, wrapped)
        waiter = task._fut_waiter
        assert isinstance(waiter, asyncio.Future)
        assert asyncio.isfuture(waiter)
        assert task._fut_waiter is waiter
        assert (waiter.done(), waiter.cancelled(), waiter._state) == (False, False, "PENDING")
        assert waiter.get_loop() is waiter._loop is loop
        with pytest.raises(asyncio.InvalidStateError):
            waiter.result()
        told = []
        waiter.add_done_callback(told.append)
        waiter.add_done_callback(print)
        assert waiter.remove_done_callback(print) == 1
        assert not task._must_cancel
        task.cancel("enough")
        assert task._fut_waiter is waiter
        assert (waiter.done(), waiter.cancelled(), waiter._state) == (True, True, "CANCELLED")
        assert not task._must_cancel
        with pytest.raises(asyncio.CancelledError, match="enough"):
            waiter.result()
        await aio.wait([task])
        assert told == [waiter]
        assert task._fut_waiter is None
        assert task.cancelled()

    run(main())


def test_waiter_first_read_after_the_cancellation(aio, run, wait):
    async def main():
        task = await waiting(aio, wait)
        task.cancel("enough")
        assert task._fut_waiter.cancelled()
        await aio.wait([task])

    run(main())


def test_waiter_of_a_finished_wait(aio, run):
    async def main():
        event = aio.Event()
        task = aio.create_task(event.wait())
        await aio.sleep(0)
        event.set()
        assert task._fut_waiter.done()
        assert not task._fut_waiter.cancelled()
        assert task._fut_waiter.result() is True
        assert task._fut_waiter.exception() is None
        task.cancel()
        assert task._must_cancel
        await aio.wait([task])
        assert task.cancelled()

    run(main())


def test_waiter_cancelled_instead_of_the_task(aio, run, wait):
    async def main():
        task = await waiting(aio, wait)
        assert task._fut_waiter.cancel("from within")
        assert not task._fut_waiter.cancel()
        assert task.cancelling() == 0
        await aio.wait([task])
        assert task.cancelled()
        with pytest.raises(asyncio.CancelledError, match="from within"):
            await task

    run(main())


def test_waiter_finished_by_hand(aio, run):
    async def main():
        task = await waiting(aio, WAITS["event"])
        task._fut_waiter.set_result(None)
        assert await task is True
        task = await waiting(aio, WAITS["acquire"])
        task._fut_waiter.set_exception(KeyError("why not"))
        with pytest.raises(KeyError):
            await task

    run(main())


def test_cancelled_waiter_gets_nothing(aio, run):
    """Channel libraries check this: a waiter that is already cancelled gets no item."""

    async def main():
        queue, lock = aio.Queue(), aio.Lock()
        await lock.acquire()
        tasks = [aio.create_task(queue.get()), aio.create_task(queue.get())]
        takers = [aio.create_task(lock.acquire()), aio.create_task(lock.acquire())]
        await aio.sleep(0)
        tasks[0]._fut_waiter.cancel()
        takers[0]._fut_waiter.cancel()
        queue.put_nowait("item")
        lock.release()
        await aio.wait(tasks + takers)
        assert [task.cancelled() for task in tasks + takers] == [True, False, True, False]
        assert tasks[1].result() == "item"

    run(main())


def test_waiters_of_a_lock_are_futures(aio, run):
    async def main():
        lock = aio.Lock()
        await lock.acquire()
        task = aio.create_task(lock.acquire())
        await aio.sleep(0)
        (waiter,) = lock._waiters
        assert isinstance(waiter, asyncio.Future)
        assert waiter is task._fut_waiter
        lock.release()
        assert waiter.done()
        assert await task

    run(main())


# ---- operations that await operations

NESTED = {
    "get": lambda aio: aio.wait_for(aio.Queue().get(), 60),
    "acquire": lambda aio: aio.wait_for(aio.Semaphore(0).acquire(), 60),
    "wait_for": lambda aio: aio.wait_for(aio.wait_for(aio.Event().wait(), 60), 60),
    "drain": lambda aio: aio.wait_for(paused(aio)._drain_helper(), 60),
}


def paused(aio):
    """A protocol whose transport takes no more for now."""
    protocol = aio.streams.FlowControlMixin()
    protocol.pause_writing()
    return protocol


@pytest.fixture
def throws(monkeypatch):
    """The exceptions that were thrown into operations by a call of their method `throw`."""
    thrown = []
    operation = ferrio._ferrio.Operation
    throw = operation.throw

    def counting(self, exception):
        thrown.append(exception)
        return throw(self, exception)

    monkeypatch.setattr(operation, "throw", counting)
    return thrown


@pytest.mark.parametrize("make", NESTED.values(), ids=NESTED)
def test_a_cancellation_of_what_is_native_calls_no_method(make, throws):
    async def main():
        task = ferrio.create_task(make(ferrio))
        await ferrio.sleep(0)
        task.cancel()
        with pytest.raises(ferrio.CancelledError):
            await task
        assert throws == []
        # What Python code awaits is thrown into by that code.
        task = ferrio.create_task(through_python(make(ferrio)))
        await ferrio.sleep(0)
        task.cancel()
        with pytest.raises(ferrio.CancelledError):
            await task
        assert len(throws) == 1

    async def through_python(awaitable):
        return await awaitable

    ferrio.run(main())


def test_a_timeout_of_what_is_native_calls_no_method(throws):
    async def main():
        task = ferrio.create_task(ferrio.wait_for(ferrio.Queue().get(), 0.001))
        with pytest.raises(TimeoutError):
            await task

    ferrio.run(main())
    assert throws == []


def kind_of_failure(function):
    """The type of what a call raises; all that the exception holds is dropped, with its warnings."""
    raised = None
    try:
        function()
    except BaseException as failure:
        raised = type(failure)
    gc.collect()
    return raised


@since(3, 12)  # before, `wait_for` runs what it awaits in a task
@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited")
@pytest.mark.parametrize("cancelled", [False, True])
def test_awaiting_each_other_too_deep(aio, cancelled):
    async def nested(depth):
        awaitable = aio.sleep(0 if not cancelled else 60)
        for _ in range(depth):
            awaitable = aio.wait_for(awaitable, 60)
        task = aio.create_task(awaitable)
        if cancelled:
            await aio.sleep(0)
            task.cancel()
        return await task

    raised = kind_of_failure(lambda: aio.run(nested(100 if cancelled else 10_000)))
    assert raised is (aio.CancelledError if cancelled else RecursionError)


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited")
def test_a_raised_recursion_limit_does_not_overflow_the_c_stack():
    async def nested(depth):
        return await ferrio.wait_for(nested(depth - 1), 60) if depth else depth

    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(1_000_000)
    try:
        assert kind_of_failure(lambda: ferrio.run(nested(50_000))) is RecursionError
    finally:
        sys.setrecursionlimit(limit)


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited")
def test_a_long_chain_is_dropped_in_a_loop():
    awaitable = ferrio.sleep(0)
    for _ in range(200_000):
        awaitable = ferrio.wait_for(awaitable, 60)
    awaitable.close()
    assert inspect.getcoroutinestate(awaitable) == inspect.CORO_CLOSED


def test_one_that_is_dropped_while_it_waits_cancels_nobody():
    async def main():
        awaitable = ferrio.wait_for(ferrio.Event().wait(), 1)
        assert awaitable.send(None) is not None
        del awaitable
        gc.collect()
        await ferrio.sleep(2)
        assert ferrio.current_task().cancelling() == 0

    loop = ferrio.EventLoop(virtual_time=True)
    try:
        loop.run_until_complete(main())
    finally:
        loop.close()
