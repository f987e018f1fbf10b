"""Puts faults between the program and its files: `open` and the functions of `os` are replaced while there are any.

A file that is opened then is the standard library's object. Only the methods of its raw layer that read and write ask
the faults first. A file keeps them after the block, when they find no fault any more.
"""

from __future__ import annotations

import builtins
import io
import os
import stat
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

__all__ = ("Fault", "faulty")

_active: list[Fault] = []
_lock = threading.Lock()
# (module, name, what was there before), while there are faults.
_replaced: list[tuple[Any, str, Any]] = []

# Set in a thread that resolves a path here; for that it calls functions of `os` that are replaced.
_here = threading.local()

# The system's own, whatever is replaced.
_fstat, _readlink, _realpath = os.fstat, os.readlink, os.path.realpath

# Functions whose first argument, or first two, are paths.
_WITH_ONE_PATH = "access chmod chown listdir lstat mkdir open readlink remove rmdir scandir stat truncate unlink utime"
_WITH_TWO_PATHS = "link rename replace symlink"
_WITH_DESCRIPTOR = "fsync fdatasync ftruncate"


class Fault:
    """What is wrong with the files at and below a path. This one does nothing."""

    def __init__(self, path: Any) -> None:
        self._path = None if path is None else os.fsdecode(_realpath(path))

    def concerns(self, path: str) -> bool:
        """Whether the file is at or below the fault's path."""
        return self._path is None or path == self._path or path.startswith(self._path.rstrip("/") + "/")

    def opening(self) -> None:
        """Comes before an operation that moves no bytes. Raises `OSError` to let it fail."""

    def reading(self, size: int) -> int:
        """Comes before a read of at most `size` bytes; returns how many it may have. Raises `OSError`."""
        return size

    def writing(self, size: int) -> int:
        """Comes before a write of `size` bytes; returns how many are written. Raises `OSError`."""
        return size


@contextmanager
def faulty(fault: Fault) -> Iterator[None]:
    """Lets files have the fault inside the block."""
    with _lock:
        if not _active:
            _replace()
        _active.append(fault)
    try:
        yield
    finally:
        with _lock:
            _active.remove(fault)
            if not _active:
                _restore()


def _concerning(path: str | None) -> list[Fault]:
    return [] if path is None else [fault for fault in list(_active) if fault.concerns(path)]


def _opening(path: str | None) -> None:
    for fault in _concerning(path):
        fault.opening()


def _reading(path: str | None, size: int) -> int:
    for fault in _concerning(path):
        size = fault.reading(size)
    return size


def _writing(path: str | None, size: int) -> int:
    for fault in _concerning(path):
        size = fault.writing(size)
    return size


def _of_descriptor(fd: int) -> str | None:
    """The path of an open file; `None` unless it is a regular one."""
    try:
        if not stat.S_ISREG(_fstat(fd).st_mode):
            return None
        # A file that was removed, or never had a name, has this at its end.
        return _readlink(f"/proc/self/fd/{fd}").removesuffix(" (deleted)")
    except OSError:
        return None


def _of_argument(file: Any) -> str | None:
    """The path that a program passed to a function; `None` if that will refuse it."""
    if isinstance(file, int):
        return _of_descriptor(file)
    if getattr(_here, "resolves", False):
        return None
    _here.resolves = True
    try:
        return os.fsdecode(_realpath(file))
    except (TypeError, ValueError, OSError):
        return None
    finally:
        _here.resolves = False


class _Raw:
    """The methods of a raw file (`io.FileIO`), which ask the faults first."""

    def __init__(self, raw: io.FileIO) -> None:
        # The file has these methods in its attributes, and must die when the program drops it.
        self._raw = weakref.ref(raw)
        self._path = _of_descriptor(raw.fileno())

    def _file(self) -> io.FileIO:
        raw = self._raw()
        assert raw is not None, "a method is called on a living object"
        return raw

    def write(self, data: Any, /) -> int | None:
        view = memoryview(data).cast("B")
        return io.FileIO.write(self._file(), view[: _writing(self._path, len(view))])

    def readinto(self, room: Any, /) -> int | None:
        view = memoryview(room).cast("B")
        return io.FileIO.readinto(self._file(), view[: _reading(self._path, len(view))])

    def read(self, size: int | None = -1, /) -> bytes | None:
        if size is None or size < 0:
            return self.readall()
        return io.FileIO.read(self._file(), _reading(self._path, size))

    def readall(self) -> bytes | None:
        pieces = []
        while piece := self.read(io.DEFAULT_BUFFER_SIZE):
            pieces.append(piece)
        return b"".join(pieces)


def _open(standard: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(standard)
    def open(file: Any, *args: Any, **kwargs: Any) -> Any:
        _opening(_of_argument(file))
        opened = standard(file, *args, **kwargs)
        raw = getattr(opened, "buffer", opened)
        raw = getattr(raw, "raw", raw)
        if type(raw) is io.FileIO:
            between = _Raw(raw)
            for name in ("write", "readinto", "read", "readall"):
                setattr(raw, name, getattr(between, name))
        return opened

    return open


def _before(standard: Callable[..., Any], count: int) -> Callable[..., Any]:
    """A function of `os` whose first `count` arguments are files: it waits for the slowest of their disks."""

    @wraps(standard)
    def function(*args: Any, **kwargs: Any) -> Any:
        for file in args[:count] or (".",):
            _opening(_of_argument(file))
        return standard(*args, **kwargs)

    return function


def _moving(name: str, standard: Callable[..., Any]) -> Callable[..., Any]:
    """A function of `os` that reads or writes a descriptor."""

    def read(fd: int, size: int, *rest: Any) -> Any:
        return standard(fd, _reading(_of_descriptor(fd), size), *rest)

    def write(fd: int, data: Any, *rest: Any) -> Any:
        view = memoryview(data).cast("B")
        return standard(fd, view[: _writing(_of_descriptor(fd), len(view))], *rest)

    def readv(fd: int, rooms: Any, *rest: Any) -> Any:
        return standard(fd, _first(rooms, lambda size: _reading(_of_descriptor(fd), size)), *rest)

    def writev(fd: int, pieces: Any, *rest: Any) -> Any:
        return standard(fd, _first(pieces, lambda size: _writing(_of_descriptor(fd), size)), *rest)

    def sendfile(out_fd: int, in_fd: int, offset: int | None, count: int) -> Any:
        return standard(out_fd, in_fd, offset, _between(in_fd, out_fd, count))

    def copy_file_range(src: int, dst: int, count: int, *rest: Any, **keywords: Any) -> Any:
        return standard(src, dst, _between(src, dst, count), *rest, **keywords)

    functions: dict[str, Callable[..., Any]] = {
        "read": read,
        "pread": read,
        "write": write,
        "pwrite": write,
        "readv": readv,
        "preadv": readv,
        "writev": writev,
        "pwritev": writev,
        "sendfile": sendfile,
        "copy_file_range": copy_file_range,
    }
    return wraps(standard)(functions[name])


def _between(source: int, target: int, count: int) -> int:
    """How many of `count` bytes go from one file to the other."""
    return _writing(_of_descriptor(target), _reading(_of_descriptor(source), count))


def _first(buffers: Any, grant: Callable[[int], int]) -> list[memoryview]:
    """The beginning of several buffers, as long as is granted."""
    views = [memoryview(buffer).cast("B") for buffer in buffers]
    left = grant(sum(map(len, views)))
    found = []
    for view in views:
        found.append(view[:left])
        left -= len(found[-1])
    return found


_MOVING = "read pread write pwrite readv preadv writev pwritev sendfile copy_file_range"


def _replace() -> None:
    changes: list[tuple[Any, str, Callable[..., Any]]] = []
    made = _open(io.open)
    changes += [(builtins, "open", made), (io, "open", made)]
    for names, count in ((_WITH_ONE_PATH, 1), (_WITH_TWO_PATHS, 2), (_WITH_DESCRIPTOR, 1)):
        changes += [(os, name, _before(getattr(os, name), count)) for name in names.split() if hasattr(os, name)]
    changes += [(os, name, _moving(name, getattr(os, name))) for name in _MOVING.split() if hasattr(os, name)]
    for module, name, value in changes:
        _replaced.append((module, name, getattr(module, name)))
        setattr(module, name, value)


def _restore() -> None:
    while _replaced:
        module, name, before = _replaced.pop()
        setattr(module, name, before)
