"""`install()` puts ferrio's names in place of the standard `asyncio`'s, for the whole program; `uninstall()` removes
them.

It replaces what ferrio has of its own. That is each public name in a ferrio module that has the name of an asyncio
module (`ferrio.tasks`, `asyncio.tasks`), names of newer Pythons included. They are replaced in that module and in the
`asyncio` package. The loop classes and the standard library's policy are replaced, too. What stays the standard
library's (exceptions, protocols, `AbstractEventLoop`) is the same object in both, so nothing changes there.

What a tracer replaced earlier stays. Its wrapper calls the standard library's function, which works on ferrio's loop.

Invariant: `uninstall()` leaves every name as `install()` found it.
"""

from __future__ import annotations

import asyncio as standard
from collections.abc import Iterator
from types import FunctionType, ModuleType

import ferrio
from ferrio import _policy
from ferrio._loop import EventLoop

__all__ = ("install", "uninstall")

_ABSENT = object()

# Public names in ferrio's modules that no version of asyncio has.
_ONLY_FERRIO = {"EventLoopPolicy", "ThreadPool", "to_process"}

# The standard library's own loops look these up in its modules and expect them to be their own. Such a loop may already
# run in another thread (as in a notebook's kernel), or a library may subclass one. In the package `asyncio`, where
# programs find these names, they are replaced like all others.
_OF_STANDARD_LOOPS = {
    "asyncio.base_events": {"Server"},
    "asyncio.events": {"Handle", "TimerHandle"},
    "asyncio.sslproto": {"SSLProtocol"},
}

# The special methods of asyncio's classes that a tracer may wrap.
_METHODS = {"__init__", "__aenter__", "__aexit__"}

# (module, name, what was there before), in the order of replacement; empty if not installed.
_replaced: list[tuple[ModuleType, str, object]] = []


def install() -> None:
    """Puts ferrio's names into `asyncio` and its submodules, so that the whole program runs on ferrio.

    Call it at the start of the program. A name that a module imported earlier (`from asyncio import Queue`) stays the
    standard library's there, and works with ferrio's loop too. A second call does nothing. `python -m ferrio` calls it
    before it runs a program. Takes nothing, returns `None`.
    """
    if _replaced:
        return
    for ours, theirs in _pairs():
        for name in set(getattr(ours, "__all__", ())) - _ONLY_FERRIO:
            if theirs is not None and name not in _OF_STANDARD_LOOPS.get(theirs.__name__, ()):
                _replace(theirs, name, getattr(ours, name))
            if name in ferrio.__all__:
                _replace(standard, name, getattr(ours, name))
    for module in (standard, standard.unix_events):
        for name in ("SelectorEventLoop", "EventLoop"):
            _replace(module, name, EventLoop)
        for name in ("DefaultEventLoopPolicy", "_DefaultEventLoopPolicy"):
            if name in vars(module):
                _replace(module, name, _policy.EventLoopPolicy)
    for name in ("get_event_loop", "new_event_loop", "set_event_loop"):
        _replace(standard.events, name, getattr(_policy, name))
        _replace(standard, name, getattr(_policy, name))
    for name in ("get_event_loop_policy", "set_event_loop_policy"):
        _replace(standard.events, name, getattr(_policy, name))
        _replace(standard.events, f"_{name}", getattr(_policy, f"_{name}"))
        _replace(standard, name, getattr(_policy, name))
    # Code that imported the standard functions by name before this call asks this variable.
    _replace(standard.events, "_event_loop_policy", _policy._get_event_loop_policy())
    public = (*standard.__all__, *(name for name in ferrio.__all__ if name in vars(standard)))
    _replace(standard, "__all__", tuple(dict.fromkeys(public)))


def uninstall() -> None:
    """Puts back into `asyncio` what `install()` replaced. Does nothing if it isn't installed.

    Loops made in the meantime keep running.
    """
    while _replaced:
        module, name, before = _replaced.pop()
        if before is _ABSENT:
            delattr(module, name)
        else:
            setattr(module, name, before)


def is_installed() -> bool:
    """Whether `asyncio` has ferrio's names now."""
    return bool(_replaced)


def before(submodule: str, name: str) -> object:
    """Returns what `name` means in the standard library's `submodule` without `install()`; `None` if nothing."""
    module = getattr(standard, submodule, None)
    for replaced, known, value in _replaced:
        if replaced is module and known == name:
            return None if value is _ABSENT else value
    return getattr(module, name, None)


def _pairs() -> Iterator[tuple[ModuleType, ModuleType | None]]:
    """Yields each of ferrio's public modules with asyncio's of the same name, or `None` if this Python has none."""
    import importlib.util  # here, so that `import ferrio` doesn't pay for something that few programs use
    import pkgutil

    for found in pkgutil.iter_modules(ferrio.__path__):
        if found.name.startswith("_") or found.ispkg:
            continue
        known = importlib.util.find_spec(f"asyncio.{found.name}") is not None
        theirs = importlib.import_module(f"asyncio.{found.name}") if known else None
        yield importlib.import_module(f"ferrio.{found.name}"), theirs


def _is_wrapped(value: object) -> bool:
    """Whether a program put something around a function, or around a method of a class."""
    if isinstance(value, type):
        return any(_is_wrapped(member) for name, member in vars(value).items() if name in _METHODS or name[0] != "_")
    # `asyncio` itself wraps nothing; wrappers that aren't functions act as if they were.
    home = getattr(value, "__module__", None) or ""
    foreign = isinstance(value, FunctionType) and home.partition(".")[0] not in ("asyncio", "ferrio")
    return foreign or hasattr(value, "__wrapped__")


def _replace(module: ModuleType, name: str, value: object) -> None:
    before = vars(module).get(name, _ABSENT)
    if before is not value and not _is_wrapped(before):
        _replaced.append((module, name, before))
        setattr(module, name, value)
