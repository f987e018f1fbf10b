"""asyncio's exceptions: the standard library's own objects, so that instances pass from one world to the other."""

from asyncio.exceptions import *
from asyncio.exceptions import __all__ as __all__
