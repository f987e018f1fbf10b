"""A loop that nothing can wake any more, and the tree of who waits for whom.

In debug mode and under a watchdog, a loop that is about to wait without any timer, watched descriptor, job or signal
handler waits for a second only. Then it comes here once (`core/event_loop/turn.rs`). Other threads could still wake it;
if there are any, nothing is said. `--dump-signal` prints the same tree of a live program.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterable, Sequence
from types import FrameType
from typing import Any

from ferrio import _ferrio, executor, tasks
from ferrio._modules import log
from ferrio.sight import announced, objects, signals, stacks, waits

__all__ = ("cycles", "dump", "dump_on", "loop_is_stuck", "tree")


def loop_is_stuck(loop: Any) -> None:
    """Called by `loop`, in its thread, when it has found nothing that could wake it, and has waited for a second."""
    if _threads_that_may_wake_it() or _signals_that_may_wake_it():
        return
    pending = tasks.all_tasks(loop)
    if pending:
        log.logger.warning(
            "Nothing can wake %r any more: no timer, no descriptor, no thread, no child and no signal handler. %s",
            loop,
            tree(pending),
        )


def tree(pending: Iterable[Any]) -> str:
    """Describes what each of these tasks waits for, and which of them wait for one another in a circle."""
    ordered = sorted(pending, key=_name)
    lines = [f"{len(ordered)} task(s) wait:" if ordered else "No task waits."]
    for task in ordered:
        lines.append(f"- {stacks.brief(task)}: {_state(task, ordered)}")
        if entries := _position(task):
            lines.append(stacks.lines_of(entries))
    lines += [f"A circle: {' waits for '.join(stacks.brief(task) for task in circle)}." for circle in cycles(ordered)]
    return "\n".join(lines)


def cycles(pending: Sequence[Any]) -> list[list[Any]]:
    """Returns the circles of tasks that wait for one another; each begins and ends with the same task."""
    edges = {task: _tasks_waited_for(task, pending) for task in pending}
    found: list[list[Any]] = []
    finished: set[Any] = set()
    for start in pending:
        if start in finished:
            continue
        path, stack = [start], [(start, iter(edges.get(start, ())))]
        while stack:
            task, rest = stack[-1]
            following = next(rest, None)
            if following is None:
                stack.pop()
                path.pop()
                finished.add(task)
            elif any(following is known for known in path):
                at = next(at for at, known in enumerate(path) if known is following)
                found.append([*path[at:], following])
            elif following not in finished:
                stack.append((following, iter(edges.get(following, ()))))
                path.append(following)
    return found


def dump(_signal: int | None = None, _frame: FrameType | None = None) -> None:
    """Prints the tree of each loop that has tasks to standard error; a signal handler, so it raises nothing."""
    try:
        text = _trees()
    except Exception as error:
        text = f"The tasks can't be shown: {error!r}\n"
    # Not through `sys.stderr`, which the program may be writing to at this moment. A slow reader may make this wait.
    rest = text.encode(errors="backslashreplace")
    with contextlib.suppress(OSError):
        while rest:
            rest = rest[os.write(2, rest) :]


def _trees() -> str:
    loops: dict[Any, list[Any]] = {}
    for task in _ferrio._pending_tasks():
        loops.setdefault(_ferrio.Task.get_loop(task), []).append(task)
    threads = {thread.ident: thread.name for thread in threading.enumerate()}
    text = "".join(
        f"{loop!r} in thread {threads.get(loop._thread_id, 'none')!r}: {tree(pending)}\n"
        for loop, pending in loops.items()
    )
    return text or "No ferrio loop has a pending task.\n"


def dump_on(name: str) -> None:
    """Prints the tree whenever the signal with this name comes, with or without "SIG" at its beginning.

    Raises `ValueError` if there is no such signal, or it can't be handled.
    """
    signals.handle(name, dump, "USR1")


def _name(task: Any) -> tuple[int, str]:
    name = objects.name_of(task)
    return len(name), name


def _state(task: Any, pending: Sequence[Any]) -> str:
    waiting = objects.value(task, "_fut_waiter") is not None
    return waits.sentence(task, pending) if waiting else "It runs, or is about to."


def _position(task: Any) -> list[Any]:
    loop = objects.call(task, "get_loop")
    if loop is not None and tasks.current_task(loop) is task:
        return stacks.stack_of(loop._thread_id) or []
    return waits.frames_of(objects.coro_of(task))


def _tasks_waited_for(task: Any, pending: Sequence[Any]) -> list[Any]:
    found = []
    for each in waits.subjects(task)[1]:
        if objects.has(each, "get_coro"):
            found.append(each)
        elif waits.is_lock(each):
            found += waits.holders(each, pending)
    return found


def _threads_that_may_wake_it() -> bool:
    here = threading.get_ident()
    return any(
        thread.ident != here and thread.name not in announced.THREADS and not executor.is_idle(thread)
        for thread in threading.enumerate()
    )


def _signals_that_may_wake_it() -> bool:
    if threading.current_thread() is not threading.main_thread():
        return False  # the main thread is another one, which decides
    handlers = [signal.getsignal(number) for number in signal.valid_signals() if number != signal.SIGINT]
    return any(callable(handler) and handler is not dump for handler in handlers)
