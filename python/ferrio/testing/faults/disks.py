"""The faults of a disk: it is full, slow, or can't be read.

Each is for the files at and below a path, or for all regular files. They reach what is opened inside the block by
`open`, `pathlib`, `tempfile` or `ferrio.open`, in whatever thread, and the functions of `os`. They don't reach a file
object that was opened before, `mmap`, `loop.sendfile`, extension modules that call the system themselves (sqlite3),
and `from os import write` in a module that was imported before.

Invariant: nothing stays replaced after the last block.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from ferrio.testing.faults import files, waiting

__all__ = ("disk_error", "disk_full", "slow_disk")

_Path = str | bytes | os.PathLike[str] | os.PathLike[bytes] | None


@contextmanager
def disk_full(path: _Path = None, *, after: int = 0) -> Iterator[None]:
    """The disk takes `after` more bytes. Then writes fail with ENOSPC, and the last one before writes only a part.

    Buffers and text layers are the standard library's own. So the error may come from `flush()` or `close()`, as it
    does with a real disk.
    """
    with files.faulty(_Full(path, after)):
        yield


@contextmanager
def disk_error(path: _Path = None, *, after: int = 0) -> Iterator[None]:
    """The disk gives `after` more bytes, then reads fail with EIO."""
    with files.faulty(_Unreadable(path, after)):
        yield


@contextmanager
def slow_disk(seconds: float, path: _Path = None) -> Iterator[None]:
    """Each operation takes so many seconds: opening, reading, writing, and the functions of `os` with a path.

    In a loop with virtual time they are seconds of that time. Other timers go on while a thread waits for the disk. A
    coroutine that calls `open` itself blocks the loop meanwhile.
    """
    if seconds < 0:
        raise ValueError(f"a disk can't take {seconds} seconds")
    with files.faulty(_Slow(path, seconds)):
        yield


class _Limited(files.Fault):
    """Something that fails after a number of bytes."""

    error: int

    def __init__(self, path: _Path, after: int) -> None:
        if after < 0:
            raise ValueError(f"a disk can't fail after {after} bytes")
        super().__init__(path)
        self._left = after
        self._lock = threading.Lock()

    def _take(self, size: int) -> int:
        """Returns how many of `size` bytes still go."""
        with self._lock:
            granted = min(size, self._left)
            self._left -= granted
        if size and not granted:
            raise OSError(self.error, os.strerror(self.error))
        return granted


class _Full(_Limited):
    error = errno.ENOSPC

    def writing(self, size: int) -> int:
        return self._take(size)


class _Unreadable(_Limited):
    error = errno.EIO

    def reading(self, size: int) -> int:
        return self._take(size)


class _Slow(files.Fault):
    def __init__(self, path: _Path, seconds: float) -> None:
        super().__init__(path)
        self._seconds = seconds

    def opening(self) -> None:
        waiting.wait(self._seconds)

    def reading(self, size: int) -> int:
        waiting.wait(self._seconds)
        return size

    def writing(self, size: int) -> int:
        waiting.wait(self._seconds)
        return size
