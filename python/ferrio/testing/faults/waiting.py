"""How something slow waits: in the time of the loop that waits for it.

A thread doesn't know which loop its job is for. So it takes the loop with virtual time that runs, if there is just one,
and real time otherwise.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

from ferrio import _ferrio

__all__ = ("Later", "wait")

# How often a thread looks whether its loop still runs.
_PAUSE = 0.05


def wait(seconds: float) -> None:
    """Returns after so many seconds. A loop of this thread is blocked meanwhile."""
    running: Any = asyncio._get_running_loop()
    if running is not None and (clock := _clock_of(running)) is not None:
        clock.advance(seconds)
    elif running is None and (loop := _loop_with_virtual_time()) is not None:
        over = threading.Event()
        Later(seconds, over.set, waits=True)
        while not over.wait(_PAUSE) and loop.is_running():
            pass
    else:
        time.sleep(seconds)


class Later:
    """Calls a function after so many seconds, in the time of the running loop if there is one.

    What the function wakes doesn't hold a virtual clock until then: with `waits` the job of this thread, with `child`
    the child of that number, or the job that started it.
    """

    def __init__(
        self, seconds: float, function: Callable[[], object], *, waits: bool = False, child: int | None = None
    ) -> None:
        self._function = function
        self._waits = False
        self._child = child
        self._timer: Any = None
        running: Any = asyncio._get_running_loop()
        self._loop: Any = running if running is not None else _loop_with_virtual_time()
        if self._loop is None:
            self._timer = threading.Timer(seconds, function)
            self._timer.daemon = True
            self._timer.start()
        else:
            if running is None:
                self._child = None
            self._in_loop(lambda: self._begin(seconds, waits or child is not None))

    def cancel(self) -> None:
        """Doesn't call the function, unless that has happened."""
        if self._loop is None:
            self._timer.cancel()
        else:
            self._in_loop(self._cancel)

    def _in_loop(self, step: Callable[[], object]) -> None:
        if asyncio._get_running_loop() is self._loop or not self._loop.is_running():
            step()
        else:
            self._loop.call_soon_threadsafe(step)

    def _begin(self, seconds: float, waits: bool) -> None:
        if waits and _clock_of(self._loop) is not None:
            self._hold(True)
        self._timer = self._loop.call_later(seconds, self._end)

    def _end(self) -> None:
        self._hold(False)
        self._function()

    def _cancel(self) -> None:
        self._hold(False)
        if self._timer is not None:
            self._timer.cancel()

    def _hold(self, waits: bool) -> None:
        if waits != self._waits:
            self._waits = waits
            if self._child is None:
                self._loop._job_waits_for_time(waits)
            else:
                self._loop._child_stands_still(self._child, waits)


def _clock_of(loop: Any) -> _ferrio._VirtualClock | None:
    return loop._virtual_clock() if isinstance(loop, _ferrio.Loop) else None


def _loop_with_virtual_time() -> Any:
    found = [loop for loop in _ferrio._every_loop() if loop.is_running() and _clock_of(loop) is not None]
    return found[0] if len(found) == 1 else None
