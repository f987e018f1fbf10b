"""Asynchronous files: `ferrio.open()`, and what it gives. asyncio has none.

`open` is not among `ferrio.__all__`, so that `from ferrio import *` leaves the built-in function what it is.
"""

from ferrio._ferrio import File, Opening, open, open_with

__all__ = ("File", "Opening", "open", "open_with")
