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


access = wrap(os.access)
getcwd = wrap(os.getcwd)
link = wrap(os.link)
listdir = wrap(os.listdir)
lstat = wrap(os.lstat)
makedirs = wrap(os.makedirs)
mkdir = wrap(os.mkdir)
readlink = wrap(os.readlink)
remove = wrap(os.remove)
removedirs = wrap(os.removedirs)
rename = wrap(os.rename)
renames = wrap(os.renames)
replace = wrap(os.replace)
rmdir = wrap(os.rmdir)
scandir = wrap(os.scandir)
sendfile = wrap(os.sendfile)
stat = wrap(os.stat)
statvfs = wrap(os.statvfs)
symlink = wrap(os.symlink)
truncate = wrap(os.truncate)
unlink = wrap(os.unlink)
utime = wrap(os.utime)

from ferrio import ospath as path  # noqa: E402  (it takes `wrap` from here)
