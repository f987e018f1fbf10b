"""`install()`: ferrio's names in the place of the standard `asyncio`'s, for the whole program; `uninstall()`
takes them out.

What is replaced is what ferrio has of its own: each public name of a ferrio module that bears the name of an
asyncio module (`ferrio.tasks`, `asyncio.tasks`), there and in the `asyncio` package, names of newer Pythons
included; the loop classes; and the standard library's policy. What the standard library keeps (exceptions,
protocols, `AbstractEventLoop`) is the same object in both, so nothing changes there.

Invariant: `uninstall()` leaves every name as `install()` found it.
"""

from __future__ import annotations

import asyncio as standard
from collections.abc import Iterator
from types import ModuleType

import ferrio
from ferrio import _policy
from ferrio._loop import EventLoop

__all__ = ("install", "uninstall")

_ABSENT = object()

# Public names of ferrio's modules that asyncio has in no version.
_OURS_ALONE = {"EventLoopPolicy", "ThreadPool", "to_process"}

# What the standard library's own loops look up in its modules and then treat as their own. A loop of theirs may live
# in another thread when install() is called (a notebook's kernel has some), or be made by a library that subclasses
# one. In the package `asyncio`, where programs find these names, they are replaced like all others.
_OF_STANDARD_LOOPS = {
    "asyncio.base_events": {"Server"},
    "asyncio.events": {"Handle", "TimerHandle"},
    "asyncio.sslproto": {"SSLProtocol"},
}

# (module, name, what was there before), in the order of replacement; empty while not installed.
_replaced: list[tuple[ModuleType, str, object]] = []


def install() -> None:
    """Puts ferrio's names into `asyncio` and its submodules, so that the whole program runs on ferrio.

    To be called at the program's start: what a module imported by name before (`from asyncio import Queue`)
    stays the standard library's there, and works with ferrio's loop too. A second call does nothing. `python
    -m ferrio` calls it before it runs a program. Takes nothing, returns `None`.
    """
    if _replaced:
        return
    for ours, theirs in _pairs():
        for name in set(getattr(ours, "__all__", ())) - _OURS_ALONE:
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
    # For what imported the standard functions by name before this call: they ask this variable.
    _replace(standard.events, "_event_loop_policy", _policy._get_event_loop_policy())
    public = (*standard.__all__, *(name for name in ferrio.__all__ if name in vars(standard)))
    _replace(standard, "__all__", tuple(dict.fromkeys(public)))


def uninstall() -> None:
    """Puts back into `asyncio` what `install()` replaced. Does nothing if it isn't installed. Loops made
    since go on.
    """
    while _replaced:
        module, name, before = _replaced.pop()
        if before is _ABSENT:
            delattr(module, name)
        else:
            setattr(module, name, before)


def is_installed() -> bool:
    """Whether ferrio's names stand in `asyncio` now."""
    return bool(_replaced)


def _pairs() -> Iterator[tuple[ModuleType, ModuleType | None]]:
    """Yields ferrio's public modules, each with asyncio's of that name, or `None` if this Python has none."""
    import importlib.util  # here, so that `import ferrio` doesn't pay for what few programs call
    import pkgutil

    for found in pkgutil.iter_modules(ferrio.__path__):
        if found.name.startswith("_") or found.ispkg:
            continue
        known = importlib.util.find_spec(f"asyncio.{found.name}") is not None
        theirs = importlib.import_module(f"asyncio.{found.name}") if known else None
        yield importlib.import_module(f"ferrio.{found.name}"), theirs


def _replace(module: ModuleType, name: str, value: object) -> None:
    before = vars(module).get(name, _ABSENT)
    if before is not value:
        _replaced.append((module, name, before))
        setattr(module, name, value)
