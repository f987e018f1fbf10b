"""The functions of `os` that wait for a disk, as awaitables: `await ferrio.os.stat(name)`.

They have the names, arguments, results and errors of the standard library's, so that `from ferrio import os` in a
coroutine needs an `await` and no other change (aiofiles has its own under the same name). Each call runs in one of the
threads that wait for disks, never in the default executor.
"""

import os
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from ferrio._ferrio import call_in_file_thread

__all__ = (
    "access",
    "getcwd",
    "link",
    "listdir",
    "lstat",
    "makedirs",
    "mkdir",
    "path",
    "readlink",
    "remove",
    "removedirs",
    "rename",
    "renames",
    "replace",
    "rmdir",
    "scandir",
    "sendfile",
    "stat",
    "statvfs",
    "symlink",
    "truncate",
    "unlink",
    "utime",
    "wrap",
)

_P = ParamSpec("_P")
_T = TypeVar("_T")


def _awaitable(function: Callable[_P, _T], /) -> Callable[_P, Awaitable[_T]]:
    """Return `function` as one that returns an awaitable, and works in a thread for files."""

    @wraps(function)
    def in_thread(*args: _P.args, **kwargs: _P.kwargs) -> Awaitable[_T]:
        return call_in_file_thread(function, *args, **kwargs)

    return in_thread


wrap = _awaitable

access = _awaitable(os.access)
getcwd = _awaitable(os.getcwd)
link = _awaitable(os.link)
listdir = _awaitable(os.listdir)
lstat = _awaitable(os.lstat)
makedirs = _awaitable(os.makedirs)
mkdir = _awaitable(os.mkdir)
readlink = _awaitable(os.readlink)
remove = _awaitable(os.remove)
removedirs = _awaitable(os.removedirs)
rename = _awaitable(os.rename)
renames = _awaitable(os.renames)
replace = _awaitable(os.replace)
rmdir = _awaitable(os.rmdir)
scandir = _awaitable(os.scandir)
sendfile = _awaitable(os.sendfile)
stat = _awaitable(os.stat)
statvfs = _awaitable(os.statvfs)
symlink = _awaitable(os.symlink)
truncate = _awaitable(os.truncate)
unlink = _awaitable(os.unlink)
utime = _awaitable(os.utime)

from ferrio import ospath as path  # noqa: E402  (it takes `_awaitable` from here)
