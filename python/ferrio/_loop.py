"""`EventLoop`: the extension module's loop as an `asyncio.AbstractEventLoop`, with its methods written in Python."""

from asyncio.events import AbstractEventLoop

from ferrio._connect import Connecting
from ferrio._datagram import Datagrams
from ferrio._ferrio import Loop
from ferrio._process import Spawning
from ferrio._sendfile import Sending
from ferrio._serve import Serving
from ferrio._tls import Upgrading


class EventLoop(  # type: ignore[misc]  # newer arguments
    Connecting, Serving, Datagrams, Upgrading, Sending, Spawning, Loop, AbstractEventLoop
):
    """ferrio's event loop.

    With `virtual_time=True` its clock jumps to the next deadline when there is nothing else to do. This is for tests.
    """

    @property
    def _nest_patched(self) -> bool:
        """Read by nest_asyncio's `apply()` before it patches a loop: ferrio's loop can be nested without that."""
        from ferrio import _nesting

        if not _nesting.adopt_nest_asyncio():
            raise AttributeError("_nest_patched")
        return True
