"""What `run()` waits for at its end, in words: tasks, asynchronous generators, and functions in threads and processes.

`ferrio._slow_end` asks for it when the end takes long.
"""

from __future__ import annotations

import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from typing import Any

from ferrio import executor, tasks
from ferrio.sight import caught, objects, stacks, waits

__all__ = ("connections", "executors", "generators", "tasks_left")

# A report names at most this many things and counts the others.
_NAMED = 5


def tasks_left(left: Sequence[Any], catches: Any) -> str | None:
    """Describes the tasks that were cancelled and haven't ended; `None` if there are none."""
    pending = [task for task in left if not task.done()]
    if not pending:
        return None
    everything = tasks.all_tasks(pending[0].get_loop())
    return _listed(f"{len(pending)} cancelled task(s)", pending, lambda task: _task(task, everything, catches))


def generators(open_ones: Sequence[Any]) -> str | None:
    """Describes the asynchronous generators that haven't ended; `open_ones` are weak references."""
    pending = [generator for ref in open_ones if (generator := ref()) is not None and generator.ag_frame is not None]
    if not pending:
        return None
    return _listed(f"{len(pending)} asynchronous generator(s), which must close", pending, _generator)


def executors(found: Sequence[Any]) -> str | None:
    """Describes the functions that run in executors."""
    functions = executor.busy_functions(found)
    if not functions:
        return None
    text = f"functions in an executor: {executor.listed(functions)}"
    for thread in threading.enumerate():
        call = getattr(getattr(thread, "_target", None), "call", None)
        frame = sys._current_frames().get(thread.ident) if thread.ident is not None else None
        if call is not None and frame is not None and any(call[0] in pool.running for pool in _pools(found)):
            lines = stacks.lines_of(traceback.extract_stack(frame)[-_NAMED:])
            shown = waits.call_text(call[0], call[1])
            text += f"\n- {shown} in thread {thread.name!r} is at (most recent call last):\n{lines}"
    return text


def connections(servers: Sequence[Any]) -> str | None:
    """Describes the connections that keep closed servers from ending."""
    found = [transport for server in servers for transport in server._clients]
    return _listed(f"{len(found)} open connection(s)", found, _connection) if found else None


def _connection(transport: Any) -> str:
    return f"{stacks.describe(transport)}, whose peer is {transport.get_extra_info('peername')!r}"


def _pools(found: Sequence[Any]) -> list[Any]:
    return [each for each in found if hasattr(each, "running")]


def _listed(title: str, things: Sequence[Any], describe: Callable[[Any], str]) -> str:
    lines = [title + ":", *(f"- {describe(thing)}" for thing in things[:_NAMED])]
    if len(things) > _NAMED:
        lines.append(f"- and {len(things) - _NAMED} more")
    return "\n".join(lines)


def _task(task: Any, everything: set[Any], catches: caught.Catches | None) -> str:
    text = stacks.describe(task)
    place = caught.place_in_handler(task) if catches is None else catches.place(task)
    if place is not None:
        text += f"\n  It caught CancelledError in {place.name}, at {place.filename}:{place.lineno}."
    return f"{text}\n  {waits.sentence(task, everything)}{_position(objects.coro_of(task))}"


def _generator(generator: Any) -> str:
    return f"{generator!r}{_position(generator)}"


def _position(awaitable: Any) -> str:
    entries = waits.frames_of(awaitable)
    return f"\n  It is at (most recent call last):\n{stacks.lines_of(entries)}" if entries else ""
