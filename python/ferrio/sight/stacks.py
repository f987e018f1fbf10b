"""What reports show: a task or callback in words, and the stack of a thread.

Reports come from another thread while the program runs. So nothing here raises because of what the program does
meanwhile, or because of its `repr`.
"""

from __future__ import annotations

import os
import sys
import threading
import traceback
from asyncio import format_helpers
from collections.abc import Iterable
from traceback import FrameSummary
from typing import Any

from ferrio.sight import objects

__all__ = ("brief", "describe", "lines_of", "origin_of", "stack_of", "stacks_of_others")

# What is below the program's own frames: `run` and the command line.
_RUNNERS = tuple(
    os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), name)
    for name in ("runners.py", "_standard.py")
)

# Whoever asks for a report isn't part of it.
_SIGHT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "")


def describe(thing: Any) -> str:
    """Returns `thing`, a task, callback or transport, in words."""
    try:
        return objects.cut(_described(thing))
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        return f"<{type(thing).__qualname__} at {id(thing):#x}, whose repr raises {type(error).__name__}>"


def _described(thing: Any) -> str:
    if objects.has(thing, "get_coro"):
        return repr(thing)
    protocol = objects.value(thing, "get_protocol")
    if protocol is not None:
        return f"{thing!r} with protocol {protocol()!r}"
    if callable(thing):
        return f"callback {format_helpers._format_callback_source(thing, ())}"
    return repr(thing)


def brief(thing: Any) -> str:
    """Returns `thing` in few words: a task by its name and coroutine."""
    if objects.has(thing, "get_coro"):
        coro = objects.coro_of(thing)
        runs = objects.value(coro, "__qualname__")
        return f"task {objects.name_of(thing)!r} ({runs if type(runs) is str else describe(coro)})"
    if (size := objects.call(thing, "qsize")) is not None:
        return f"{describe(thing)}, which has {size} item(s)"
    return describe(thing)


def origin_of(thing: Any) -> list[FrameSummary]:
    """Returns the stack where `thing` was made; empty if that isn't known, as outside debug mode."""
    known = objects.value(thing, "_source_traceback")
    if objects.is_a(known, list):
        return list(known)
    origin = objects.value(objects.coro_of(thing), "cr_origin")
    if not isinstance(origin, tuple):
        return []
    return [FrameSummary(file, line, name) for file, line, name in reversed(origin)]


def stack_of(thread: int | None) -> list[FrameSummary] | None:
    """Returns the stack of a thread, from the loop on; `None` if the thread runs no Python code."""
    frame = sys._current_frames().get(thread) if thread is not None else None
    if frame is None:
        return None
    stack = list(traceback.extract_stack(frame))
    del frame
    while stack and stack[-1].filename.startswith(_SIGHT):
        stack.pop()
    below = [at for at, entry in enumerate(stack) if entry.filename in _RUNNERS]
    return stack[below[-1] + 1 :] if below else stack


def stacks_of_others(thread: int | None) -> list[tuple[str, list[FrameSummary]]]:
    """Returns the names and stacks of all threads but this one and `thread`."""
    names = {known.ident: known.name for known in threading.enumerate()}
    here = threading.get_ident()
    return [
        (names.get(ident, str(ident)), list(traceback.extract_stack(frame)))
        for ident, frame in sys._current_frames().items()
        if ident not in (thread, here)
    ]


def lines_of(stack: Iterable[FrameSummary]) -> str:
    """Returns the lines of a stack, without the last line's end."""
    return "".join(traceback.format_list(list(stack))).rstrip()
