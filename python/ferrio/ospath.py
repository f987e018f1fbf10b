"""The functions of `os.path` that ask the disk, as awaitables: `await ferrio.os.path.exists(name)`.

Functions that only work on text (`join`, `basename`, ...) aren't here, because they don't wait. Errors are `os.path`'s
own.
"""

import os

from ferrio.os import wrap

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

abspath = wrap(os.path.abspath)
exists = wrap(os.path.exists)
getatime = wrap(os.path.getatime)
getctime = wrap(os.path.getctime)
getmtime = wrap(os.path.getmtime)
getsize = wrap(os.path.getsize)
isdir = wrap(os.path.isdir)
isfile = wrap(os.path.isfile)
islink = wrap(os.path.islink)
ismount = wrap(os.path.ismount)
lexists = wrap(os.path.lexists)
realpath = wrap(os.path.realpath)
samefile = wrap(os.path.samefile)
sameopenfile = wrap(os.path.sameopenfile)
