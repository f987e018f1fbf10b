"""An allocation that fails while an exception is made: a `MemoryError`, and the process lives."""

import os

import pytest

import ferrio

_testcapi = pytest.importorskip("_testcapi", reason="only this module of CPython's tests lets allocations fail")


def awaited_already(aio):
    operation = aio.sleep(0)
    operation.send(None)
    return operation.__await__


def finished(aio):
    operation = aio.sleep(0)
    operation.close()
    iterator = operation.__await__()
    return lambda: next(iterator)


def future_that_was_yielded(aio):
    iterator = iter(aio.new_event_loop().create_future())
    next(iterator)
    return lambda: next(iterator)


def future_that_failed(aio):
    future = aio.new_event_loop().create_future()
    future.set_exception(ValueError("x"))
    iterator = iter(future)
    return lambda: next(iterator)


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("prepare", [awaited_already, finished, future_that_was_yielded, future_that_failed])
def test_await_protocol(prepare):
    for which in range(10):
        child = os.fork()
        if child == 0:
            call = prepare(ferrio)
            _testcapi.set_nomemory(which, which + 1)
            try:
                call()
            except BaseException:
                pass
            os._exit(0)
        _, status = os.waitpid(child, 0)
        assert status == 0, f"allocation {which}"
