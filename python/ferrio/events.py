"""Event loops, handles and policies, under asyncio's module name (`asyncio.events`)."""

from __future__ import annotations

import asyncio.events
from typing import Any

from ferrio._ferrio import Handle, Loop, TimerHandle

AbstractEventLoop = asyncio.events.AbstractEventLoop
AbstractServer = asyncio.events.AbstractServer
_get_running_loop = asyncio.events._get_running_loop
_set_running_loop = asyncio.events._set_running_loop
get_running_loop = asyncio.events.get_running_loop


class EventLoop(Loop, AbstractEventLoop):
    """ferrio's event loop, as an `asyncio.AbstractEventLoop`.

    With `virtual_time=True` its clock jumps to the next deadline whenever nothing else is to be done: for tests.
    """


def new_event_loop(*, virtual_time: bool = False) -> EventLoop:
    """Return a new ferrio event loop; `virtual_time` as in `EventLoop`."""
    return EventLoop(virtual_time=virtual_time)


def __getattr__(name: str) -> Any:
    return getattr(asyncio.events, name)


__all__ = (
    "AbstractEventLoop",
    "AbstractServer",
    "EventLoop",
    "Handle",
    "TimerHandle",
    "_get_running_loop",
    "_set_running_loop",
    "get_running_loop",
    "new_event_loop",
)
