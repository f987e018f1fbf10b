"""Who awaits whom: the call graph of tasks and futures, captured or printed from inside the program.

`capture_call_graph` returns the graph as data, `format_call_graph` returns it as text, `print_call_graph` prints it.
They are Python 3.14's functions, on every Python. `Future` and `Task` keep the links upwards ("awaited by") themselves,
in `_asyncio_awaited_by`. The standard library's futures have them only from Python 3.14 on, and show no waiters before.

Invariant: nothing here runs unless it is called. A program that doesn't look at the graph pays only for the links.
"""

from __future__ import annotations

import asyncio as standard
import dataclasses
import inspect
import sys
from types import CodeType, FrameType
from typing import Any, TextIO

from ferrio import events, futures, tasks

__all__ = (
    "FrameCallGraphEntry",
    "FutureCallGraph",
    "capture_call_graph",
    "format_call_graph",
    "print_call_graph",
)

_SUSPENDABLE = inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR | inspect.CO_GENERATOR
_INDENT = "    "


if sys.version_info >= (3, 14):
    from asyncio.graph import FrameCallGraphEntry, FutureCallGraph
else:

    @dataclasses.dataclass(frozen=True, slots=True)
    class FrameCallGraphEntry:
        """One frame of a call stack."""

        frame: FrameType

    @dataclasses.dataclass(frozen=True, slots=True)
    class FutureCallGraph:
        """A future or task, the stack of its coroutine, and the graphs of its waiters."""

        future: futures.Future[Any]
        call_stack: tuple[FrameCallGraphEntry, ...]
        awaited_by: tuple[FutureCallGraph, ...]


def capture_call_graph(
    future: futures.Future[Any] | None = None, /, *, depth: int = 1, limit: int | None = None
) -> FutureCallGraph | None:
    """Returns the `FutureCallGraph` of `future`, or of the current task; `None` if there is no current task.

    `depth`: for the current task, how many of the innermost frames to leave out (1: the call of this function).
    `limit`: the greatest number of frames in each stack, the outermost if positive, the innermost if negative. 0
    captures no stacks, only who awaits whom.

    Raises `RuntimeError` if there is no running loop and no `future` was given, `TypeError` if `future` isn't a future.
    """
    loop = events._get_running_loop()
    current = None if loop is None else tasks.current_task(loop=loop)
    if future is None:
        if loop is None:
            raise RuntimeError(
                "capture_call_graph() is called outside of a running event loop and no future was given: "
                "pass the task to look at"
            )
        if current is None:
            return None
        future = current
    _check_future(future)
    if future is not current:
        return _graph_of(future, limit)
    stack = [] if limit == 0 else _running_stack(sys._getframe(depth))
    # `future` is the current task here, and there is one.
    return FutureCallGraph(future, _truncate(stack, limit), _waiters_of(future, limit))  # type: ignore[arg-type]


def format_call_graph(future: futures.Future[Any] | None = None, /, *, depth: int = 1, limit: int | None = None) -> str:
    """Returns the call graph of `future`, or of the current task, as text; empty if there is no current task.

    `depth`, `limit` and the exceptions are those of `capture_call_graph`.
    """
    graph = capture_call_graph(future, depth=depth + 1, limit=limit)
    if graph is None:
        return ""
    lines: list[str] = []
    _render(graph, lines, "")
    return "\n".join(lines)


def print_call_graph(
    future: futures.Future[Any] | None = None,
    /,
    *,
    file: TextIO | None = None,
    depth: int = 1,
    limit: int | None = None,
) -> None:
    """Prints the call graph of `future`, or of the current task, to `file` (standard output without one).

    `depth`, `limit` and the exceptions are those of `capture_call_graph`.
    """
    print(format_call_graph(future, depth=depth + 1, limit=limit), file=file)


def _check_future(future: object) -> None:
    if not isinstance(future, (futures.Future, standard.Future)):
        raise TypeError(f"{future!r} object does not appear to be compatible with asyncio.Future")


def _graph_of(future: Any, limit: int | None) -> FutureCallGraph:
    """The graph of a future that isn't running at this moment."""
    _check_future(future)
    stack = [] if limit == 0 else _suspended_stack(future)
    return FutureCallGraph(future, _truncate(stack, limit), _waiters_of(future, limit))


def _waiters_of(future: Any, limit: int | None) -> tuple[FutureCallGraph, ...]:
    # A standard future of Python 3.13 or older doesn't know who awaits it.
    waiters = getattr(future, "_asyncio_awaited_by", None) or ()
    return tuple(_graph_of(waiter, limit) for waiter in waiters)


def _suspended_stack(future: Any) -> list[FrameCallGraphEntry]:
    """The frames of a task's coroutine and of what it awaits, innermost first."""
    stack = []
    get_coro = getattr(future, "get_coro", None)
    awaitable = None if get_coro is None else get_coro()
    while awaitable is not None:
        if hasattr(awaitable, "cr_await"):
            frame, awaitable = awaitable.cr_frame, awaitable.cr_await
        elif hasattr(awaitable, "ag_await"):
            frame, awaitable = awaitable.ag_frame, awaitable.ag_await
        else:
            break
        if frame is not None:
            stack.append(FrameCallGraphEntry(frame))
    stack.reverse()
    return stack


def _running_stack(frame: FrameType | None) -> list[FrameCallGraphEntry]:
    """The frames from `frame` down to the coroutine that the task runs, innermost first."""
    stack = []
    while frame is not None:
        stack.append(FrameCallGraphEntry(frame))
        caller = frame.f_back
        # If a frame that can't suspend called this coroutine, it is the task's own: below it is the loop.
        if _is_async(frame) and caller is not None and not caller.f_code.co_flags & _SUSPENDABLE:
            break
        frame = caller
    return stack


def _is_async(frame: FrameType) -> bool:
    return bool(frame.f_code.co_flags & (inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR))


def _truncate(stack: list[FrameCallGraphEntry], limit: int | None) -> tuple[FrameCallGraphEntry, ...]:
    if limit:
        stack = stack[-limit:] if limit > 0 else stack[:-limit]
    return tuple(stack)


def _render(graph: FutureCallGraph, lines: list[str], indent: str) -> None:
    future = graph.future
    if isinstance(future, (tasks.Task, standard.Task)):
        lines.append(f"{indent}* Task(name={future.get_name()!r}, id={id(future):#x})")
    else:
        lines.append(f"{indent}* Future(id={id(future):#x})")
    if graph.call_stack:
        lines.append(f"{indent}  + Call stack:")
        for entry in graph.call_stack:
            code = entry.frame.f_code
            lines.append(
                f"{indent}  |   File {code.co_filename!r}, line {entry.frame.f_lineno}, in "
                f"{_kind(code)}{code.co_qualname}()"
            )
    if graph.awaited_by:
        lines.append(f"{indent}  + Awaited by:")
        for waiter in graph.awaited_by:
            _render(waiter, lines, indent + _INDENT)


def _kind(code: CodeType) -> str:
    if code.co_flags & inspect.CO_COROUTINE:
        return "async "
    if code.co_flags & inspect.CO_ASYNC_GENERATOR:
        return "async generator "
    if code.co_flags & inspect.CO_GENERATOR:
        return "generator "
    return ""
