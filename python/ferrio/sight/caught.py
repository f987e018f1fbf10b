"""Where a task caught its cancellation and didn't pass it on.

While `run()` ends a program that is watched or in debug mode, `sys.monitoring` (Python 3.12) tells when a frame handles
an exception. Without that, the place is known only as long as the task is still in the `except` block: then the
coroutine refers to the exception.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import types
from traceback import FrameSummary
from typing import Any

from ferrio import tasks
from ferrio.sight import objects, waits

__all__ = ("Catches", "place_in_handler")

_TOOLS = (4, 3)  # the numbers of sys.monitoring that no kind of tool is meant to use


class Catches:
    """Notes, from `start()` to `stop()`, where tasks catch `CancelledError`."""

    def __init__(self) -> None:
        self._tool: int | None = None
        self._caught: dict[Any, list[tuple[types.CodeType, int]]] = {}

    def start(self) -> None:
        """Begins to note; does nothing on a Python that can't tell."""
        monitoring = getattr(sys, "monitoring", None)
        free = [tool for tool in _TOOLS if monitoring is not None and monitoring.get_tool(tool) is None]
        if monitoring is None or not free:
            return
        self._tool = free[0]
        events = monitoring.events
        monitoring.use_tool_id(self._tool, "ferrio")
        monitoring.register_callback(self._tool, events.EXCEPTION_HANDLED, self._handled)
        monitoring.register_callback(self._tool, events.PY_UNWIND, self._unwound)
        monitoring.set_events(self._tool, events.EXCEPTION_HANDLED | events.PY_UNWIND)

    def stop(self) -> None:
        """Notes nothing more."""
        if self._tool is not None:
            sys.monitoring.set_events(self._tool, 0)  # type: ignore[attr-defined]
            sys.monitoring.free_tool_id(self._tool)  # type: ignore[attr-defined]
            self._tool = None
        self._caught.clear()

    def place(self, task: Any) -> FrameSummary | None:
        """Returns where `task` last caught its cancellation, if that is known."""
        noted = self._caught.get(task)
        if noted:
            code, offset = noted[-1]
            return FrameSummary(code.co_filename, _line(code, offset), code.co_name)
        return place_in_handler(task)

    def _handled(self, code: types.CodeType, offset: int, error: BaseException) -> None:
        if isinstance(error, asyncio.CancelledError) and (task := _current_task()) is not None:
            self._caught.setdefault(task, []).append((code, offset))

    def _unwound(self, code: types.CodeType, offset: int, error: BaseException) -> None:
        # The frame raised it again, as `finally` does.
        if isinstance(error, asyncio.CancelledError) and (task := _current_task()) in self._caught:
            self._caught[task] = [noted for noted in self._caught[task] if noted[0] is not code]


def place_in_handler(task: Any) -> FrameSummary | None:
    """Returns where a suspended `task` got the cancellation that it is handling at this moment."""
    for link in waits.chain(objects.coro_of(task)):
        for error in gc.get_referents(link):
            if not objects.is_a(error, asyncio.CancelledError):
                continue
            code = objects.value(link, "cr_code")
            trace = error.__traceback__
            while trace is not None:
                if trace.tb_frame.f_code is code:
                    return FrameSummary(code.co_filename, trace.tb_lineno, code.co_name)
                trace = trace.tb_next
    return None


def _current_task() -> Any:
    try:
        return tasks.current_task()
    except RuntimeError:
        return None


def _line(code: types.CodeType, offset: int) -> int:
    """The line of the handler that begins at `offset`; its first instruction may have none."""
    lines = [line for start, _, line in code.co_lines() if line is not None and start >= offset]
    return lines[0] if lines else code.co_firstlineno
