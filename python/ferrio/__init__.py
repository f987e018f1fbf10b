"""ferrio: Python's asyncio, whole, in Rust. Use it as `import ferrio as asyncio`."""

import os

from ferrio import _ferrio, events, futures, tasks
from ferrio._ferrio import Operation
from ferrio.events import *
from ferrio.futures import *
from ferrio.tasks import *

__version__ = _ferrio.__version__

__all__ = (*events.__all__, *futures.__all__, *tasks.__all__, "Operation")

# A forked child has one thread, and no loop runs in it.
os.register_at_fork(after_in_child=_ferrio._forget_running_loop)
