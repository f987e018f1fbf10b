"""Forgotten coroutines, exceptions, tasks and loops are reported once, in debug mode with the line that made them."""

import gc
import logging
import re
import warnings
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest

import ferrio


async def answer():
    return 42


@pytest.fixture
def reports(caplog):
    """Returns what the loop logs."""
    gc.collect()  # what other tests left must not be reported here
    caplog.set_level(logging.ERROR, logger="asyncio")
    return lambda: [record.getMessage() for record in caplog.records]


@pytest.mark.parametrize("debug", [False, True], ids=["plain", "debug"])
@pytest.mark.parametrize(
    "forget", [answer, lambda: ferrio.sleep(1), lambda: ferrio.wait_for(None, 1)], ids=["answer", "sleep", "wait_for"]
)
def test_coroutine_that_is_never_awaited_warns(forget, debug):
    async def main():
        forget()  # the line

    gc.collect()  # what other tests left must not be reported here
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        ferrio.run(main(), debug=debug)
        gc.collect()
    (warning,) = (str(warning.message) for warning in caught if warning.category is RuntimeWarning)
    assert re.match(r"coroutine '(answer|sleep|wait_for)' was never awaited", warning)
    assert ("forget()  # the line" in warning) is debug
    assert ("Coroutine created at (most recent call last)" in warning) is debug


def test_origin_of_an_operation():
    async def main():
        operation = ferrio.sleep(0)
        origin = operation.cr_origin
        await operation
        return origin

    assert ferrio.run(main()) is None
    file, line, function = ferrio.run(main(), debug=True)[0]
    assert file == __file__
    assert line == main.__code__.co_firstlineno + 1
    assert function == "main"


@pytest.mark.parametrize("debug", [False, True], ids=["plain", "debug"])
def test_exception_never_retrieved(aio, reports, debug):
    async def fail():
        raise LookupError("spam")

    async def main():
        aio.create_task(fail())  # the line
        await aio.sleep(0)
        await aio.sleep(0)
        gc.collect()

    aio.run(main(), debug=debug)
    (report,) = reports()
    assert "Task exception was never retrieved" in report
    assert ("aio.create_task(fail())  # the line" in report) is debug


@pytest.mark.parametrize("debug", [False, True], ids=["plain", "debug"])
def test_task_pending_at_close_is_reported(reports, debug):
    async def forever():
        await loop.create_future()

    async def main():
        kept.append(ferrio.create_task(forever()))  # the line
        await ferrio.sleep(0)

    kept = []
    loop = ferrio.new_event_loop()
    loop.set_debug(debug)
    loop.run_until_complete(main())
    loop.close()
    (report,) = reports()
    assert "Task was still pending when its loop was closed" in report
    assert "forever()" in report
    assert ("kept.append(ferrio.create_task(forever()))  # the line" in report) is debug
    # It isn't reported again when the task dies.
    kept.clear()
    gc.collect()
    assert len(reports()) == 1


def test_task_pending_at_close_is_passed_to_the_handler():
    async def forever():
        await loop.create_future()

    seen = []
    loop = ferrio.new_event_loop()
    loop.set_exception_handler(lambda loop, context: seen.append(context))
    task = loop.create_task(forever(), name="spam")
    loop.call_soon(loop.stop)
    loop.run_forever()
    loop.close()
    (context,) = seen
    assert context["task"] is task
    assert not context["task"].done()


def test_tasks_that_are_done_are_not_reported(reports):
    loop = ferrio.new_event_loop()
    loop.run_until_complete(loop.create_task(answer()))
    loop.close()
    assert reports() == []


def test_unclosed_loop_warns(aio):
    loop = aio.new_event_loop()
    look = repr(loop)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        del loop
        gc.collect()
    # asyncio's is in a cycle with its sockets, which also warn if the collector gets to them first.
    assert f"unclosed event loop {look}" in [str(warning.message) for warning in caught]


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_loop_that_holds_results_of_other_threads_is_collected():
    def forget():
        loop = ferrio.new_event_loop()
        with ThreadPoolExecutor(1) as executor:
            # They are done after the loop has run, so what the jobs post to it stays there.
            loop.run_until_complete(ferrio.sleep(0))
            futures = [loop.run_in_executor(executor, int) for _ in range(3)]
        assert not any(future.done() for future in futures)
        return weakref.ref(loop)

    forgotten = forget()
    gc.collect()
    gc.collect()
    assert forgotten() is None
