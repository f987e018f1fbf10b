"""The order in which all loops run what is ready, written to a file: `ferrio.testing.replay_recording` runs it again.

The loops' threads write while they work (`_ferrio._Journal`): nothing here runs meanwhile. What a loop has run is in
the file when its buffer is full, when it sleeps, and when it ends. So a program that is killed loses little. The head
of `crates/ferrio-engine/src/journal/mod.rs` describes the format.

Invariant: a child process writes to a file of its own.
"""

from __future__ import annotations

import atexit
import os
import threading
from typing import Any

from ferrio import _ferrio
from ferrio.sight import recorder
from ferrio.sight.stoppable import Stoppable

__all__ = ("SUFFIX", "OrderRecording", "record_order")

SUFFIX = ".bin"

# The recording of this process, and the lock under which it changes.
_current: OrderRecording | None = None
_lock = threading.Lock()


class OrderRecording(Stoppable):
    """What `record_order` returns. It ends with `stop()`, or when it is left as a context manager."""

    def __init__(self, path: str, *, is_child: bool = False) -> None:
        self.path = path
        self._is_child = is_child
        self._native = _ferrio._Journal(path, lazy=is_child)

    def stop(self) -> None:
        """Writes what wasn't written yet, once. Raises `OSError` if the file isn't complete."""
        global _current
        with _lock:
            if _current is self:
                _current = None
            self._native.stop()

    def _finish(self) -> None:
        """The end of the program."""
        try:
            self.stop()
        except OSError as error:
            recorder.complain(f"the recording {self.path} isn't complete: {error}")


def record_order(path: Any, *, of_child: bool = False) -> OrderRecording:
    """Records in which order loops that are made from now on run what is ready, until `stop()` or the program's end.

    `path` ends in ".bin". With `of_child`, it is that of the parent process: this one writes beside it, if it has a
    loop.

    Raises `OSError` if the file can't be written, `ValueError` for another suffix, and `RuntimeError` if such a
    recording is on already.
    """
    global _current
    # The program may change its directory.
    full = os.path.abspath(os.fsdecode(path))
    if not full.endswith(SUFFIX):
        raise ValueError(f"a path that ends in {SUFFIX} is needed, got {os.fsdecode(path)!r}")
    if of_child:
        full = recorder.path_of_child(full)
    with _lock:
        if _current is not None:
            raise RuntimeError("the order of the loops is being recorded already")
        made = _current = OrderRecording(full, is_child=of_child)
    atexit.register(made._finish)
    return made


def _after_fork_in_child() -> None:
    """The file is the parent's, and a thread of the parent may have held the lock."""
    global _current, _lock
    _lock = threading.Lock()
    if _current is not None:
        path = recorder.path_of_child(_current.path, is_grandchild=_current._is_child)
        _current = OrderRecording(path, is_child=True)
        atexit.register(_current._finish)


os.register_at_fork(after_in_child=_after_fork_in_child)
