"""What a suspended task waits for: the awaitables from its coroutine inwards, and the lock, queue or task at the end.

Nothing is recorded for this while a program runs. A coroutine shows what it awaits, and the garbage collector shows to
what an awaitable refers. So a lock's holder is known if it holds it by `async with`: then its frame refers to the
lock's `__aexit__`. What is found may be incomplete, and is for reports only.
"""

from __future__ import annotations

import asyncio
import gc
import inspect
import os
import reprlib
import socket
import types
from collections.abc import Iterable, Iterator
from traceback import FrameSummary
from typing import Any

from ferrio import _ferrio, executor
from ferrio.sight import objects, stacks

__all__ = ("call_in_thread", "call_text", "chain", "frames_of", "holders", "is_lock", "sentence", "subjects")

# What a task may wait for.
_SUBJECTS: tuple[type, ...] = (
    socket.socket,
    asyncio.Future,
    asyncio.Lock,
    asyncio.Event,
    asyncio.Condition,
    asyncio.Semaphore,
    asyncio.Barrier,
    asyncio.Queue,
    asyncio.StreamReader,
    asyncio.StreamWriter,
    asyncio.BaseTransport,
    asyncio.AbstractServer,
    _ferrio.Future,
    _ferrio.Lock,
    _ferrio.Event,
    _ferrio.Condition,
    _ferrio.Semaphore,
    _ferrio.Barrier,
    _ferrio.Queue,
    _ferrio.StreamReader,
    _ferrio.StreamWriter,
)
_LOCKS: tuple[type, ...] = (
    *(asyncio.Lock, asyncio.Semaphore, asyncio.Condition),
    *(_ferrio.Lock, _ferrio.Semaphore, _ferrio.Condition),
)

# Waits for a call in a thread of the loop's default executor.
_IN_THREADS = ("to_thread", "BaseEventLoop.getaddrinfo", "BaseEventLoop.getnameinfo")

# Where asyncio's own modules are.
_ASYNCIO = os.path.dirname(asyncio.__file__)

# The names of the frame of a coroutine, an asynchronous generator and a generator.
_FRAMES = ("cr_frame", "ag_frame", "gi_frame")


def chain(awaitable: Any) -> list[Any]:
    """Returns `awaitable`, a coroutine or an asynchronous generator, and what it awaits, the innermost last."""
    found: list[Any] = []
    while awaitable is not None and not any(awaitable is known for known in found):
        found.append(awaitable)
        awaitable = _awaited_by(awaitable)
    return found


def _awaited_by(awaitable: Any) -> Any:
    for name in ("cr_await", "ag_await", "gi_yieldfrom"):
        if objects.has(awaitable, name):
            inner = objects.value(awaitable, name)
            # An operation shows a stand-in for its own wait, to which it doesn't refer.
            own = _is_operation(awaitable) and not any(inner is each for each in gc.get_referents(awaitable))
            return None if own else inner
    # An iteration of an asynchronous generator shows nothing but refers to the generator.
    return next((each for each in gc.get_referents(awaitable) if inspect.isasyncgen(each)), None)


def frames_of(awaitable: Any) -> list[FrameSummary]:
    """Returns where a suspended coroutine or generator and what it awaits stand, the innermost last."""
    entries = []
    for each in chain(awaitable):
        frame = next((objects.value(each, name) for name in _FRAMES if objects.has(each, name)), None)
        if isinstance(frame, types.FrameType) and frame.f_lineno is not None:
            entries.append(FrameSummary(frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name))
    return entries


def subjects(task: Any) -> tuple[str, list[Any]]:
    """Returns the name of the innermost wait of `task`, and what that is about: locks, queues, tasks, futures."""
    links = chain(objects.coro_of(task))
    for link in reversed(links):
        about = _subjects_in(link, task)
        if about or _is_operation(link):
            named = link if _is_operation(link) else _operation_before(links, link)
            if named is None and _is_plain_future(about) and (standard := _standard(links, about)) is not None:
                return standard
            return objects.value(named, "__qualname__", ""), about
    waiter = objects.value(task, "_fut_waiter")
    return "", [] if waiter is None else [waiter]


def _standard(links: list[Any], about: list[Any]) -> tuple[str, list[Any]] | None:
    """The name and the subject of the standard library's method that waits, as on ferrio's loop without its names."""
    name, subject = "", None
    for link in reversed(links):
        frame = objects.value(link, "cr_frame")
        if not isinstance(frame, types.FrameType):
            continue
        if os.path.dirname(frame.f_code.co_filename) != _ASYNCIO:
            break
        own = frame.f_locals.get("self")
        if not objects.is_a(own, _SUBJECTS):
            # A function, such as `sleep`; `_wait` is a part of one.
            if not name and not link.__name__.startswith("_"):
                return link.__qualname__, about
            continue
        if subject is not None and own is not subject:
            break
        # One method of the object may have called another: the outermost says most.
        name, subject = link.__qualname__, own
    return (name, [subject]) if subject is not None else None


def holders(lock: Any, tasks: Iterable[Any]) -> list[Any]:
    """Returns the tasks that are inside an `async with lock`, and don't wait for it."""
    return [
        task
        for task in tasks
        if not any(each is lock for each in subjects(task)[1])
        and any(_exits(lock, link) for link in chain(objects.coro_of(task)))
    ]


def sentence(task: Any, tasks: Iterable[Any]) -> str:
    """Says what `task` waits for. `tasks` are those that may hold a lock."""
    name, about = subjects(task)
    name = "async with" if name.endswith(".__aenter__") else name
    words = f"It waits in `{name}`" if name else "It waits"
    call = call_in_thread(task, about)
    if call is not None:
        words += f" for a thread that runs {call}"
    elif name in _IN_THREADS and (pool := _full_pool(task)) is not None:
        words += f" for a free thread: {len(pool.running)} run functions, and {pool.queued} call(s) wait"
    elif about:
        words += " for " + ", ".join(stacks.brief(each) for each in about)
    for each in about:
        held = holders(each, tasks) if is_lock(each) else []
        if held:
            words += ", held by " + ", ".join(stacks.brief(holder) for holder in held)
    return words + "."


def call_text(function: Any, arguments: Iterable[Any]) -> str:
    """Returns a call in words: the name of `function` and its positional arguments, each in few characters."""
    name = objects.value(function, "__qualname__") or stacks.describe(function)
    shown = [_brief(each) for each in arguments]
    return f"{name}({', '.join(shown)})"


def _brief(argument: Any) -> str:
    try:
        return reprlib.repr(argument)
    except KeyboardInterrupt:
        raise
    except BaseException:
        return stacks.describe(argument)


def call_in_thread(task: Any, about: list[Any]) -> str | None:
    """The call that a thread of an executor runs for `task`, in words."""
    waited_for = [*about, *chain(objects.coro_of(task))]
    for worker in executor.workers():
        call = worker.call
        if call is not None and any(call[2] is each for each in waited_for):
            return call_text(call[0], call[1])
    return None


def _full_pool(task: Any) -> Any:
    """The default executor of the loop of `task`, if calls wait there for a thread."""
    pools = objects.call(objects.call(task, "get_loop"), "_executors", ())
    return next((pool for pool in pools if objects.value(pool, "queued", 0)), None)


def _operation_before(links: list[Any], link: Any) -> Any:
    before = links[: links.index(link)]
    return before[-1] if before and _is_operation(before[-1]) else None


def is_lock(thing: Any) -> bool:
    """Returns whether a task can hold `thing`."""
    return objects.is_a(thing, _LOCKS)


def _is_operation(thing: Any) -> bool:
    return type(thing) is _ferrio.Operation


def _subjects_in(link: Any, task: Any) -> list[Any]:
    if objects.is_a(link, _SUBJECTS):
        referents = [link]
    elif not _is_operation(link) and any(objects.has(link, name) for name in _FRAMES):
        # Its frame refers to whatever it has in variables.
        return []
    else:
        referents = gc.get_referents(link)
    about: list[Any] = []
    # An operation may refer to the future that stands for its own wait.
    own = objects.value(task, "_fut_waiter") if _is_operation(link) else None
    for each in _with_tasks_of_groups(referents):
        known = any(each is other for other in (*about, task, own))
        if not known and objects.is_a(each, _SUBJECTS):
            about.append(each)
    if not _is_plain_future(about):
        return about
    # A future of `gather` or `shield` says little; the tasks behind it say more.
    behind = [each for each in gc.get_referents(about[0]) if _is_task(each) and each is not task]
    return behind or about


def _with_tasks_of_groups(things: Iterable[Any]) -> Iterator[Any]:
    for thing in things:
        if objects.is_a(thing, (asyncio.TaskGroup, _ferrio.TaskGroup)):
            yield from thing._tasks
        else:
            yield thing


def _is_plain_future(about: list[Any]) -> bool:
    return len(about) == 1 and _is_future(about[0]) and not _is_task(about[0])


def _is_task(thing: Any) -> bool:
    return _is_future(thing) and objects.has(thing, "get_coro")


def _is_future(thing: Any) -> bool:
    try:
        return asyncio.isfuture(thing)
    except KeyboardInterrupt:
        raise
    except BaseException:
        return False


def _exits(lock: Any, link: Any) -> bool:
    """Whether the frame of `link` will call the `__aexit__` of `lock`."""
    previous: Any = None
    for each in gc.get_referents(link):
        name = objects.value(each, "__name__")
        if type(name) is str and name == "__aexit__" and objects.value(each, "__self__") is lock:
            return True
        # From Python 3.14 on, the function and the object are on the stack one after the other.
        if each is lock and type(previous) is str and previous == "__aexit__":
            return True
        previous = name
    return False
