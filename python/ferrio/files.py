"""Asynchronous files: `ferrio.open()`, and what it gives. asyncio has none.

`open` is not among `ferrio.__all__`, so that `from ferrio import *` leaves the built-in function what it is.
"""

import threading

from ferrio import _ferrio
from ferrio._ferrio import File, Opening, open, open_with

__all__ = ("File", "Opening", "open", "open_with")

# Called before the interpreter begins to go: a thread that needed it afterwards would never get it.
threading._register_atexit(_ferrio._finish_file_jobs)  # type: ignore[attr-defined]
