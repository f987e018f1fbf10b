"""Coroutines, under asyncio's module name (`asyncio.coroutines`): the standard library's own functions."""

from asyncio.coroutines import (  # type: ignore[attr-defined] # typeshed leaves the private ones out
    _format_coroutine,
    _is_coroutine,
    _is_debug_mode,
    iscoroutine,
    iscoroutinefunction,
)

__all__ = ("iscoroutine", "iscoroutinefunction")
