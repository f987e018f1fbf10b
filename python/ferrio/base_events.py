"""The loop under the name of asyncio's base class (`asyncio.base_events`), for code that asks for an instance of it."""

from ferrio._loop import EventLoop

BaseEventLoop = EventLoop

__all__ = ("BaseEventLoop",)
