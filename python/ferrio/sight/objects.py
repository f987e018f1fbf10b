"""Questions to the program's objects, answered whatever those do.

Reports come while a program is in trouble, and about all of its tasks at once. One object that raises, lies about its
class or has an endless name must not keep the others from being seen. So `ferrio.sight` asks by these functions.
Only Ctrl-C comes through.
"""

from __future__ import annotations

from typing import Any

__all__ = ("call", "coro_of", "cut", "has", "is_a", "name_of", "value")

# More characters of a name or a `repr` are never shown.
_LONGEST = 4000


def value(thing: Any, name: str, default: Any = None) -> Any:
    """Returns an attribute; `default` if there is none, or getting it fails."""
    try:
        return getattr(thing, name, default)
    except KeyboardInterrupt:
        raise
    except BaseException:
        return default


def has(thing: Any, name: str) -> bool:
    """Returns whether `thing` has an attribute that can be got."""
    return value(thing, name, _NOTHING) is not _NOTHING


_NOTHING = object()


def is_a(thing: Any, kinds: Any) -> bool:
    """Returns whether `thing` is an instance, also if it fails to say its class."""
    try:
        return isinstance(thing, kinds)
    except KeyboardInterrupt:
        raise
    except BaseException:
        return issubclass(type(thing), kinds)


def call(thing: Any, name: str, default: Any = None) -> Any:
    """Returns what a method without arguments returns; `default` if there is none, or it fails."""
    method = value(thing, name)
    if method is None:
        return default
    try:
        return method()
    except KeyboardInterrupt:
        raise
    except BaseException:
        return default


def coro_of(task: Any) -> Any:
    """Returns the coroutine of a task; `None` if it has none."""
    return call(task, "get_coro")


def name_of(task: Any) -> str:
    """Returns the name of a task, as a plain string."""
    try:
        return cut(task.get_name())
    except KeyboardInterrupt:
        raise
    except BaseException:
        return "?"


def cut(words: Any) -> str:
    """Returns `words` as a plain string that isn't endless. Raises what their `__str__` raises."""
    # A subclass may have methods of its own.
    text = str.__str__(words if issubclass(type(words), str) else str(words))
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}... ({len(text)} characters)"
