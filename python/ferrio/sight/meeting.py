"""Where programs that can be seen leave their sockets, and where `ferrio top` finds these.

A directory that belongs to one user, and only that user may enter: `ferrio` in `$XDG_RUNTIME_DIR`, or `ferrio-<uid>` in
`/tmp`. A program's socket is `<pid>.sock`. Both sides check the directory before they trust what is in it. They go to
the socket by the directory that they checked, so nobody can put another in its place.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
import struct
from collections.abc import Iterator

__all__ = (
    "PlaceError",
    "bind",
    "connect",
    "directories",
    "files",
    "opened",
    "own_directory",
    "peer",
    "remove",
    "sockets",
)

_SUFFIX = ".sock"
_UNBORN = ".new"


class PlaceError(Exception):
    """There is no directory that only this user can enter."""


def own_directory(uid: int | None = None) -> str:
    """Returns the directory of the user `uid`, this process's by default; makes it if need be.

    Raises `PlaceError` if there is none, or others may enter it.
    """
    wanted = os.geteuid() if uid is None else uid
    candidates = directories(wanted)
    problem = "there is no place for it"
    for path in candidates:
        try:
            if path != candidates[-1]:
                _check(path.rpartition("/")[0], wanted, others=True)
            with contextlib.suppress(FileExistsError):
                os.mkdir(path, 0o700)
                if wanted != os.geteuid():
                    os.chown(path, wanted, -1, follow_symlinks=False)
            _check(path, wanted)
            return path
        except (OSError, PlaceError) as error:
            problem = str(error)
    raise PlaceError(problem)


def directories(uid: int, environment: str | None = None) -> list[str]:
    """Returns the directories where programs of the user `uid` may have their sockets, the preferred one first.

    `environment`: the value of `XDG_RUNTIME_DIR`, this process's by default.
    """
    given = os.environ.get("XDG_RUNTIME_DIR", "") if environment is None else environment
    places = [f"{given}/ferrio"] if given.startswith("/") else []
    return list(dict.fromkeys([*places, f"/run/user/{uid}/ferrio", f"/tmp/ferrio-{uid}"]))


@contextlib.contextmanager
def opened(path: str, uid: int) -> Iterator[str]:
    """Opens and checks a directory of the user `uid`; gives a path to it that stays the same, and is short.

    Raises `PlaceError` if it isn't a directory that only this user can enter, or `OSError`.
    """
    number = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        _check_status(os.fstat(number), path, uid)
        yield f"/proc/self/fd/{number}"
    finally:
        os.close(number)


def bind(path: str, pid: int) -> socket.socket:
    """Returns the listening socket of the program `pid` in the checked directory `path`."""
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with opened(path, os.geteuid()) as place:
            # Nobody sees it before it listens: a reader would take it for what an ended program has left.
            name = f"{place}/{pid}{_UNBORN}"
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name)  # of a process that had the same number
            made.bind(name)
            os.chmod(name, 0o600)
            made.listen(128)
            os.rename(name, f"{place}/{pid}{_SUFFIX}")
    except BaseException:
        made.close()
        raise
    return made


def remove(path: str, pid: int) -> None:
    """Removes the socket of the program `pid`, if it is there."""
    with contextlib.suppress(OSError):
        os.unlink(f"{path}/{pid}{_SUFFIX}")


def files(path: str, uid: int) -> list[int]:
    """Returns the programs, by process number, that have a socket in the directory; none if it can't be trusted."""
    try:
        with opened(path, uid) as place:
            names = os.listdir(place)
    except (OSError, PlaceError):
        return []
    return sorted(
        int(name.removesuffix(_SUFFIX))
        for name in names
        if name.endswith(_SUFFIX) and name.removesuffix(_SUFFIX).isdecimal()
    )


def connect(path: str, uid: int, pid: int, timeout: float) -> socket.socket | None:
    """Returns a connection to the program `pid`, or `None` if it isn't there; then the rest of it is swept away.

    Raises `OSError` or `PlaceError` if there is something that can't be used.
    """
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    made.settimeout(timeout)
    try:
        with opened(path, uid) as place:
            name = f"{place}/{pid}{_SUFFIX}"
            try:
                made.connect(name)
            except OSError as error:
                made.close()
                if error.errno == errno.ECONNREFUSED:
                    with contextlib.suppress(OSError):
                        os.unlink(name)
                    return None
                if error.errno == errno.ENOENT:
                    return None
                raise
        if peer(made)[1] not in (uid, 0):
            raise PlaceError(f"{path}/{pid}{_SUFFIX} belongs to another user")
    except BaseException:
        made.close()
        raise
    return made


def sockets(uid: int) -> list[tuple[str, int]]:
    """Returns the directory and process number of each socket of this user's programs."""
    return [(path, pid) for path in directories(uid, None if uid == os.geteuid() else "") for pid in files(path, uid)]


def peer(connection: socket.socket) -> tuple[int, int]:
    """Returns the process number and the user of the other end."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    pid, uid, _group = struct.unpack("3i", credentials)
    return pid, uid


def _check(path: str, uid: int, others: bool = False) -> None:
    _check_status(os.lstat(path), path, uid, others)


def _check_status(status: os.stat_result, path: str, uid: int, others: bool = False) -> None:
    """Raises `PlaceError` unless it is a directory of this user, and, without `others`, only theirs."""
    if not stat.S_ISDIR(status.st_mode):
        raise PlaceError(f"{path} isn't a directory")
    if status.st_uid != uid:
        raise PlaceError(f"{path} belongs to the user {status.st_uid}, not to {uid}")
    if status.st_mode & (0o022 if others else 0o077):
        raise PlaceError(f"{path} can be entered by others: its mode is {stat.S_IMODE(status.st_mode):o}, not 700")
