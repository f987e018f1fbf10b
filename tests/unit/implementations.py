"""Which implementations a test body runs on, and small tools for bodies that watch the order of things."""

import asyncio
import os
import sys
import traceback

import pytest

import ferrio


def since(*version):
    """Runs a test on ferrio, and on the standard asyncio only where that has the behaviour of Python `version`."""
    both = sys.version_info >= version
    implementations = [asyncio, ferrio] if both else [ferrio]
    return pytest.mark.parametrize("aio", implementations, ids=["asyncio", "ferrio"][-len(implementations) :])


class Turns:
    """Counts the turns of the running loop from its making on."""

    def __init__(self, loop):
        self.count = 0
        self._loop = loop
        self._handle = loop.call_soon(self._turn)

    def _turn(self):
        self.count += 1
        self._handle = self._loop.call_soon(self._turn)

    def stop(self):
        """Ends the counting; returns how many turns there were."""
        self._handle.cancel()
        return self.count


def in_the_second_turn(loop, callback, *arguments):
    """Calls back after what is started right afterwards had a turn to begin to wait."""
    loop.call_soon(loop.call_soon, callback, *arguments)


async def parked(task, turns=5):
    """Lets turns pass, after which `task` must still wait."""
    for _ in range(turns):
        await asyncio.sleep(0)
    assert not task.done()


async def value_of(aio, value, turns=0):
    """Returns `value` after so many bare yields."""
    for _ in range(turns):
        await aio.sleep(0)
    return value


async def failure(aio, exception, turns=0):
    """Raises `exception` after so many bare yields."""
    for _ in range(turns):
        await aio.sleep(0)
    raise exception


async def forever(aio):
    """Waits for nothing."""
    await aio.Future()


def in_a_fork(body):
    """Runs `body` in a copy of this process, which has no children but its own, and passes its failure on."""
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
    """Whether no process, no zombie either, has the number."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False
