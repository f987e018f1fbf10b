"""Event loops, handles and policies, under asyncio's module name (`asyncio.events`)."""

import asyncio.events as _standard
from asyncio.events import (
    AbstractEventLoop,
    AbstractServer,
    _get_running_loop,
    _set_running_loop,
    get_running_loop,
)

from ferrio._ferrio import Handle, TimerHandle
from ferrio._loop import EventLoop
from ferrio._policy import (
    EventLoopPolicy,
    get_event_loop,
    get_event_loop_policy,
    new_event_loop,
    set_event_loop,
    set_event_loop_policy,
)

SelectorEventLoop = EventLoop

__all__ = (
    "AbstractEventLoop",
    "AbstractServer",
    "EventLoop",
    "EventLoopPolicy",
    "Handle",
    "SelectorEventLoop",
    "TimerHandle",
    "_get_running_loop",
    "_set_running_loop",
    "get_event_loop",
    "get_event_loop_policy",
    "get_running_loop",
    "new_event_loop",
    "set_event_loop",
    "set_event_loop_policy",
)


def __getattr__(name):
    """Gives the deprecated and version-bound names (`AbstractEventLoopPolicy`...) as this Python has them."""
    if name == "DefaultEventLoopPolicy":
        return EventLoopPolicy
    if name == "AbstractEventLoopPolicy":
        return getattr(_standard, name)
    raise AttributeError(f"module 'ferrio.events' has no attribute {name!r}")
