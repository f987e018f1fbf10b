"""`run_coroutine_threadsafe`: other threads pass coroutines to a loop."""

import asyncio
import concurrent.futures
import contextvars
import threading

import pytest
from tests.unit.implementations import failure, forever, value_of

import ferrio


@pytest.fixture
def served(loop):
    """The loop, running in its own thread."""
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join()


def test_result(aio, served):
    future = aio.run_coroutine_threadsafe(value_of(aio, 1, 3), served)
    assert isinstance(future, concurrent.futures.Future)
    assert future.result(10) == 1


def test_many_from_many_threads(aio, served):
    def submit(start):
        futures = [aio.run_coroutine_threadsafe(value_of(aio, number), served) for number in range(start, start + 50)]
        return sum(future.result(10) for future in futures)

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(submit, range(0, 400, 50))) == sum(range(400))


def test_exception(aio, served):
    future = aio.run_coroutine_threadsafe(failure(aio, LookupError("spam")), served)
    with pytest.raises(LookupError, match="spam"):
        future.result(10)


def test_cancelled_future_cancels_the_task(aio, served):
    began, ended = threading.Event(), threading.Event()

    async def work():
        began.set()
        try:
            await forever(aio)
        except aio.CancelledError:
            ended.set()
            raise

    future = aio.run_coroutine_threadsafe(work(), served)
    assert began.wait(10)
    assert future.cancel()
    assert ended.wait(10)


def test_cancelled_task_cancels_the_future(aio, served):
    async def work():
        aio.current_task().cancel()
        await aio.sleep(0)

    future = aio.run_coroutine_threadsafe(work(), served)
    with pytest.raises(concurrent.futures.CancelledError):
        future.result(10)


def test_context_of_the_calling_thread(aio, served):
    variable = contextvars.ContextVar("variable", default="loop")

    async def work():
        return variable.get()

    variable.set("caller")
    assert aio.run_coroutine_threadsafe(work(), served).result(10) == "caller"


def test_object_that_is_not_a_coroutine_is_refused(aio, loop):
    with pytest.raises(TypeError, match="coroutine"):
        aio.run_coroutine_threadsafe(3, loop)


def test_closed_loop(aio):
    loop = aio.new_event_loop()
    loop.close()
    coro = value_of(aio, 1)
    with pytest.raises(RuntimeError, match="closed"):
        aio.run_coroutine_threadsafe(coro, loop)
    coro.close()


def test_task_factory_that_fails(aio, served):
    reports = []

    def factory(loop, coro, **keywords):
        coro.close()
        raise LookupError("factory")

    served.set_exception_handler(lambda _, context: reports.append(context["exception"]))
    served.call_soon_threadsafe(served.set_task_factory, factory)
    future = aio.run_coroutine_threadsafe(value_of(aio, 1), served)
    with pytest.raises(LookupError, match="factory") as raised:
        future.result(10)
    settled = threading.Event()
    served.call_soon_threadsafe(settled.set)
    assert settled.wait(10)
    assert reports == [raised.value]


def test_standard_function_on_our_loop():
    loop = ferrio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    future = asyncio.run_coroutine_threadsafe(value_of(ferrio, 1, 2), loop)
    assert future.result(10) == 1
    operation = ferrio.run_coroutine_threadsafe(ferrio.sleep(0, "slept"), loop)
    assert operation.result(10) == "slept"
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()
