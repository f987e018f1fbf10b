"""The watchdog: reports what blocks a loop, while it does.

A thread takes samples of every loop's progress without holding the interpreter (`_ferrio._Watcher`). It comes here only
when one step or callback takes longer than the threshold. A report goes to the logger "asyncio": at the threshold, at
each doubling of the time, and when it is over.

Invariant: nothing here runs while all is well. The thread ends before the interpreter does.
"""

from __future__ import annotations

import atexit
import contextlib
import dataclasses
import os
import threading
import time
from collections.abc import Callable
from traceback import FrameSummary
from typing import Any

from ferrio import _ferrio
from ferrio._modules import log
from ferrio.sight import announced, stacks
from ferrio.sight.stoppable import Stoppable

__all__ = ("Block", "Watch", "watch")

# How many seconds the end of the program waits for a report that is being made.
_PATIENCE = 5

# From this many seconds on, the wait for the interpreter means that C code kept it. Python code releases it on request.
_HELD = 0.05

# Those that watch; replaced at each change.
_active: tuple[Watch, ...] = ()

# The last report: when it was, its text, the seconds, and whether it was over.
_last: tuple[float, str, float, bool] | None = None


# The listeners that hear of all reports; replaced at each change.
_listeners: tuple[Callable[[Block], object], ...] = ()


@dataclasses.dataclass(frozen=True)
class Block:
    """One step or callback that keeps a loop from going on; `str()` is the text of the report."""

    loop: Any
    """The loop; `None` if it is gone already."""
    object: Any
    """The task or callback that runs; `None` between two of them."""
    description: str
    """The same in words."""
    seconds: float
    """How long it has been running."""
    is_over: bool
    """Whether it has ended."""
    stack: list[FrameSummary] | None
    """The stack of the loop's thread, the innermost frame last; `None` if it couldn't be seen in time."""
    text: str
    """The text of the report."""

    def __str__(self) -> str:
        return self.text


class Watch(Stoppable):
    """What `watch` returns: `stop()` ends the watching, and so does leaving it as a context manager."""

    def __init__(self, threshold: float, on_block: Callable[[Block], object] | None, log: bool = True) -> None:
        self._threshold = threshold
        self._log = log
        self._on_block = on_block
        self._native = _ferrio._Watcher(threshold)
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        # What was said about a block, by its number and loop.
        self._said: dict[tuple[int, int], tuple[str, Any]] = {}

    @property
    def threshold(self) -> float:
        """The time in seconds from which a step or callback is reported."""
        return self._threshold

    def stop(self) -> None:
        """Ends the watching; what is being reported is finished first. Calling it again does nothing."""
        self._stop(None)

    def _stop(self, patience: float | None) -> None:
        global _active
        _active = tuple(other for other in _active if other is not self)
        announced.unlisten(self._loop_begins)
        self._native.stop()
        thread, self._thread = self._thread, None
        if thread is not None and thread is not threading.current_thread():
            thread.join(patience)

    def _begin(self) -> None:
        if self._native.add_all():
            self._start_thread()

    def _loop_begins(self, loop: Any) -> None:
        self._native.add(loop)
        self._start_thread()

    def _start_thread(self) -> None:
        with self._lock:
            if self._thread is not None:
                return
            self._thread = threading.Thread(
                target=self._native.watch, args=(self._report,), name=announced.WATCHDOG_THREAD, daemon=True
            )
        with contextlib.suppress(RuntimeError):  # the interpreter is about to end
            self._thread.start()

    def _renew_after_fork(self) -> None:
        # The thread is the parent's, and so may be whoever holds a lock of the old watcher.
        self._native = _ferrio._Watcher(self._threshold)
        self._thread = None
        self._lock = threading.Lock()
        self._said.clear()

    def _report(self, is_over: bool, found: dict[str, Any]) -> None:
        """Called in the watching thread."""
        key = (found["number"], id(found["loop"]))
        block = self._over(found, key) if is_over else self._blocking(found, key)
        _note(block)
        if self._log:
            log.logger.warning("%s", block.text)
        # First ours, which raise nothing.
        for listener in _listeners:
            listener(block)
        if self._on_block is not None:
            self._on_block(block)

    def _blocking(self, found: dict[str, Any], key: tuple[int, int]) -> Block:
        thing, loop = found["object"], found["loop"]
        thread = getattr(loop, "_thread_id", None)
        if found["waits_for_interpreter"]:
            name, stack, text = self._starved(found, thread)
        else:
            stack = stacks.stack_of(thread) if found["goes_on"] else None
            name = _name(found)
            text = f"{name} has blocked the loop for {found['seconds']:.3f} seconds{_so_far(found)}. {_cause(found)}"
            if (origin := stacks.origin_of(thing)) and thing is not None:
                text += f"\nIt was created at (most recent call last):\n{stacks.lines_of(origin)}"
            if stack:
                text += f"\nThe loop's thread is at (most recent call last):\n{stacks.lines_of(stack)}"
            elif found["goes_on"]:
                text += "\nThe loop's thread runs no Python code of the program."
        self._said[key] = (name, thing)
        return Block(loop, thing, name, found["seconds"], False, stack, text)

    def _starved(self, found: dict[str, Any], thread: int | None) -> tuple[str, list[FrameSummary] | None, str]:
        name = "The loop"
        text = (
            f"The loop has work, but has waited for the interpreter for {found['seconds']:.3f} seconds{_so_far(found)}"
        )
        others = stacks.stacks_of_others(thread)
        text += ": another thread holds it." if others else "."
        for title, stack in others:
            text += f"\nThread {title!r} is at (most recent call last):\n{stacks.lines_of(stack)}"
        return name, None, text

    def _over(self, found: dict[str, Any], key: tuple[int, int]) -> Block:
        name, thing = self._said.pop(key, (None, found["object"]))
        if name is None:
            name = _name(found)
        text = f"{name} no longer blocks the loop. It took {found['seconds']:.3f} seconds."
        return Block(found["loop"], thing, name, found["seconds"], True, None, text)


def watch(threshold: float = 0.1, on_block: Callable[[Block], object] | None = None, *, log: bool = True) -> Watch:
    """Watches all of the program's loops, and reports each step or callback that takes longer than `threshold` seconds.

    The report is a warning of the logger "asyncio". It names the task or callback and shows the stack of the loop's
    thread, while the loop is blocked. There is another one at each doubling of the time, and one when it is over.
    `on_block` is called with each report as a `Block`, in the watching thread. Without `log`, only that hears of it.
    Watching ends with `stop()` of the
    returned object, which is also a context manager.

    Raises `ValueError` unless the threshold is positive.
    """
    global _active
    if not (on_block is None or callable(on_block)):
        raise TypeError(f"on_block must be callable, not {type(on_block).__name__}")
    made = Watch(threshold, on_block, log)
    _active += (made,)
    announced.listen(made._loop_begins)
    made._begin()
    return made


def last_report() -> dict[str, Any] | None:
    """Returns the last report of any watchdog of this program, and how long ago it was."""
    if _last is None:
        return None
    at, words, seconds, is_over = _last
    return {"text": words, "seconds": seconds, "is_over": is_over, "ago": time.monotonic() - at}


def _note(block: Block) -> None:
    global _last
    _last = (time.monotonic(), block.text, block.seconds, block.is_over)


def add_listener(listener: Callable[[Block], object]) -> None:
    """Calls `listener` with each report of every watchdog, in its thread."""
    global _listeners
    _listeners = (*_listeners, listener)


def remove_listener(listener: Callable[[Block], object]) -> None:
    """Calls `listener` no more."""
    global _listeners
    _listeners = tuple(known for known in _listeners if known != listener)


def is_watching() -> bool:
    """Returns whether a watchdog is on."""
    return bool(_active)


def _name(found: dict[str, Any]) -> str:
    thing = found["object"]
    return "The loop itself, between two callbacks," if thing is None else stacks.describe(thing)


def _so_far(found: dict[str, Any]) -> str:
    return " so far" if found["goes_on"] else ""


def _cause(found: dict[str, Any]) -> str:
    """Says what the thread was doing, as far as the system can tell."""
    measured, cpu, queued = found["measured"], found["cpu"], found["queued"]
    said = []
    if found["attaching"] >= _HELD:
        said.append(
            f"The interpreter couldn't be had for {found['attaching']:.3f} seconds of that: "
            "C code holds its lock, so there is no stack from that time."
        )
    share = f"{cpu:.3f} of {measured:.3f} seconds"
    if cpu < measured / 2 and (found["runnable"] or (queued is not None and queued >= measured / 2)):
        said.append(f"It had the CPU for only {share}, though it could have run: the system is busy with other work.")
    elif cpu < measured / 2:
        said.append(f"It used the CPU for {share}, so it waits for the system, or for a lock.")
    else:
        said.append(f"It used the CPU for {share}, so it computes.")
    return " ".join(said)


def _stop_all() -> None:
    for made in _active:
        made._stop(_PATIENCE)


def _renew_all_after_fork() -> None:
    for made in _active:
        made._renew_after_fork()


atexit.register(_stop_all)
os.register_at_fork(after_in_child=_renew_all_after_fork)
