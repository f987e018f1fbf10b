"""asyncio's transports: the standard library's own objects, so that instances pass from one world to the other."""

from asyncio.transports import *
from asyncio.transports import __all__ as __all__
