"""asyncio's exceptions: the standard library's own objects, so instances work with both."""

from asyncio.exceptions import *
from asyncio.exceptions import __all__ as __all__
