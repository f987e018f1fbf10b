"""Recordings of what all loops do: `trace` for a whole program, `record` for the latest seconds of one.

The loops' threads record (`_ferrio._Recorder`); nothing here runs while they do. A file is written by whichever thread
asks for it, from a copy, so it doesn't matter whether a loop is blocked. `triggers` says when a flight recorder writes.

Invariants: one recording at a time. The trace of a program is written once, however the program ends, unless a signal
kills it or it calls `os._exit`. A forked child has a recording and files of its own.
"""

from __future__ import annotations

import atexit
import contextlib
import operator
import os
import sys
import threading
import time
from typing import Any

from ferrio import _ferrio
from ferrio.sight import triggers
from ferrio.sight.stoppable import Stoppable

__all__ = ("MOST", "Recording", "complain", "path_of_child", "record", "trace", "trace_of_child")

# How many events each loop keeps: for a whole trace (128 MB, taken as they come), and for the latest seconds.
MOST = 1 << 23
_LATEST = 1 << 20

_SUFFIXES = (".html", ".json")

# The recording of this process, and the lock under which it changes.
_current: Recording | None = None
_lock = threading.Lock()


class Recording(Stoppable):
    """What `trace` and `record` return. It ends with `stop()`, or when it is left as a context manager.

    `files` are the paths of what was written so far.
    """

    def __init__(self, path: Any, events: int, seconds: float | None) -> None:
        # The program may change its directory.
        self.path = os.path.abspath(os.fsdecode(path))
        _check_suffix(self.path)
        _load_writers()
        self.seconds = seconds
        self.files: list[str] = []
        self._events = events
        self._native = _ferrio._Recorder(events, seconds)
        self._triggers: triggers.Triggers | None = None
        self._writing = threading.RLock()
        self._is_child = False
        self._is_known_to_multiprocessing = False
        self._is_ending = False
        self._is_over = False

    def write(self, path: Any = None) -> str:
        """Writes what was recorded so far, and returns the path of the file.

        `path` is one like that of the recording, which is the default. Raises `OSError` if the file can't be written.
        """
        pattern = self.path if path is None else os.fsdecode(path)
        _check_suffix(pattern)
        with self._writing:
            name = _filled(pattern)
            self._write(name)
            self.files.append(name)
        return name

    def stop(self) -> None:
        """Ends the recording, and writes the file of a `trace`. Calling it again does nothing."""
        with _lock:
            if self._is_over or self._is_ending:
                return
            self._is_ending = True
        try:
            if self.seconds is None:
                self.write()
        finally:
            self._discard()

    def _discard(self) -> None:
        """Ends the recording, and writes nothing."""
        global _current
        if self._triggers is not None:
            self._triggers.disarm()
        with _lock:
            self._is_over = True
            self._native.stop()
            if _current is self:
                _current = None

    def _start(self, replace: bool = False) -> None:
        """Begins to record. Raises `RuntimeError` if another recording is on."""
        global _current
        threads = {thread.ident: thread.name for thread in threading.enumerate() if thread.ident is not None}
        with _lock:
            self._native.start(threads, replace=replace)
            _current = self

    def _write(self, name: str) -> None:
        from ferrio.sight import page, perfetto, picture

        table = self._native.picture()
        if self._is_child and not table["rows"]:
            return  # a child that runs no loop has nothing to show
        trace = picture.Trace(table, ended=time.time(), whole=self.seconds is None)
        text = page.render(trace.packed()) if name.endswith(".html") else None
        try:
            with open(name, "w", encoding="ascii") as file:
                if text is not None:
                    file.write(text)
                else:
                    perfetto.write(trace, file)
        except BaseException:
            # Half a trace can't be read; on a full disk, it takes the place of others.
            if os.path.isfile(name) and not os.path.islink(name):
                os.remove(name)
            raise

    def _finish(self) -> None:
        """The end of the program."""
        if self._is_over:
            return
        try:
            self.stop()
        except OSError as error:
            complain(f"the trace can't be written: {error}")
        except KeyboardInterrupt:
            complain("the trace wasn't written, because of Ctrl-C")

    def _renew_in_child(self) -> None:
        """After a fork: what was recorded is the parent's, and a thread of the parent may have held a lock."""
        self._writing = threading.RLock()
        if self._triggers is not None:
            self._triggers.renew()
        self.path = path_of_child(self.path, is_grandchild=self._is_child)
        self._is_child = True
        self._is_ending = False
        self.files = []
        self._native = _ferrio._Recorder(self._events, self.seconds)
        self._start(replace=True)


def trace(path: Any, *, events: int = MOST) -> Recording:
    """Records all that the program's loops do, until the end of the `with` block or of the program, and writes it.

    `path` ends in ".html", for a page that any browser shows, or in ".json", for Perfetto and Chrome. "{pid}" and
    "{time}" in it are filled in. Each loop keeps `events` events, of 16 bytes; the oldest are overwritten.

    Raises `OSError` if the file can't be written there, `ValueError` for another suffix, and `RuntimeError` if a
    recording is on already.
    """
    made = Recording(path, events, None)
    _check_writable(_filled(made.path))
    made._start()
    _finish_at_the_end(made)
    return made


def record(
    seconds: float = 10,
    path: Any = "ferrio-{pid}-{time}.html",
    *,
    signal: str | int | None = None,
    on_stall: bool = True,
    on_exception: bool = True,
    files: int = 10,
    events: int = _LATEST,
) -> Recording:
    """Records the latest `seconds` of all loops, and writes them when something goes wrong.

    That is: when the signal of this name comes ("USR2"), when a watchdog reports what blocks a loop, and when an
    exception isn't handled: in a callback, in a task whose result nobody takes, in a thread, or at the end of the
    program.
    `write()` of the returned object writes at any time. If no watchdog is on, `on_stall` starts one whose threshold is
    a second. After a file, these causes write none for `seconds`, and at most `files` altogether.

    `path` is as in `trace`. Each loop keeps at most `events` events of 16 bytes, so a busy loop's past may be shorter.

    Raises `ValueError` if there is no such signal, and what `trace` raises.
    """
    made = Recording(path, events, seconds)
    made._triggers = triggers.Triggers(made.write, seconds, operator.index(files))
    _check_writable(_filled(made.path))
    made._start()
    try:
        made._triggers.arm(signal, on_stall, on_exception)
    except BaseException:
        made.stop()
        raise
    return made


def trace_of_child(path: str) -> Recording:
    """As `trace(path)`, in a child of the process that writes to `path`. It writes nothing if it runs no loop."""
    made = trace(path_of_child(path))
    made._is_child = True
    return made


def path_of_child(path: str, *, is_grandchild: bool = False) -> str:
    """Returns this process's own path beside that of its parent: "out.html" becomes "out-PID.html"."""
    if "{pid}" in path:
        return path
    stem, suffix = os.path.splitext(path)
    if is_grandchild:
        stem = stem.rpartition("-")[0]
    return f"{stem}-{os.getpid()}{suffix}"


def _filled(pattern: str) -> str:
    """Fills in the parts of a path that differ from file to file."""
    now = time.time()
    stamp = time.strftime("%Y%m%d-%H%M%S", time.localtime(now)) + f".{int(now * 1000) % 1000:03}"
    return pattern.replace("{pid}", str(os.getpid())).replace("{time}", stamp)


def _load_writers() -> None:
    """Imports what writes a file, which a program that records nothing doesn't need.

    At the end of a program it would be too late: making classes would make the interpreter forget a Ctrl-C, by which
    the process must end.
    """
    from ferrio.sight import page, perfetto, picture


def _check_suffix(path: str) -> None:
    if not path.endswith(_SUFFIXES):
        raise ValueError(f"a path that ends in .html or .json is needed, got {path!r}")


def _check_writable(path: str) -> None:
    """Raises `OSError` if the file can't be written."""
    is_new = not os.path.lexists(path)
    with open(path, "ab"):
        pass
    if is_new:
        with contextlib.suppress(OSError):
            os.remove(path)


def complain(text: str) -> None:
    """Writes to standard error, if there is one."""
    if sys.stderr is not None:
        with contextlib.suppress(OSError):
            sys.stderr.write(f"ferrio: {text}\n")


def _finish_at_the_end(made: Recording) -> None:
    """Writes the trace at the end of the process. One that `multiprocessing` started may run no `atexit`."""
    atexit.register(made._finish)
    process = sys.modules.get("multiprocessing.process")
    if process is None:
        return
    if process.parent_process() is not None:
        _finish_in_multiprocessing(made)
    elif getattr(process.current_process(), "_inheriting", False):
        # The process is being prepared. A fork server's child then drops all finalizers, and ends without `atexit`.
        _tell_multiprocessing(made, sys.modules["multiprocessing.util"])


def _finish_in_multiprocessing(made: Recording) -> None:
    from multiprocessing import util

    util.Finalize(None, made._finish, exitpriority=-100)


def _before_fork() -> None:
    made, util = _current, sys.modules.get("multiprocessing.util")
    if made is not None and made.seconds is None and util is not None:
        _tell_multiprocessing(made, util)


def _tell_multiprocessing(made: Recording, util: Any) -> None:
    if not made._is_known_to_multiprocessing:
        made._is_known_to_multiprocessing = True
        # It drops all finalizers in the child, and then calls this.
        util.register_after_fork(made, _finish_in_multiprocessing)


def _after_fork_in_child() -> None:
    global _lock
    _lock = threading.Lock()
    if _current is not None and not _current._is_over:
        _current._renew_in_child()


os.register_at_fork(before=_before_fork, after_in_child=_after_fork_in_child)
