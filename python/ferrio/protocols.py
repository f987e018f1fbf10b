"""asyncio's protocols: the standard library's own objects, so that instances pass from one world to the other."""

from asyncio.protocols import *
from asyncio.protocols import __all__ as __all__
