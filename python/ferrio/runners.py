"""`run` and `Runner`: one loop from its creation to its clean end.

A runner makes the loop when it is first needed, and runs coroutines on it one after the other. The first Ctrl-C cancels
the running coroutine. At the end, the runner cancels the remaining tasks, closes async generators, waits for the
executor's threads and closes the loop. `loop_factory` or the policy decides which loop is made.

Invariant: whatever happened, after `close()` the loop is closed and SIGINT is handled as it was before.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
import signal
import sys
import threading
import weakref
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from types import FrameType
from typing import Any, Self, TypeVar

from ferrio import _ferrio, _foreign, _slow_end, _standard, coroutines, events, exceptions, tasks

__all__ = ("Runner", "run")

# Seconds that close() waits for the default executor's threads before it warns and goes on, as asyncio does.
THREAD_JOIN_TIMEOUT = 300

_T = TypeVar("_T")
_LoopFactory = Callable[[], events.AbstractEventLoop]


class Runner(asyncio.Runner):  # type: ignore[misc]  # final to type checkers alone
    """Runs coroutines on one event loop, and ends it cleanly.

        with ferrio.Runner() as runner:
            runner.run(first())
            runner.run(second())

    `debug`: `True` or `False` to set the loop's debug mode, `None` to leave it. `loop_factory`: called without
    arguments, returns the loop. Without it, the policy makes the loop (ferrio's, by default), which also becomes the
    thread's current loop. A runner belongs to one thread. Otherwise it works like `asyncio.Runner`.
    """

    def __init__(self, *, debug: bool | None = None, loop_factory: _LoopFactory | None = None) -> None:
        self._debug = debug
        self._loop_factory = loop_factory
        self._loop: events.AbstractEventLoop | None = None
        self._context: contextvars.Context | None = None
        self._closed = False
        self._interrupts = 0
        self._made_current = False
        # The handlers of SIGINT of runs, one inside the other, each with the handler before it.
        self._handlers: list[tuple[Callable[[int, FrameType | None], None], Any]] = []

    def __enter__(self) -> Self:
        self._open()
        return self

    def __exit__(self, exc_type: object, exc_val: object, exc_tb: object) -> None:
        self.close()

    def run(self, coro: Awaitable[_T], *, context: contextvars.Context | None = None) -> _T:
        """Runs `coro` until it is done and returns its result, or raises its exception.

        `coro` is a coroutine or any other awaitable. It runs in `context`, or in the context that all runs of this
        runner share. The first Ctrl-C cancels it, and `KeyboardInterrupt` is raised after it has ended; a second one is
        raised at once.

        Raises `RuntimeError` inside a running loop and after `close()`. Something that isn't awaitable raises what
        asyncio raises: `TypeError` from Python 3.14 on, `ValueError` before.
        """
        if events._get_running_loop() is not None and not _ferrio._nested_allowed():
            raise RuntimeError(_already_running("Runner.run()", coro))
        loop = self._open()
        task = loop.create_task(_as_coroutine(coro), context=self._context if context is None else context)
        return self._run_task(task)

    def _run_task(self, task: asyncio.Task[_T]) -> _T:
        loop = self._open()
        self._interrupts = 0
        outer = len(self._handlers)
        try:
            self._catch_interrupts(task)
            return loop.run_until_complete(task)
        except exceptions.CancelledError:
            # Only our own cancellation becomes KeyboardInterrupt; the program's own cancellations stay what they are. A
            # task of a foreign task factory may be unable to tell them apart.
            uncancel = getattr(task, "uncancel", None)
            if self._interrupts > 0 and uncancel is not None and uncancel() == 0:
                raise KeyboardInterrupt  # noqa: B904
            raise
        finally:
            self._leave_interrupts(outer)

    def get_loop(self) -> events.AbstractEventLoop:
        """Returns the runner's loop, and makes it if necessary. Raises `RuntimeError` after `close()`."""
        return self._open()

    def close(self) -> None:
        """Cancels the remaining tasks and waits for them, closes async generators, the default executor and the loop.

        A second call does nothing, and neither does a call on a runner that never made its loop.
        """
        loop = self._loop
        if loop is None:
            return
        try:
            _end_all(loop)
        finally:
            # An interrupt at a bad moment of `_run_task` may have skipped it there.
            self._leave_interrupts(0)
            if self._made_current:
                events.set_event_loop(None)
            loop.close()
            self._loop = None
            self._closed = True

    @property
    def _state(self) -> Any:
        """The runner's state, as a member of asyncio's enumeration: test tools read it."""
        state = asyncio.runners._State  # type: ignore[attr-defined]
        if self._closed:
            return state.CLOSED
        return state.CREATED if self._loop is None else state.INITIALIZED

    def _lazy_init(self) -> None:
        """Makes the loop if there is none: asyncio's name for `_open`, used by test tools."""
        self._open()

    def _open(self) -> events.AbstractEventLoop:
        if self._closed:
            raise RuntimeError("Runner is closed: make a new one, a closed loop can't run again")
        if self._loop is not None:
            return self._loop
        loop: events.AbstractEventLoop
        if self._loop_factory is None:
            loop = events.new_event_loop()
            # Inside a running loop, that loop stays the current one.
            self._made_current = events._get_running_loop() is None
            _foreign.notice(loop, by_policy=True)
            if self._made_current:
                events.set_event_loop(loop)
        else:
            loop = self._loop_factory()
            _foreign.notice(loop)
        if self._debug is not None:
            loop.set_debug(self._debug)
        self._context = contextvars.copy_context()
        self._loop = loop
        return loop

    def _catch_interrupts(self, task: asyncio.Task[Any]) -> None:
        """Makes Ctrl-C cancel `task`, if Ctrl-C is ours to handle."""
        if threading.current_thread() is not threading.main_thread():
            return
        before = signal.getsignal(signal.SIGINT)
        # We may replace an outer runner's handler until this run ends.
        outer = isinstance(before, functools.partial) and getattr(before.func, "__func__", None) is Runner._interrupt
        if before is not signal.default_int_handler and not outer:
            return
        handler = functools.partial(self._interrupt, task, self._open())
        # First, because an interrupt may come as soon as the handler is set.
        self._handlers.append((handler, before))
        try:
            signal.signal(signal.SIGINT, handler)
        except ValueError:  # an embedded interpreter whose main thread can't handle signals
            self._handlers.pop()

    def _leave_interrupts(self, outer: int) -> None:
        """Makes Ctrl-C do again what it did when there were only `outer` handlers of ours, unless the program set
        another one."""
        if threading.current_thread() is not threading.main_thread():
            return
        while len(self._handlers) > outer:
            handler, before = self._handlers[-1]
            if signal.getsignal(signal.SIGINT) is handler:
                signal.signal(signal.SIGINT, before)
            self._handlers.pop()

    def _interrupt(
        self, task: asyncio.Task[Any], loop: events.AbstractEventLoop, signal_number: int, frame: FrameType | None
    ) -> None:
        self._interrupts += 1
        if self._interrupts > 1 or task.done():
            raise KeyboardInterrupt
        # A run nested in this one without a runner of its own: the task is waiting for it.
        inner = getattr(loop, "_innermost", None)
        (task if inner is None else inner).cancel()
        # The loop may be waiting in the kernel, and would notice the cancellation only at its next event.
        loop.call_soon_threadsafe(_nothing)


def run(main: Awaitable[_T], *, debug: bool | None = None, loop_factory: _LoopFactory | None = None) -> _T:
    """Runs the coroutine (or other awaitable) `main` on a new loop and returns its result.

        ferrio.run(main())

    The loop is closed at the end, after the remaining tasks were cancelled and async generators and the default
    executor were shut down. `debug` and `loop_factory` are those of `Runner`, which also says what is raised.
    """
    running = events._get_running_loop()
    if running is not None and not _ferrio._nested_allowed():
        raise RuntimeError(_already_running("asyncio.run()", main))
    if loop_factory is None and isinstance(running, _ferrio.Loop):
        return _run_inside(running, main, debug)
    with Runner(debug=debug, loop_factory=loop_factory) as runner:
        return runner.run(main)


def _run_inside(loop: Any, main: Awaitable[_T], debug: bool | None) -> _T:
    """`run` while ferrio's `loop` is running: turns it until `main` is done, and leaves it and its other tasks
    alone."""
    before = loop.get_debug()
    if debug is not None:
        loop.set_debug(debug)
    runner = Runner()
    runner._loop = loop  # the runner never closes it
    try:
        task: asyncio.Task[_T] = loop.create_task(_as_coroutine(main))
        return runner._run_task(task)
    finally:
        if debug is not None:
            loop.set_debug(before)


def _as_coroutine(awaitable: Awaitable[_T]) -> Coroutine[Any, Any, _T]:
    if coroutines.iscoroutine(awaitable):
        return awaitable
    if inspect.isawaitable(awaitable):
        return _await(awaitable)
    got = f"got {awaitable!r}{_standard.hint(awaitable, 'run')}"
    if sys.version_info >= (3, 14):
        raise TypeError(f"a coroutine, an asyncio.Future or an awaitable is required, {got}")
    raise ValueError(f"a coroutine was expected, {got}")


async def _await(awaitable: Awaitable[_T]) -> _T:
    return await awaitable


def _already_running(what: str, main: object) -> str:
    name = getattr(main, "__name__", "main")
    return (
        f"{what} cannot be called from a running event loop: `await {name}()` here instead, "
        f"or call it in another thread: `await ferrio.to_thread(ferrio.run, {name}())`, "
        "or allow loops inside loops: `ferrio.allow_nested()`"
    )


def _end_all(loop: events.AbstractEventLoop) -> None:
    """Ends what is left on `loop`: its tasks, its asynchronous generators, and its default executor."""
    _cancel_all_tasks(loop)
    with _slow_end.Reporting(loop, "generators", _open_generators(loop)):
        loop.run_until_complete(loop.shutdown_asyncgens())
    with _slow_end.Reporting(loop, "executors", _executors(loop)):
        loop.run_until_complete(_shutdown_default_executor(loop))


def _cancel_all_tasks(loop: events.AbstractEventLoop) -> None:
    """Cancels every task of `loop`, waits for them, and reports their errors."""
    left = tasks.all_tasks(loop)
    if not left:
        return
    catches = _slow_end.catching(loop)
    try:
        with _slow_end.Reporting(loop, "tasks_left", tuple(left), catches):
            for task in left:
                task.cancel()
            # A future and no task, because a task that is cancelled may cancel all tasks that it finds. If loops are
            # nested, it takes a task to wait on the loop that isn't the running one.
            nested = events._get_running_loop() is not None
            loop.run_until_complete(_wait_for_all(left) if nested else tasks.gather(*left, return_exceptions=True))
    finally:
        if catches is not None:
            catches.stop()
    for task in left:
        if task.cancelled() or task.exception() is None:
            continue
        loop.call_exception_handler(
            {
                "message": "unhandled exception during asyncio.run() shutdown",
                "exception": task.exception(),
                "task": task,
            }
        )
    # The cancelled tasks refer to this frame by their tracebacks.
    left.clear()
    del task


async def _wait_for_all(left: Iterable[asyncio.Task[Any]]) -> None:
    await tasks.gather(*left, return_exceptions=True)


def _open_generators(loop: Any) -> Sequence[Any]:
    """Returns weak references to the open asynchronous generators of `loop`, as far as it shows them."""
    found = getattr(loop, "_asyncgens", None)
    return [weakref.ref(generator) for generator in found] if isinstance(found, weakref.WeakSet) else []


def _executors(loop: Any) -> Sequence[Any]:
    """Returns the executors of `loop`, if it is ferrio's."""
    return loop._executors() if isinstance(loop, _ferrio.Loop) else ()  # type: ignore[attr-defined]


def _shutdown_default_executor(loop: Any) -> Any:
    try:
        return loop.shutdown_default_executor(THREAD_JOIN_TIMEOUT)
    except TypeError:  # a foreign loop with Python 3.11's signature, which has no time limit
        return loop.shutdown_default_executor()


def _nothing() -> None:
    """A callback whose only purpose is to wake the loop."""
