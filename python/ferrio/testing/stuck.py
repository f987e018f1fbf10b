"""Tests that would wait for ever end at once, with the tree of who waits for whom.

A loop on virtual time comes here when it has no timer and no job. If nothing else could wake it, the test fails at
once. A thread or another process may still do so, by a descriptor that the loop watches. The loop waits for those as
long as the test has patience, in real time.
"""

from __future__ import annotations

import signal
import sys
import threading
from types import FrameType
from typing import Any

from ferrio import executor, tasks
from ferrio.sight import announced, stuck

__all__ = ("Judge", "WaitsForever")

# Who has threads and signal handlers in a test run that never wake a test's loop.
_TEST_TOOLS = ("execnet", "pytest_timeout", "xdist")

# How many seconds pass before the threads are looked at again.
_PAUSE = 0.1


class WaitsForever(BaseException):
    """Nothing can wake the test's loop any more; the message says who waits for whom.

    It isn't an `Exception`, so that programs which handle all of these don't swallow it.
    """


class Judge:
    """Decides for a test whether its loops may wait."""

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._handlers = _handlers()

    def __call__(self, loop: Any, seconds: float, watched: int) -> float:
        """Called by `loop` after nothing has come for so many seconds; says how long to wait for more.

        Raises `WaitsForever` if nothing can wake the loop, or has for too long.
        """
        __tracebackhide__ = True
        may_come = self.what_may_come(watched)
        if may_come and seconds < self._patience:
            return min(_PAUSE, self._patience)
        why = "Nothing can wake the loop any more: no timer, no job, no descriptor and no other thread."
        if may_come:
            why = (
                f"Nothing has woken the loop for {seconds:.1f} seconds. There is no timer and no job, only {may_come}."
            )
        raise WaitsForever(f"The test would wait for ever. {why}\n{stuck.tree(tasks.all_tasks(loop))}")

    def what_may_come(self, watched: int) -> str:
        """Returns what could wake a loop that watches so many descriptors, in words."""
        found = []
        if watched:
            found.append(f"{watched} descriptor(s) that it watches")
        if names := _other_threads():
            found.append(f"other threads ({', '.join(names)})")
        if _handlers() != self._handlers:
            found.append("signals that the test handles")
        return " and ".join(found)


def _other_threads() -> list[str]:
    here, frames = threading.get_ident(), sys._current_frames()
    return [
        thread.name
        for thread in threading.enumerate()
        if thread.ident != here
        and thread is not threading.main_thread()
        and thread.name not in announced.THREADS
        and not executor.is_idle(thread)
        and not _is_of_test_tools(thread, frames.get(thread.ident or 0))
    ]


def _is_of_test_tools(thread: threading.Thread, frame: FrameType | None) -> bool:
    if _package(thread.name) in _TEST_TOOLS:
        return True
    while frame is not None:
        if _package(frame.f_globals.get("__name__")) in _TEST_TOOLS:
            return True
        frame = frame.f_back
    return False


def _handlers() -> dict[int, Any]:
    """The program's own signal handlers."""
    known = {number: signal.getsignal(number) for number in signal.valid_signals() if number != signal.SIGINT}
    return {
        number: handler
        for number, handler in known.items()
        if callable(handler) and _package(getattr(handler, "__module__", None)) not in _TEST_TOOLS
    }


def _package(name: object) -> str:
    return name.partition(".")[0].partition(" ")[0] if isinstance(name, str) else ""
