"""`run_in_executor` with an interpreter pool, which Python has from 3.14 on: on asyncio and on ferrio.

An interpreter of the pool imports functions by name. This module imports ferrio, which serves only the main
interpreter, so the functions here are the standard library's.
"""

import concurrent.futures
import importlib
import os
import threading

import pytest

pytestmark = pytest.mark.skipif(
    not hasattr(concurrent.futures, "InterpreterPoolExecutor"), reason="Python has interpreter pools from 3.14 on"
)


@pytest.fixture
def pool():
    """A pool of one interpreter."""
    with concurrent.futures.InterpreterPoolExecutor(1) as pool:
        yield pool


@pytest.fixture
def pipe():
    """The descriptors of a pipe, which every interpreter of the process can use."""
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


def test_result_and_exception(aio, loop, run, pool):
    async def main():
        future = loop.run_in_executor(pool, divmod, 7, 4)
        assert aio.isfuture(future)
        assert await future == (1, 3)
        with pytest.raises(ZeroDivisionError):
            await loop.run_in_executor(pool, divmod, 1, 0)

    run(main())


def test_another_interpreter_runs_it(loop, run, pool):
    import _interpreters  # Python has it since 3.13

    async def main():
        return await loop.run_in_executor(pool, _interpreters.get_current)

    assert run(main())[0] != _interpreters.get_current()[0]


def test_many_at_once(aio, loop, run):
    async def main():
        with concurrent.futures.InterpreterPoolExecutor(3) as pool:
            return await aio.gather(*[loop.run_in_executor(pool, divmod, number, 7) for number in range(100)])

    assert run(main()) == [divmod(number, 7) for number in range(100)]


def test_unpicklable_call_is_refused(loop, run, pool):
    async def main():
        with pytest.raises(Exception, match=r"cross-interpreter|shareable|pickle"):
            await loop.run_in_executor(pool, id, threading.Lock())
        return await loop.run_in_executor(pool, abs, -1)

    assert run(main()) == 1


def test_call_cancelled_before_it_begins_never_runs(aio, loop, run, pool, pipe):
    async def main():
        reader, writer = pipe
        first = loop.run_in_executor(pool, os.read, reader, 1)
        second = loop.run_in_executor(pool, os.write, writer, b"second")
        second.cancel("message")
        with pytest.raises(aio.CancelledError, match="message"):
            await second
        # asyncio tells the executor in the next turn.
        await aio.sleep(0)
        os.write(writer, b"1")
        assert await first == b"1"
        await loop.run_in_executor(pool, os.write, writer, b"third")
        return os.read(reader, 100)

    assert run(main()) == b"third"


def test_call_cancelled_while_it_runs_goes_on(aio, loop, run, pool, pipe):
    async def main():
        reader, writer = pipe
        future = loop.run_in_executor(pool, os.read, reader, 1)
        # None of our futures shows when it begins: until then it waits in the queue of `concurrent.futures`.
        while pool._work_queue.qsize():
            await aio.sleep(0)
        future.cancel()
        with pytest.raises(aio.CancelledError):
            await future
        os.write(writer, b"12")
        return await loop.run_in_executor(pool, os.read, reader, 1)

    assert run(main()) == b"2"


def test_pool_as_the_default_executor(loop, run):
    async def main():
        loop.set_default_executor(concurrent.futures.InterpreterPoolExecutor(1))
        assert await loop.run_in_executor(None, divmod, 7, 4) == (1, 3)
        await loop.shutdown_default_executor()
        with pytest.raises(RuntimeError, match="Executor shutdown has been called"):
            loop.run_in_executor(None, divmod, 7, 4)

    run(main())


def test_ferrio_cannot_be_imported_in_another_interpreter(pool):
    with pytest.raises(ImportError, match="it serves the main interpreter only"):
        pool.submit(importlib.import_module, "ferrio").result()
