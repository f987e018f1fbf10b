"""What a task waits for, in few words for a row of a table: "Queue.get" and "Queue with 0 items".

`waits` finds it. The program's objects are named by their types, because `repr` may take long or print much. Only the
arguments of a call in a thread are shown by `repr`, cut short.
"""

from __future__ import annotations

import asyncio
import dataclasses
import socket
from typing import Any

from ferrio import _ferrio
from ferrio.sight import objects, waits

__all__ = ("Holders", "Subject", "of")

_QUEUES = (asyncio.Queue, _ferrio.Queue)
_STREAMS = (asyncio.StreamReader, asyncio.StreamWriter, _ferrio.StreamReader, _ferrio.StreamWriter)


@dataclasses.dataclass
class Subject:
    """What a task waits for."""

    name: str
    """The operation, such as "Queue.get"; empty if it isn't known."""
    text: str
    """What the operation is about, in words."""
    tasks: list[Any]
    """The tasks that it waits for."""
    holders: list[Any]
    """The tasks that hold the lock that it waits for."""


class Holders:
    """Which tasks of a loop hold which lock; searched for when it is first asked.

    `kept` gets all tasks that it looks at.
    """

    def __init__(self, loop: Any, row_limit: int, kept: list[Any]) -> None:
        self._loop = loop
        self._limit = row_limit
        self._kept = kept
        self._tasks: list[Any] | None = None
        self._found: dict[int, list[Any]] = {}

    def of(self, lock: Any) -> list[Any]:
        """Returns the tasks that hold `lock`, as far as that can be known."""
        if self._tasks is None:
            tasks = asyncio.all_tasks(self._loop)
            self._kept += tasks
            self._tasks = list(tasks) if len(tasks) <= self._limit else []
        if id(lock) not in self._found:
            self._found[id(lock)] = waits.holders(lock, self._tasks)
        return self._found[id(lock)]


def of(task: Any, due_in: float | None, holders: Holders) -> Subject:
    """Returns what a suspended task waits for. `due_in`: in how many seconds its sleep ends, if it sleeps."""
    name, about = waits.subjects(task)
    name = "async with" if name.endswith(".__aenter__") else name
    call = waits.call_in_thread(task, about)
    if call is not None:
        return Subject(name, f"a thread that runs {call}", [], [])
    tasks = [each for each in about if objects.has(each, "get_coro")]
    held = [holder for each in about if waits.is_lock(each) for holder in holders.of(each)]
    # A bare future says nothing more than the name of what waits for it.
    words = [_words(each) for each in about if not (name and type(each) in (asyncio.Future, _ferrio.Future))]
    if due_in is not None:
        words.append(f"{due_in:.1f} s left")
    text = ", ".join(words[:3]) + (f" and {len(words) - 3} more" if len(words) > 3 else "")
    if held:
        text += ", held by " + ", ".join(f"{objects.name_of(holder)!r}" for holder in held[:3])
    return Subject(name, text, tasks, held)


def _words(thing: Any) -> str:
    kind = type(thing).__name__
    if objects.has(thing, "get_coro"):
        return f"task {objects.name_of(thing)!r}"
    if objects.is_a(thing, _QUEUES):
        most, size = objects.value(thing, "maxsize"), objects.call(thing, "qsize", "?")
        return f"{kind} with {size}" + (f" of {most}" if isinstance(most, int) and most > 0 else "") + " items"
    if objects.is_a(thing, socket.socket):
        return _socket(thing)
    if objects.is_a(thing, _STREAMS):
        thing = objects.value(thing, "_transport")
    if objects.is_a(thing, asyncio.BaseTransport):
        peer = thing.get_extra_info("peername")
        return f"{kind} from {_address(peer)}" if peer else kind
    return kind


def _socket(thing: socket.socket) -> str:
    try:
        return f"socket to {_address(thing.getpeername())}"
    except OSError:
        pass
    try:
        return f"socket at {_address(thing.getsockname())}"
    except OSError:
        return "closed socket"


def _address(address: Any) -> str:
    if isinstance(address, tuple) and len(address) >= 2:
        host = f"[{address[0]}]" if ":" in str(address[0]) else address[0]
        return f"{host}:{address[1]}"
    if isinstance(address, bytes):
        return address.decode(errors="replace").replace("\0", "@")
    return str(address) or "an unnamed socket"
