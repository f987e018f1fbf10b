"""An allocation that fails while an exception is made: a `MemoryError`, and the process lives."""

import asyncio
import os
import signal
import subprocess
import sys

import pytest

import ferrio

_testcapi = pytest.importorskip("_testcapi", reason="only this module of CPython's tests lets allocations fail")

leaving_takes_no_memory = pytest.mark.skipif(
    sys.version_info < (3, 12), reason="in 3.11, to leave a loop takes memory itself"
)


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


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@leaving_takes_no_memory
@pytest.mark.parametrize("message", [(), ("a message",)], ids=["plain", "message"])
def test_cancelled_task_ends(message):
    """Without memory for its `CancelledError`, it gets a `MemoryError`."""

    async def wait():
        await ferrio.sleep(1000)

    def ends(which):
        loop = ferrio.new_event_loop()
        loop.set_exception_handler(lambda loop, context: None)
        task = loop.create_task(wait())
        loop.run_until_complete(ferrio.sleep(0))
        task.cancel(*message)
        loop.call_soon(loop.stop)
        _testcapi.set_nomemory(which, which + 1)
        try:
            loop.run_forever()
        except MemoryError:  # of something else
            pass
        _testcapi.remove_mem_hooks()
        loop.call_soon(loop.stop)
        loop.run_forever()
        return task.done()

    for which in range(12):
        child = os.fork()
        if child == 0:
            signal.alarm(20)
            os._exit(not ends(which))
        _, status = os.waitpid(child, 0)
        assert status == 0, f"allocation {which}"


@leaving_takes_no_memory
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.skipif(sys.version_info >= (3, 14), reason="the current task is a field there, which needs no memory")
def test_task_that_cannot_become_the_current_one_ends():
    """The dictionary of current tasks grows when a task of another loop runs."""

    async def nothing():
        pass

    def ends(others, which):
        loops = [ferrio.new_event_loop() for _ in range(others)]
        for other in loops:
            asyncio.tasks._enter_task(other, object())
        loop = ferrio.new_event_loop()
        loop.set_exception_handler(lambda loop, context: None)
        task = loop.create_task(nothing())
        loop.call_soon(loop.stop)
        _testcapi.set_nomemory(which, which + 1)
        try:
            loop.run_forever()
        except BaseException:  # of something else, and it may be a panic of PyO3's
            pass
        _testcapi.remove_mem_hooks()
        loop.call_soon(loop.stop)
        loop.run_forever()
        return task.done()

    # With these the dictionary grows.
    for others in (0, 5, 10):
        for which in range(20):
            child = os.fork()
            if child == 0:
                signal.alarm(20)
                os._exit(not ends(others, which))
            _, status = os.waitpid(child, 0)
            assert status == 0, f"allocation {which}, with {others} other loops"


USES_EVERYTHING = """
import os
import subprocess
import sys
import ferrio

def classes():
    return {known for known in object.__subclasses__() if known.__module__ in ("builtins", "ferrio._ferrio")}

async def echo(reader, writer):
    writer.write(await reader.read())
    writer.close()

async def main():
    loop = ferrio.get_running_loop()
    async with await ferrio.start_server(echo, "127.0.0.1", 0) as server:
        reader, writer = await ferrio.open_connection(*server.sockets[0].getsockname())
        writer.write_eof()
        await reader.read()
        writer.close()
        await writer.wait_closed()
    transport, _ = await loop.create_datagram_endpoint(ferrio.DatagramProtocol, local_addr=("127.0.0.1", 0))
    transport.close()
    await (await ferrio.create_subprocess_exec("cat", stdin=-1, stdout=-1)).communicate(b"spam")
    async with ferrio.open(os.devnull) as file:
        await file.read()
    await ferrio.wait([ferrio.create_task(ferrio.to_thread(len, "spam"))])

before = classes()
ferrio.run(main())
assert before, "the extension module's classes aren't found"
print(*sorted(made.__name__ for made in classes() - before))
"""


def test_every_class_is_made_at_the_import():
    # PyO3 panics or crashes if memory is short when a class is made.
    done = subprocess.run([sys.executable, "-c", USES_EVERYTHING], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
