"""Which implementations a test body runs on, and small tools for bodies that watch the order of events."""

import asyncio
import concurrent.futures
import os
import sys
import traceback

import pytest

import ferrio


def since(*version):
    """Runs a test on ferrio, and on the standard asyncio only if that behaves like Python `version` or newer."""
    both = sys.version_info >= version
    implementations = [asyncio, ferrio] if both else [ferrio]
    return pytest.mark.parametrize("aio", implementations, ids=["asyncio", "ferrio"][-len(implementations) :])


class Turns:
    """Counts the turns of the running loop, from the moment it is made."""

    def __init__(self, loop):
        self.count = 0
        self._loop = loop
        self._handle = loop.call_soon(self._turn)

    def _turn(self):
        self.count += 1
        self._handle = self._loop.call_soon(self._turn)

    def stop(self):
        """Stops counting and returns the number of turns."""
        self._handle.cancel()
        return self.count


def in_the_second_turn(loop, callback, *arguments):
    """Calls back after whatever is started right afterwards has had one turn to begin waiting."""
    loop.call_soon(loop.call_soon, callback, *arguments)


async def parked(task, turns=5):
    """Lets turns pass; after them `task` must still be waiting."""
    for _ in range(turns):
        await asyncio.sleep(0)
    assert not task.done()


async def value_of(aio, value, turns=0):
    """Returns `value` after this many bare yields."""
    for _ in range(turns):
        await aio.sleep(0)
    return value


async def failure(aio, exception, turns=0):
    """Raises `exception` after this many bare yields."""
    for _ in range(turns):
        await aio.sleep(0)
    raise exception


async def forever(aio):
    """Waits for something that never happens."""
    await aio.Future()


def in_thread(function, *arguments):
    """Runs a function in its own thread to its end; returns its result, or raises what it raises."""
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        return pool.submit(function, *arguments).result()


def in_a_fork(body):
    """Runs `body` in a fork of this process, so that all children are its own, and raises its failure here."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            body()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def is_gone(pid):
    """Whether no process has this number, not even a zombie."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False
