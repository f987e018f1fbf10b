"""Bad input raises asyncio's exceptions, where asyncio has them, with helpful messages; the loop goes on."""

import asyncio
import collections
import gc
import os
import re
import signal
import socket
import sys

import pytest

import ferrio

NAN = float("nan")


async def answer():
    return 42


@pytest.fixture
def goes_on(aio):
    """Runs a coroutine function that is expected to raise inside, then checks that its loop still works."""

    def run(main):
        async def whole():
            result = await main(aio)
            assert await aio.wait_for(aio.create_task(answer()), 10) == 42
            return result

        return aio.run(whole())

    return run


# What isn't a coroutine.


def test_run_of_a_function_hints_at_calling_it():
    with pytest.raises((TypeError, ValueError), match=r"did you mean run\(answer\(\)\)\?"):
        ferrio.run(answer)


@pytest.mark.parametrize("wrong", [answer, 1, None, "spam", [1]], ids=["function", "1", "None", "str", "list"])
def test_create_task_refuses_what_is_not_a_coroutine(goes_on, wrong):
    async def main(aio):
        with pytest.raises(TypeError, match="a coroutine was expected, got"):
            aio.create_task(wrong)

    goes_on(main)


class NoText:
    """An object that can't name a task, because it has no text."""

    def __str__(self):
        raise LookupError("spam")


def test_failed_task_constructor_can_be_retried():
    # As in asyncio up to Python 3.14, where CPython's own reference test does this; 3.15 and later refuse.
    async def main():
        task = ferrio.Task.__new__(ferrio.Task)
        for _ in range(2):
            coroutine = answer()
            with pytest.raises(LookupError, match="spam"):
                task.__init__(coroutine, name=NoText())
            coroutine.close()
        task.__init__(answer(), name="eggs")
        assert task.get_name() == "eggs"
        assert await task == 42

    ferrio.run(main())


@pytest.mark.parametrize("function", ["ensure_future", "gather", "shield"])
@pytest.mark.parametrize("wrong", [answer, 1, None, "spam"], ids=["function", "1", "None", "str"])
def test_ensure_future_refuses_what_is_not_awaitable(goes_on, function, wrong):
    async def main(aio):
        with pytest.raises(TypeError, match=r"An asyncio\.Future, a coroutine or an awaitable is required"):
            getattr(aio, function)(wrong)

    goes_on(main)


def test_function_instead_of_coroutine_gets_a_hint():
    async def main():
        for function in (ferrio.create_task, ferrio.ensure_future, ferrio.gather):
            with pytest.raises(TypeError, match=r"did you mean answer\(\)\?"):
                function(answer)

    ferrio.run(main())


class Awaitable:
    """An object that can be awaited but isn't a coroutine."""

    def __await__(self):
        yield


def test_awaitable_instead_of_coroutine_gets_the_right_hint():
    async def main():
        task, future = ferrio.create_task(answer()), ferrio.get_running_loop().create_future()
        for wrong, words in [
            (task, "it is already a task; `await` it"),
            (future, "it is already a future; `await` it"),
            (Awaitable(), r"it can be awaited; ensure_future\(\) makes a task of it"),
        ]:
            with pytest.raises(TypeError, match=rf"^a coroutine was expected, got <.*: {words}"):
                ferrio.create_task(wrong)
        assert await task == 42

    ferrio.run(main())


@pytest.mark.parametrize("wrong", [1, None, object()], ids=["1", "None", "object"])
def test_awaiting_a_non_awaitable_raises(goes_on, wrong):
    async def main(aio):
        with pytest.raises(TypeError):
            await wrong
        with pytest.raises(TypeError):
            await aio.wait_for(wrong, 1)

    goes_on(main)


def test_wait_refuses_coroutines(goes_on):
    async def main(aio):
        coroutine = answer()
        with pytest.raises(TypeError, match=r"Passing coroutines is forbidden, use tasks explicitly\.") as caught:
            await aio.wait([coroutine])
        if aio is ferrio:
            assert "create_task(answer()) makes one" in str(caught.value)
        with pytest.raises(TypeError, match="expect a list of futures"):
            await aio.wait(coroutine)
        coroutine.close()
        with pytest.raises(ValueError, match="empty"):
            await aio.wait([])

    goes_on(main)


# Tasks that yield nonsense.


class Yielding:
    """An awaitable that yields an object of the caller's choice to its task."""

    def __init__(self, thing):
        self.thing = thing

    def __await__(self):
        yield self.thing


@pytest.mark.parametrize(
    ("thing", "words"),
    [
        (1, "Task got bad yield: 1"),
        ("spam", "Task got bad yield: 'spam'"),
        ((x for x in ()), "yield was used instead of yield from for generator"),
    ],
    ids=["int", "str", "generator"],
)
def test_bad_yield(goes_on, thing, words):
    async def main(aio):
        with pytest.raises(RuntimeError, match=words):
            await Yielding(thing)

    goes_on(main)


def test_yield_of_a_future_that_is_not_awaited(goes_on):
    async def main(aio):
        with pytest.raises(RuntimeError, match="yield was used instead of yield from"):
            await Yielding(aio.get_running_loop().create_future())

    goes_on(main)


def test_future_of_another_loop(goes_on):
    async def main(aio):
        other = aio.new_event_loop()
        with pytest.raises(RuntimeError, match="attached to a different loop"):
            await other.create_future()
        other.close()

    goes_on(main)


def test_task_that_awaits_itself(goes_on):
    async def main(aio):
        with pytest.raises(RuntimeError, match="Task cannot await on itself"):
            await aio.current_task()

    goes_on(main)


# Running inside a running loop, or where nothing can run.


def test_run_inside_a_running_loop(goes_on):
    async def main(aio):
        coroutine = answer()
        with pytest.raises(RuntimeError, match="cannot be called from a running event loop"):
            aio.run(coroutine)
        coroutine.close()
        loop = aio.get_running_loop()
        with pytest.raises(RuntimeError, match="This event loop is already running"):
            loop.run_until_complete(loop.create_future())
        other = aio.new_event_loop()
        with pytest.raises(RuntimeError, match="Cannot run the event loop while another loop is running"):
            other.run_until_complete(other.create_future())
        other.close()
        with pytest.raises(RuntimeError, match="Cannot close a running event loop"):
            loop.close()

    goes_on(main)


def test_run_forever_inside_a_running_loop():
    """asyncio forgets which loop runs here."""

    async def main():
        loop, other = ferrio.get_running_loop(), ferrio.new_event_loop()
        for wrong in (loop, other):
            with pytest.raises(RuntimeError, match="running"):
                wrong.run_forever()
        other.close()
        assert ferrio.get_running_loop() is loop
        return await ferrio.sleep(0.001, "on")

    assert ferrio.run(main()) == "on"


def test_run_inside_a_running_loop_names_the_way_out():
    async def main():
        coroutine = answer()
        with pytest.raises(RuntimeError, match=r"`await answer\(\)` here instead, or .*to_thread"):
            ferrio.run(coroutine)
        coroutine.close()

    ferrio.run(main())


@pytest.mark.parametrize(
    "work",
    [
        lambda loop: loop.call_soon(print),
        lambda loop: loop.call_later(1, print),
        lambda loop: loop.call_at(1, print),
        lambda loop: loop.call_soon_threadsafe(print),
        lambda loop: loop.run_forever(),
        lambda loop: loop.run_until_complete(loop.create_future()),
        lambda loop: loop.run_in_executor(None, print),
    ],
    ids=[
        "call_soon",
        "call_later",
        "call_at",
        "call_soon_threadsafe",
        "run_forever",
        "run_until_complete",
        "run_in_executor",
    ],
)
def test_closed_loop(aio, work):
    loop = aio.new_event_loop()
    loop.close()
    with pytest.raises(RuntimeError, match="Event loop is closed"):
        work(loop)
    loop.close()
    assert loop.is_closed()


def test_task_on_a_closed_loop(aio):
    loop = aio.new_event_loop()
    loop.close()
    coroutine = answer()
    with pytest.raises(RuntimeError, match="Event loop is closed"):
        loop.create_task(coroutine)
    with pytest.raises(RuntimeError, match="Event loop is closed"):
        loop.run_until_complete(coroutine)
    coroutine.close()


def test_no_loop_runs(aio):
    coroutine = answer()
    for call in (aio.get_running_loop, aio.current_task, aio.all_tasks, lambda: aio.create_task(coroutine)):
        with pytest.raises(RuntimeError, match="no running event loop"):
            call()
    coroutine.close()


# Futures.


def test_result_cannot_be_set_twice(goes_on):
    async def main(aio):
        for end in (lambda f: f.set_result(1), lambda f: f.set_exception(OSError()), lambda f: f.cancel()):
            future = aio.get_running_loop().create_future()
            end(future)
            with pytest.raises(aio.InvalidStateError):
                future.set_result(2)
            with pytest.raises(aio.InvalidStateError):
                future.set_exception(LookupError())
            assert not future.cancel()
            if not future.cancelled():
                future.exception()

    goes_on(main)


def test_error_shows_the_future():
    async def main():
        future = ferrio.get_running_loop().create_future()
        future.set_result("first")
        with pytest.raises(ferrio.InvalidStateError, match="<Future finished result='first'>"):
            future.set_result("second")
        return future.result()

    assert ferrio.run(main()) == "first"


def test_early_result_says_what_to_await():
    async def main():
        task = ferrio.create_task(ferrio.sleep(0), name="early")
        with pytest.raises(ferrio.InvalidStateError, match=r"Result is not ready: await it first, it is <.*'early'"):
            task.result()
        with pytest.raises(ferrio.InvalidStateError, match=r"Exception is not set: await it first, it is <.*'early'"):
            task.exception()

    ferrio.run(main())


def test_list_for_gather_gets_a_hint():
    async def main():
        with pytest.raises(TypeError, match=r"is a `\*` missing before the list\?"):
            ferrio.gather([ferrio.Future()])

    ferrio.run(main())


def test_lock_of_another_loop_says_where_to_make_it():
    lock = ferrio.Lock()

    async def contend():
        async with lock:
            with pytest.raises(TimeoutError):
                await ferrio.wait_for(lock.acquire(), 0.001)

    ferrio.run(contend())
    with pytest.raises(RuntimeError, match="make one for each loop, inside the coroutine"):
        ferrio.run(contend())


def test_error_without_a_loop_says_where_one_runs():
    with pytest.raises(RuntimeError, match=r"no running event loop: .* inside a coroutine"):
        ferrio.timeout(1)


def test_call_from_another_thread_in_debug_mode_names_the_right_functions():
    async def main():
        loop = ferrio.get_running_loop()
        with pytest.raises(RuntimeError, match=r"Non-thread-safe .* call_soon_threadsafe"):
            await ferrio.to_thread(loop.call_soon, print)

    ferrio.run(main(), debug=True)


def test_result_from_another_thread_in_debug_mode_is_refused_and_can_still_be_set():
    async def main():
        loop = ferrio.get_running_loop()
        future = loop.create_future()
        waiting = ferrio.create_task(ferrio.wait_for(future, 60))
        await ferrio.sleep(0)
        with pytest.raises(RuntimeError, match=r"Non-thread-safe .* call_soon_threadsafe"):
            await ferrio.to_thread(future.set_result, "wrong way")
        await ferrio.to_thread(loop.call_soon_threadsafe, future.set_result, "right way")
        return await waiting

    assert ferrio.run(main(), debug=True) == "right way"


def test_task_from_another_thread_in_debug_mode_is_refused(aio, caplog):
    async def main():
        loop = aio.get_running_loop()
        coroutine = answer()
        with pytest.raises(RuntimeError, match="Non-thread-safe"):
            await aio.to_thread(loop.create_task, coroutine)
        coroutine.close()

    aio.run(main(), debug=True)
    gc.collect()  # asyncio also reports the task, as one that was destroyed
    assert aio is asyncio or caplog.records == []


@pytest.mark.parametrize("address", ["x", ("127.0.0.1",), (), None, 7])
def test_address_must_be_a_pair(aio, address):
    async def main():
        with socket.socket() as sock:
            sock.setblocking(False)
            await aio.get_running_loop().sock_connect(sock, address)

    with pytest.raises((TypeError, ValueError)) as caught:
        aio.run(main())
    if aio is ferrio:
        assert str(caught.value) == f"an address is a tuple (host, port), got {address!r}"


def test_slow_callback_limit_is_unchecked_without_debug_mode(aio):
    loop = aio.new_event_loop()
    loop.slow_callback_duration = "long"
    assert loop.slow_callback_duration == "long"
    loop.run_until_complete(answer())
    loop.close()


def test_timer_that_never_fires_shows_that(aio):
    async def main():
        handle = aio.get_running_loop().call_later(float("inf"), answer)
        handle.cancel()
        return handle.when()

    assert aio.run(main()) == float("inf")


def test_pending_future(goes_on):
    async def main(aio):
        future = aio.get_running_loop().create_future()
        with pytest.raises(aio.InvalidStateError):
            future.result()
        with pytest.raises(aio.InvalidStateError):
            future.exception()

    goes_on(main)


@pytest.mark.parametrize("wrong", [1, "spam", object, int], ids=repr)
def test_set_exception_refuses_what_is_not_an_exception(goes_on, wrong):
    async def main(aio):
        future = aio.get_running_loop().create_future()
        with pytest.raises(TypeError):
            future.set_exception(wrong)
        assert not future.done()

    goes_on(main)


def test_outcome_of_a_task_cannot_be_set(goes_on):
    async def main(aio):
        task = aio.create_task(answer())
        with pytest.raises(RuntimeError, match="does not support set_result"):
            task.set_result(1)
        with pytest.raises(RuntimeError, match="does not support set_exception"):
            task.set_exception(OSError())
        assert await task == 42

    goes_on(main)


# Numbers.


@pytest.mark.parametrize("delay", [-1, -0.001, float("-inf")])
def test_negative_delays_count_as_zero(goes_on, delay):
    async def main(aio):
        loop = aio.get_running_loop()
        called = loop.create_future()
        loop.call_later(delay, called.set_result, "called")
        assert await aio.sleep(delay, "slept") == "slept"
        assert await called == "called"
        with pytest.raises(TimeoutError):
            await aio.wait_for(aio.sleep(10), delay)

    goes_on(main)


TIMES = {
    "sleep": lambda aio, value: aio.sleep(value),
    "wait_for": lambda aio, value: aio.wait_for(aio.get_running_loop().create_future(), value),
    "wait": lambda aio, value: aio.wait([aio.get_running_loop().create_future()], timeout=value),
    "timeout": lambda aio, value: within(aio, aio.timeout, value),
    "timeout_at": lambda aio, value: within(aio, aio.timeout_at, value),
    "as_completed": lambda aio, value: first_of(aio, value),
}


async def within(aio, timeout, value):
    async with timeout(value):
        await aio.get_running_loop().create_future()


async def first_of(aio, value):
    for first in aio.as_completed([aio.get_running_loop().create_future()], timeout=value):
        await first


@pytest.mark.parametrize("wrong", ["1", [], object()], ids=["str", "list", "object"])
@pytest.mark.parametrize("function", TIMES)
def test_bad_time_raises_at_the_await(goes_on, function, wrong):
    async def main(aio):
        awaitable = TIMES[function](aio, wrong)
        with pytest.raises(TypeError) as caught:
            await awaitable
        if aio is ferrio:
            assert re.search(rf"must be a number of seconds, not {re.escape(repr(wrong))}", str(caught.value))

    goes_on(main)


def test_bad_time_is_one_of_the_results_of_gather(goes_on):
    async def main(aio):
        wrong, right = await aio.gather(aio.sleep("1"), aio.sleep(0, "slept"), return_exceptions=True)
        assert isinstance(wrong, TypeError)
        assert right == "slept"

    goes_on(main)


@pytest.mark.parametrize("wrong", ["1", [], None], ids=["str", "list", "None"])
def test_bad_delay_raises_in_the_call(goes_on, wrong):
    async def main(aio):
        with pytest.raises(TypeError):
            aio.get_running_loop().call_later(wrong, print)
        if wrong is not None:
            with pytest.raises(TypeError):
                aio.timeout(wrong)

    goes_on(main)


def test_nan_is_a_time_that_has_come():
    """asyncio accepts it too, if it gets that far: as the only timer it breaks the loop there."""

    async def main():
        loop = ferrio.get_running_loop()
        called = [loop.create_future(), loop.create_future()]
        handles = loop.call_later(NAN, called[0].set_result, 1), loop.call_at(NAN, called[1].set_result, 2)
        assert [str(handle.when()) for handle in handles] == ["nan", "nan"]
        assert await ferrio.gather(*called) == [1, 2]
        for function in ("wait_for", "timeout", "timeout_at", "as_completed"):
            with pytest.raises(TimeoutError):
                await TIMES[function](ferrio, NAN)
        done, pending = await ferrio.wait([loop.create_future()], timeout=NAN)
        assert (len(done), len(pending)) == (0, 1)
        if sys.version_info >= (3, 13):
            with pytest.raises(ValueError, match=r"Invalid delay: NaN \(not a number\)"):
                await ferrio.sleep(NAN)
        else:
            await ferrio.sleep(NAN)

    ferrio.run(main())


# Callbacks, contexts, handlers.


def by_pipe(loop, callback):
    """Has `callback` called because a pipe becomes readable."""
    reading, writing = os.pipe()
    os.write(writing, b"x")
    loop.add_reader(reading, callback)

    def end():
        loop.remove_reader(reading)
        os.close(reading)
        os.close(writing)

    return end


def by_signal(loop, callback):
    loop.add_signal_handler(signal.SIGUSR1, callback)
    os.kill(os.getpid(), signal.SIGUSR1)
    return lambda: loop.remove_signal_handler(signal.SIGUSR1)


CALLING = {
    "call_soon": lambda loop, callback: loop.call_soon(callback).cancel,
    "call_soon_threadsafe": lambda loop, callback: loop.call_soon_threadsafe(callback).cancel,
    "call_later": lambda loop, callback: loop.call_later(0, callback).cancel,
    "call_at": lambda loop, callback: loop.call_at(0, callback).cancel,
    "add_done_callback": lambda loop, callback: loop.create_task(answer()).add_done_callback(callback),
    "add_reader": by_pipe,
    "add_signal_handler": by_signal,
}


@pytest.mark.parametrize("way", CALLING)
@pytest.mark.parametrize("wrong", [None, 1, "print", "a task"], ids=repr)
def test_uncallable_callback_is_reported_when_it_is_due(aio, way, wrong):
    async def main():
        loop = aio.get_running_loop()
        reported = loop.create_future()

        def report(loop, context):
            if not reported.done():
                reported.set_result(context)

        loop.set_exception_handler(report)
        callback = loop.create_task(answer()) if wrong == "a task" else wrong
        end = CALLING[way](loop, callback)
        context = await aio.wait_for(reported, 10)
        if end is not None:
            end()
        assert isinstance(context["exception"], TypeError)
        assert "is not callable" in str(context["exception"])
        assert context["message"].startswith("Exception in callback ")
        return await aio.sleep(0, "on")

    assert aio.run(main()) == "on"


def test_uncallable_job_is_the_error_of_its_future(goes_on):
    async def main(aio):
        loop = aio.get_running_loop()
        for wrong in (None, 1, "print"):
            with pytest.raises(TypeError, match="is not callable"):
                await loop.run_in_executor(None, wrong)
            with pytest.raises(TypeError, match="is not callable"):
                await aio.to_thread(wrong)

    goes_on(main)


@pytest.mark.parametrize("method", ["call_soon", "call_soon_threadsafe", "call_later", "call_at", "run_in_executor"])
@pytest.mark.parametrize("wrong", [None, 1, "print"], ids=repr)
def test_uncallable_callback_raises_in_debug_mode(aio, method, wrong):
    first = {"call_later": (0,), "call_at": (0,), "run_in_executor": (None,)}.get(method, ())
    named = {"call_later": "call_at"}.get(method, method)

    async def main():
        loop = aio.get_running_loop()
        with pytest.raises(TypeError, match=rf"a callable object was expected by {named}\(\), got {wrong!r}"):
            getattr(loop, method)(*first, wrong)
        return await aio.sleep(0.001, "on")

    assert aio.run(main(), debug=True) == "on"


class Mapping(collections.UserDict):
    """A mapping that isn't a dict."""


def test_problem_described_by_any_mapping_is_logged(aio, caplog):
    loop = aio.new_event_loop()
    loop.call_exception_handler(Mapping(message="spam", exception=None, detail=[1]))
    assert caplog.records[-1].getMessage() == "spam\ndetail: [1]"
    seen = []
    loop.set_exception_handler(lambda loop, context: seen.append(context))
    problem = Mapping(message="eggs")
    loop.call_exception_handler(problem)
    assert seen == [problem]
    loop.close()


def test_debug_mode_refuses_coroutine_callbacks(aio):
    async def main():
        loop = aio.get_running_loop()
        coroutine = answer()
        for wrong in (coroutine, answer):
            with pytest.raises(TypeError, match="coroutines cannot be used with call_soon"):
                loop.call_soon(wrong)
        coroutine.close()

    aio.run(main(), debug=True)


def test_context_of_the_wrong_type():
    async def main():
        loop = ferrio.get_running_loop()
        coroutine = answer()
        with pytest.raises(TypeError, match=r"a contextvars\.Context was expected, got int"):
            loop.create_task(coroutine, context=1)
        coroutine.close()
        return await ferrio.sleep(0, "on")

    assert ferrio.run(main()) == "on"


def test_unknown_keywords(goes_on):
    async def main(aio):
        coroutine = answer()
        with pytest.raises(TypeError, match="unexpected keyword argument 'spam'"):
            aio.get_running_loop().create_task(coroutine, spam=1)
        coroutine.close()

    goes_on(main)


def test_uncallable_handlers_are_refused(goes_on):
    async def main(aio):
        loop = aio.get_running_loop()
        with pytest.raises(TypeError):
            loop.set_exception_handler(1)
        with pytest.raises(TypeError):
            loop.set_task_factory(1)

    goes_on(main)


def test_standard_functions_raise_the_same_errors():
    """asyncio's names on ferrio's loop: the errors come from the loop, so they are the same."""

    async def main():
        with pytest.raises(TypeError, match="a coroutine was expected"):
            asyncio.create_task(1)
        with pytest.raises(RuntimeError, match="This event loop is already running"):
            asyncio.get_running_loop().run_until_complete(asyncio.get_running_loop().create_future())
        return await asyncio.sleep(0, "on")

    with asyncio.Runner(loop_factory=ferrio.new_event_loop) as runner:
        assert runner.run(main()) == "on"
