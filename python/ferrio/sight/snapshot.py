"""What the agent tells about a program: the process, its loops, and rows about their tasks, as data for JSON.

Names, states and times of all tasks are found natively, in pieces (`_ferrio._Sampler`). They are filtered, sorted and
cut to the rows that were asked for, and only these are looked at closely. Between two pieces other threads may run.

Invariants: nothing here calls `repr` of the program's objects, except in `stack`, for one task, and for the arguments
of calls in threads. The loops drop the tasks that were looked at: if one
ends meanwhile, what it holds must not die in this thread.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import functools
import linecache
import os
import platform
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterable
from types import CodeType
from typing import Any, TypeVar

from ferrio import _ferrio
from ferrio.sight import objects, stacks, subjects, waits, watchdog

__all__ = ("COLUMNS", "VERSION", "Tables")

_T = TypeVar("_T")

# How many seconds a loop gets to say what its tasks wait for.
_PATIENCE = 1.0

# Changes when a reader of the former version can't understand the reply any more.
VERSION = 1

# What makes tasks for the program.
_LIBRARIES = (os.path.dirname(asyncio.__file__), os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# How many tasks are looked at before other threads may run: natively, and closely.
_PIECE, _CLOSELY = 1000, 20

# From this many tasks on, holders of locks aren't searched for.
_MANY = 2000

# Which columns a table can be sorted by, and how they are found in a row.
COLUMNS: dict[str, Any] = {
    "id": lambda row: row["id"],
    "name": lambda row: _natural(row["name"]),
    "coroutine": lambda row: row["coroutine"],
    "state": lambda row: ("running", "scheduled", "waiting").index(row["state"]),
    "age": lambda row: row["age"],
    "busy": lambda row: row["busy"],
    "scheduled": lambda row: row["scheduled"],
    "idle": lambda row: row["idle"],
    "polls": lambda row: row["polls"],
    "wakes": lambda row: row["wakes"],
    "waits": lambda row: row.get("waits", ""),
}


class Tables:
    """Makes the replies of one agent."""

    def __init__(self, sampler: _ferrio._Sampler) -> None:
        self._sampler = sampler
        self._numbers: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()
        self._next = 1

    def process(self) -> dict[str, Any]:
        """Returns what is known about the process and its loops."""
        usage = os.times()
        return {
            "process": {
                "pid": os.getpid(),
                "parent": os.getppid(),
                "argv": list(sys.orig_argv),
                "executable": sys.executable,
                "python": platform.python_version(),
                "ferrio": _ferrio.__version__,
                "uptime": _uptime(),
                "cpu": usage.user + usage.system,
                "memory": _memory(),
                "threads": threading.active_count(),
            },
            "loops": [self._loop(loop) for loop in self._loops()],
            "watchdog": watchdog.last_report(),
        }

    def tasks(self, request: dict[str, Any]) -> dict[str, Any]:
        """Returns the process, the loops, and the rows that were asked for.

        The request may have `sort` (a column), `reverse`, `limit`, and `filter` (a part of a task's text).
        """
        column = request.get("sort", "id")
        if column not in COLUMNS:
            raise ValueError(f"there is no column {column!r} to sort by")
        limit = max(0, int(request.get("limit", 1000)))
        words = str(request.get("filter", "")).lower().split()
        found: list[tuple[Any, dict[str, Any]]] = []
        for loop in self._loops():
            found += [(loop, row) for row in self._rows(loop)]
        total = len(found)
        # Only closely seen rows say what they wait for.
        closely = column == "waits" or bool(words)
        if closely and total <= _MANY:
            self._look_closely(found)
        found = [(loop, row) for loop, row in found if _matches(row, words)]
        found.sort(key=lambda pair: COLUMNS[column](pair[1]), reverse=bool(request.get("reverse")))
        matching = len(found)
        del found[limit:]
        self._look_closely([(loop, row) for loop, row in found if "waits" not in row])
        return {
            **self.process(),
            "tasks": [row for _loop, row in found],
            "total": total,
            "matching": matching,
        }

    def stack(self, request: dict[str, Any]) -> dict[str, Any]:
        """Returns where one task stands, where it was made, and what it waits for in full words."""
        loop = next((loop for loop in self._loops() if self._numbers[loop] == request.get("loop")), None)
        if loop is None:
            return {"gone": True}
        kept: list[Any] = []
        place, number = int(request["place"]), int(request["id"])
        reply = _in_thread_of(loop, functools.partial(self._stack, loop, place, number, kept))
        _give_back(loop, kept)
        return reply or {"text": "", "waits": "Its loop is blocked.", "stack": [], "origin": []}

    def _stack(self, loop: Any, place: int, number: int, kept: list[Any]) -> dict[str, Any]:
        task = self._sampler.task(loop, place, number)
        if task is None:
            return {"gone": True}
        pending = _pending(loop)
        kept += (task, *pending)
        if asyncio.tasks.current_task(loop) is task:
            entries = stacks.stack_of(loop._thread_id) or []
            words = "It runs."
        else:
            entries = waits.frames_of(objects.coro_of(task))
            words = waits.sentence(task, pending) if _waits(task) else "It is about to run."
        return {
            "text": stacks.describe(task),
            "waits": words,
            "stack": [_entry(entry) for entry in entries],
            "origin": [_entry(entry) for entry in stacks.origin_of(task)],
        }

    def _loops(self) -> list[Any]:
        """The loops that run or have tasks, in the order in which they were first seen."""
        known = self._sampler.loops()
        for loop in known:
            if loop not in self._numbers:
                self._numbers[loop] = self._next
                self._next += 1
        ordered = sorted(known, key=lambda loop: self._numbers[loop])
        return [loop for loop in ordered if not loop.is_closed()]

    def _loop(self, loop: Any) -> dict[str, Any]:
        numbers = self._sampler.numbers(loop)
        names = {thread.ident: thread.name for thread in threading.enumerate()}
        sampled = numbers.pop("sampled")
        busy = numbers.pop("busy")
        return {
            "loop": self._numbers[loop],
            "class": f"{type(loop).__module__}.{type(loop).__qualname__}",
            "thread": names.get(loop._thread_id),
            "debug": loop.get_debug(),
            **numbers,
            "sampled": sampled,
            "busy": busy / sampled if sampled else None,
        }

    def _rows(self, loop: Any) -> Iterable[dict[str, Any]]:
        number = self._numbers[loop]
        sampled = self._sampler.numbers(loop)["sampled"]
        self._sampler.settle(loop)
        start, more = 0, True
        while more:
            rows, more = self._sampler.rows(loop, start, _PIECE)
            start += _PIECE
            for at, row in enumerate(rows):
                (place, task, name, coroutine), (state, polls, wakes), (age, at_least), (busy, ready), due = row
                window = min(age, sampled)
                yield {
                    "loop": number,
                    "id": task,
                    "place": place,
                    "name": f"Task-{name}" if isinstance(name, int) else name,
                    "coroutine": coroutine,
                    "state": state,
                    "age": age,
                    "age_is_least": at_least,
                    "polls": polls,
                    "wakes": wakes,
                    "busy": busy,
                    "scheduled": ready,
                    "idle": max(0.0, window - busy - ready),
                    "due_in": due,
                }
                if at % 100 == 99:
                    time.sleep(0)
            time.sleep(0)

    def _look_closely(self, found: list[tuple[Any, dict[str, Any]]]) -> None:
        """Adds to each row what the task waits for and where it was made."""
        holders: dict[Any, subjects.Holders] = {}
        kept: dict[Any, list[Any]] = {}
        for start in range(0, len(found), _CLOSELY):
            piece = found[start : start + _CLOSELY]
            for loop in dict.fromkeys(loop for loop, _row in piece):
                rows = [row for other, row in piece if other is loop]
                seen = kept.setdefault(loop, [])
                known = holders.setdefault(loop, subjects.Holders(loop, row_limit=_MANY, kept=seen))
                for row in rows:
                    row.update(waits="", on="", awaits=[], held_by=[], created=None, defined=None)
                _in_thread_of(loop, functools.partial(self._look_at, loop, rows, known, seen))
            time.sleep(0)
        holders.clear()
        for loop, seen in kept.items():
            _give_back(loop, seen)

    def _look_at(self, loop: Any, rows: list[dict[str, Any]], holders: subjects.Holders, kept: list[Any]) -> None:
        for row in rows:
            task = self._sampler.task(loop, row["place"], row["id"])
            if task is None:
                row["state"] = "done"
                continue
            kept.append(task)
            try:
                self._add(row, task, holders)
            except Exception as error:  # it went on meanwhile
                row["on"] = f"({type(error).__name__})"

    def _add(self, row: dict[str, Any], task: Any, holders: subjects.Holders) -> None:
        origin = [entry for entry in stacks.origin_of(task) if os.path.dirname(entry.filename) not in _LIBRARIES]
        code = objects.value(objects.coro_of(task), "cr_code")
        row["name"] = objects.cut(row["name"])
        row["created"] = f"{origin[-1].filename}:{origin[-1].lineno}" if origin else None
        row["defined"] = None if not isinstance(code, CodeType) else f"{code.co_filename}:{code.co_firstlineno}"
        if row["state"] != "waiting":
            return
        found = subjects.of(task, row["due_in"], holders)
        row.update(waits=found.name, on=found.text)
        row["awaits"] = [place for each in found.tasks if (place := self._place(each)) is not None]
        row["held_by"] = [place for each in found.holders if (place := self._place(each)) is not None]

    def _place(self, task: Any) -> dict[str, Any] | None:
        """How a row refers to another task."""
        if not isinstance(task, _ferrio.Task):
            return {"name": objects.name_of(task)} if objects.has(task, "get_name") else None
        loop: Any = task.get_loop()
        place = self._sampler.place(loop, task) if loop in self._numbers else None
        return {
            "loop": self._numbers.get(loop),
            "id": None if place is None else place[1],
            "name": objects.name_of(task),
        }


def _matches(row: dict[str, Any], words: list[str]) -> bool:
    if not words:
        return True
    shown = (row["name"], row["coroutine"], row["state"], row.get("waits", ""), row.get("on", ""))
    text = " ".join(shown).lower()
    return all(word in text for word in words)


def _natural(name: str) -> tuple[Any, ...]:
    """Orders "Task-10" after "Task-9"."""
    head = name.rstrip("0123456789")
    digits = name[len(head) :]
    return head, int(digits) if digits and digits.isascii() else -1, name


def _waits(task: Any) -> bool:
    return objects.value(task, "_fut_waiter") is not None


def _pending(loop: Any) -> list[Any]:
    tasks = asyncio.all_tasks(loop)
    return list(tasks) if len(tasks) <= _MANY else []


def _give_back(loop: Any, tasks: list[Any]) -> None:
    """Has tasks dropped by their loop. Nothing else in this thread refers to them."""
    if tasks:
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(tasks.clear)


def _in_thread_of(loop: Any, call: Callable[[], _T]) -> _T | None:
    """Calls `call`; without the interpreter's lock, in the thread that runs the loop and thereby its coroutines.

    Returns `None` if that thread has no time for it.
    """
    if _has_lock() or not loop.is_running():
        return call()
    outcome: concurrent.futures.Future[_T] = concurrent.futures.Future()

    def run() -> None:
        if outcome.set_running_or_notify_cancel():
            try:
                outcome.set_result(call())
            except BaseException as error:
                outcome.set_exception(error)
                if isinstance(error, KeyboardInterrupt):  # for the program
                    raise

    try:
        loop.call_soon_threadsafe(run)
        return outcome.result(_PATIENCE)
    except TimeoutError:
        return None if outcome.cancel() else outcome.result()
    except RuntimeError:  # the loop was closed meanwhile
        return None


def _has_lock() -> bool:
    """Whether only one thread at a time runs Python code."""
    return bool(getattr(sys, "_is_gil_enabled", lambda: True)())


def _entry(entry: Any) -> dict[str, Any]:
    return {
        "file": entry.filename,
        "line": entry.lineno,
        "function": entry.name,
        "text": linecache.getline(entry.filename, entry.lineno or 0).strip(),
    }


def _uptime() -> float | None:
    """For how long the process has existed, if the system tells."""
    try:
        with open("/proc/self/stat", "rb") as file:
            started = int(file.read().rpartition(b")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
        return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - started)
    except (OSError, ValueError):
        return None


def _memory() -> int | None:
    """How much memory the process has at this moment, in bytes."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return None
