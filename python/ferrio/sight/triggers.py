"""What makes a flight recorder write: a signal, a stall, an exception that isn't handled.

A file takes a while, so a thread writes it, except at the end of the program. After one file, further causes are
ignored for a time, and from some number of files on for ever. So a program in trouble doesn't fill its disk.
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any

from ferrio._modules import log
from ferrio.sight import announced, signals, watchdog

__all__ = ("STALL", "Triggers", "loop_failed")

# The threshold of the watchdog that a recorder starts, in seconds.
STALL = 1.0

# The triggers that hear of exceptions in loops; replaced at each change.
_armed: tuple[Triggers, ...] = ()


class Triggers:
    """Calls `write` when something goes wrong; not again for `pause` seconds, and at most `most` times."""

    def __init__(self, write: Callable[[], str], pause: float, most: int) -> None:
        self._write = write
        self._pause = pause
        self._left = most
        self._last = -pause
        # Reentrant: under it the collector may run, and with it the end of a task whose exception fires again.
        self._lock = threading.RLock()
        self._undo: list[Callable[[], object]] = []

    def arm(self, name: str | int | None, on_stall: bool, on_exception: bool) -> None:
        """Begins. Raises `ValueError` if there is no signal of this name, or it can't be handled here."""
        global _armed
        if name is not None:
            self._handle_signal(name)
        if on_stall:
            watchdog.add_listener(self._stalled)
            self._undo.append(lambda: watchdog.remove_listener(self._stalled))
            if not watchdog.is_watching():
                self._undo.append(watchdog.watch(STALL).stop)
        if on_exception:
            _armed = (*_armed, self)
            self._wrap_hooks()

    def disarm(self) -> None:
        """Ends, and restores what was there before, unless the program has replaced that meanwhile."""
        global _armed
        _armed = tuple(other for other in _armed if other is not self)
        while self._undo:
            self._undo.pop()()

    def renew(self) -> None:
        """After a fork: the lock may be held by a thread of the parent."""
        self._lock = threading.RLock()

    def fire(self, why: str, *, at_once: bool = False) -> None:
        """Something went wrong. Writes, unless a file was written lately; with `at_once` in this thread."""
        with self._lock:
            now = time.monotonic()
            if self._left <= 0 or now - self._last < self._pause:
                return
            self._left -= 1
            self._last = now
        if not at_once:
            try:
                threading.Thread(target=self._write_for, args=(why,), name=announced.RECORDER_THREAD).start()
                return
            except RuntimeError:  # the interpreter is about to end
                pass
        self._write_for(why)

    def _write_for(self, why: str) -> None:
        try:
            path = self._write()
        except OSError as error:
            log.logger.warning("What happened before %s can't be written: %s", why, error)
        else:
            log.logger.warning("What happened before %s is in %s.", why, path)

    def _handle_signal(self, name: str | int) -> None:
        number, before = signals.handle(name, self._signalled, "USR2")

        def restore() -> None:
            if threading.current_thread() is threading.main_thread() and signal.getsignal(number) == self._signalled:
                signal.signal(number, signal.SIG_DFL if before is None else before)

        self._undo.append(restore)

    def _signalled(self, number: int, frame: FrameType | None) -> None:
        # Somebody asked, so neither the pause nor the limit counts.
        why = f"signal {signal.Signals(number).name}"
        threading.Thread(target=self._write_for, args=(why,), name=announced.RECORDER_THREAD).start()

    def _stalled(self, block: watchdog.Block) -> None:
        self.fire("a stall")

    def _wrap_hooks(self) -> None:
        before, before_in_thread = sys.excepthook, threading.excepthook

        def hook(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> Any:
            before(kind, error, traceback)
            if issubclass(kind, Exception):
                self.fire(f"{kind.__name__} at the end of the program", at_once=True)

        def hook_in_thread(given: Any, /) -> Any:
            before_in_thread(given)
            if issubclass(given.exc_type, Exception):
                self.fire(f"{given.exc_type.__name__} in a thread")

        def restore() -> None:
            if sys.excepthook is hook:
                sys.excepthook = before
            if threading.excepthook is hook_in_thread:
                threading.excepthook = before_in_thread

        sys.excepthook, threading.excepthook = hook, hook_in_thread
        self._undo.append(restore)


def loop_failed(context: Any) -> None:
    """Called by a recorded loop with what goes to its exception handler."""
    for armed in _armed:
        error = context.get("exception")
        if error is not None:
            armed.fire(f"{type(error).__name__} in a loop")
