"""`os.path`'s questions to the disk, as awaitables: `await ferrio.os.path.exists(name)`.

What only works on text (`join`, `basename`, ...) is not here: nothing of it waits. Errors are `os.path`'s own.
"""

import os

from ferrio.os import _awaitable

__all__ = (
    "abspath",
    "exists",
    "getatime",
    "getctime",
    "getmtime",
    "getsize",
    "isdir",
    "isfile",
    "islink",
    "ismount",
    "lexists",
    "realpath",
    "samefile",
    "sameopenfile",
)

abspath = _awaitable(os.path.abspath)
exists = _awaitable(os.path.exists)
getatime = _awaitable(os.path.getatime)
getctime = _awaitable(os.path.getctime)
getmtime = _awaitable(os.path.getmtime)
getsize = _awaitable(os.path.getsize)
isdir = _awaitable(os.path.isdir)
isfile = _awaitable(os.path.isfile)
islink = _awaitable(os.path.islink)
ismount = _awaitable(os.path.ismount)
lexists = _awaitable(os.path.lexists)
realpath = _awaitable(os.path.realpath)
samefile = _awaitable(os.path.samefile)
sameopenfile = _awaitable(os.path.sameopenfile)
