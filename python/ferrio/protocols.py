"""asyncio's protocols: the standard library's own objects, so instances work with both."""

from asyncio.protocols import *
from asyncio.protocols import __all__ as __all__
