"""The listeners that hear of each loop that begins to run. While there are none, loops announce nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ferrio import _ferrio

__all__ = ("AGENT_THREAD", "RECORDER_THREAD", "THREADS", "WATCHDOG_THREAD", "listen", "loop_begins", "unlisten")

# The names of the threads of `ferrio.sight`, which never wake a loop.
WATCHDOG_THREAD, AGENT_THREAD, RECORDER_THREAD = "ferrio watch", "ferrio sight", "ferrio record"
THREADS = (WATCHDOG_THREAD, AGENT_THREAD, RECORDER_THREAD)

# Replaced at each change, so that a loop in another thread may go through it.
_listeners: tuple[Callable[[Any], object], ...] = ()


def listen(listener: Callable[[Any], object]) -> None:
    """Calls `listener(loop)` in the thread of each loop that begins to run from now on."""
    global _listeners
    _listeners = (*_listeners, listener)
    _ferrio._announce_loops(True)


def unlisten(listener: Callable[[Any], object]) -> None:
    """Calls `listener` no more."""
    global _listeners
    _listeners = tuple(known for known in _listeners if known != listener)
    _ferrio._announce_loops(bool(_listeners))


def loop_begins(loop: Any) -> None:
    """Called by `loop` when it begins to run, while anybody listens."""
    for listener in _listeners:
        listener(loop)
