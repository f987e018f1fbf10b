"""The functions of `os` that wait for a disk, as awaitables: `await ferrio.os.stat(name)`.

Names, arguments, results and errors are those of the standard library, so after `from ferrio import os` a coroutine
needs an `await` and no other change. (aiofiles has its own under the same name.) Each call runs in a thread that waits
for disks, never in the default executor.
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


def wrap(function: Callable[_P, _T], /) -> Callable[_P, Awaitable[_T]]:
    """Return a version of `function` that returns an awaitable and runs in a thread that waits for disks."""

    @wraps(function)
    def in_thread(*args: _P.args, **kwargs: _P.kwargs) -> Awaitable[_T]:
        return call_in_file_thread(function, *args, **kwargs)

    return in_thread


def _follow(function: Callable[_P, _T]) -> Callable[_P, Awaitable[_T]]:
    """As `wrap`, but if a test has put something in the function's place in `os`, that is called."""

    @wraps(function)
    def in_thread(*args: _P.args, **kwargs: _P.kwargs) -> Awaitable[_T]:
        return call_in_file_thread(getattr(os, function.__name__), *args, **kwargs)

    return in_thread


access = _follow(os.access)
getcwd = _follow(os.getcwd)
link = _follow(os.link)
listdir = _follow(os.listdir)
lstat = _follow(os.lstat)
makedirs = _follow(os.makedirs)
mkdir = _follow(os.mkdir)
readlink = _follow(os.readlink)
remove = _follow(os.remove)
removedirs = _follow(os.removedirs)
rename = _follow(os.rename)
renames = _follow(os.renames)
replace = _follow(os.replace)
rmdir = _follow(os.rmdir)
scandir = _follow(os.scandir)
sendfile = _follow(os.sendfile)
stat = _follow(os.stat)
statvfs = _follow(os.statvfs)
symlink = _follow(os.symlink)
truncate = _follow(os.truncate)
unlink = _follow(os.unlink)
utime = _follow(os.utime)

from ferrio import ospath as path  # noqa: E402  (it takes `wrap` from here)
