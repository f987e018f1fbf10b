"""`EventLoop`: the extension module's loop as an `asyncio.AbstractEventLoop`, with what is Python of its methods."""

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

    With `virtual_time=True` its clock jumps to the next deadline whenever nothing else is to be done: for tests.
    """

    @property
    def _nest_patched(self) -> bool:
        """What nest_asyncio's `apply()` asks before it patches a loop: ours needs none, it may be nested."""
        from ferrio import _nesting

        if not _nesting.adopt_nest_asyncio():
            raise AttributeError("_nest_patched")
        return True
