"""Event loops, handles and policies, under asyncio's module name (`asyncio.events`)."""

import asyncio.events as _standard
from asyncio.events import (
    AbstractEventLoop,
    AbstractServer,
    _get_running_loop,
    _set_running_loop,
    get_running_loop,
)
from typing import Any

from ferrio._ferrio import Handle, TimerHandle
from ferrio._loop import EventLoop
from ferrio._policy import (
    EventLoopPolicy,
    _get_event_loop_policy,
    _set_event_loop_policy,
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


# Only some Pythons have these, or they have another name or warn: the standard library's own objects.
_CHILD_WATCHERS = (
    "AbstractChildWatcher",
    "FastChildWatcher",
    "MultiLoopChildWatcher",
    "PidfdChildWatcher",
    "SafeChildWatcher",
    "ThreadedChildWatcher",
)


def version_bound_names() -> dict[str, Any]:
    """Return a dict of the policies and child watchers that this Python's asyncio has, by name."""
    import asyncio.unix_events

    names = {name: vars(asyncio.unix_events)[name] for name in _CHILD_WATCHERS if name in vars(asyncio.unix_events)}
    for name in ("get_child_watcher", "set_child_watcher", "AbstractEventLoopPolicy"):
        known = vars(_standard).get(name, vars(_standard).get(f"_{name}"))
        if known is not None:
            names[name] = known
    names["DefaultEventLoopPolicy"] = EventLoopPolicy
    return names


# A base class for a program's own policies; only in the module, as in asyncio.
if "BaseDefaultEventLoopPolicy" in vars(_standard):
    BaseDefaultEventLoopPolicy = vars(_standard)["BaseDefaultEventLoopPolicy"]


globals().update(version_bound_names())
