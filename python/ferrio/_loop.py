"""`EventLoop`: the extension module's loop as an `asyncio.AbstractEventLoop`."""

from asyncio.events import AbstractEventLoop

from ferrio._ferrio import Loop


class EventLoop(Loop, AbstractEventLoop):
    """ferrio's event loop.

    With `virtual_time=True` its clock jumps to the next deadline whenever nothing else is to be done: for tests.
    What `asyncio.AbstractEventLoop` declares and ferrio does not have yet raises `NotImplementedError`.
    """
