"""Asynchronous files: `ferrio.open()` and its results. asyncio has none.

`open` isn't in `ferrio.__all__`, so `from ferrio import *` keeps the built-in function.
"""

from ferrio._ferrio import File, Opening, open, open_with

__all__ = ("File", "Opening", "open", "open_with")
