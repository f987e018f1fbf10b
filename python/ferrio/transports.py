"""asyncio's transports: the standard library's own objects, so instances work with both."""

from asyncio.transports import *
from asyncio.transports import __all__ as __all__
