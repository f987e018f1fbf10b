"""`ThreadPool`: the threads of a ferrio loop, as a `concurrent.futures.Executor`.

The pool itself is native. The Python parts are here: the executor's methods, which run when a program calls them
(`loop.run_in_executor` and `to_thread` bypass them), and the shutdown of a loop's executors. `_exit` handles the end of
the program.

Invariant: no thread of a pool outlives the interpreter. Idle threads end when the interpreter begins to exit, busy ones
after their current call.
"""

from __future__ import annotations

import os
import threading
import warnings
import weakref
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor, Future
from typing import Any, Self

from ferrio import _ferrio, processes

__all__ = ("ThreadPool",)

# A warning names at most this many things and counts the others.
_NAMED = 5

_pools: weakref.WeakSet[ThreadPool] = weakref.WeakSet()


class ThreadPool(_ferrio.ThreadPool, Executor):
    """Threads that call functions, started when they are needed; the default executor of a ferrio loop.

    `max_workers`: the greatest number of threads, by default `min(32, CPUs + 4)`; the attribute can be set later, too.
    `thread_name_prefix`: the beginning of the threads' names. `queued` is the number of calls waiting for a thread, and
    `running` lists the functions being run. Everything else is as in `concurrent.futures.ThreadPoolExecutor`.
    """

    def __new__(cls, max_workers: int | None = None, thread_name_prefix: str = "asyncio") -> Self:
        if max_workers is None:
            count = getattr(os, "process_cpu_count", os.cpu_count)
            max_workers = min(32, (count() or 1) + 4)
        return super().__new__(cls, max_workers, thread_name_prefix)

    def __init__(self, max_workers: int | None = None, thread_name_prefix: str = "asyncio") -> None:
        _pools.add(self)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Queues the call `fn(*args, **kwargs)` and returns a `concurrent.futures.Future` for its result.

        Raises `RuntimeError` after the shutdown.
        """
        future: Future[Any] = Future()
        self._submit(future, fn, args, kwargs)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Takes no more calls. Queued calls still run, unless `cancel_futures` cancels them.

        With `wait`, it returns after all threads have ended.
        """
        self._close(cancel_futures)
        if wait:
            for thread in self._threads:
                thread.join()


async def shut_down(loop: Any, timeout: float | None) -> None:
    """Shuts down the executors of `loop` and waits for them; the body of `loop.shutdown_default_executor()`."""
    loop._executor_shutdown_called = True
    executors = loop._executors()
    if not executors:
        return
    finished = loop.create_future()
    loop._work_is_out()
    thread = threading.Thread(target=_join, args=(loop, executors, finished))
    thread.start()
    timer = None if timeout is None else loop.call_later(timeout, _end, finished, False)
    try:
        in_time = await finished
    finally:
        if timer is not None:
            timer.cancel()
    if in_time:
        thread.join()
        return
    busy = busy_functions(executors)
    still = f" Still running: {listed(busy)}." if busy else ""
    warnings.warn(
        f"The executor did not finishing joining its threads within {timeout} seconds.{still}",
        RuntimeWarning,
        stacklevel=2,
    )
    for executor in executors:
        executor.shutdown(wait=False)


def _join(loop: Any, executors: tuple[Executor, ...], finished: Any) -> None:
    """Waits for the executors, in a separate thread, and tells the loop."""
    failure = None
    try:
        for executor in executors:
            executor.shutdown(wait=True)
    except Exception as error:
        failure = error
    try:
        loop.call_soon_threadsafe(_joined, loop, finished, failure)
    except RuntimeError:
        # If the loop was closed, nobody is waiting any more.
        if not loop.is_closed():
            raise


def _joined(loop: Any, finished: Any, failure: Exception | None) -> None:
    loop._work_came_back()
    if failure is None:
        _end(finished, True)
    elif not finished.done():
        finished.set_exception(failure)


def _end(finished: Any, in_time: bool) -> None:
    if not finished.done():
        finished.set_result(in_time)


def close_all() -> None:
    """Lets the threads of all pools end; the exiting interpreter joins them."""
    _ferrio._refuse_jobs()
    for pool in list(_pools):
        pool.shutdown(wait=False)


def busy_functions(executors: Iterable[Executor]) -> list[str]:
    """Returns the functions that the threads and processes of these executors are running."""
    busy = [repr(function) for executor in executors for function in getattr(executor, "running", ())]
    return busy + [
        f"{function!r} in a process" for executor in executors for function in processes.running_functions(executor)
    ]


def workers() -> list[_ferrio._Worker]:
    """Returns the records of all worker threads, even of pools that nobody refers to any more."""
    targets = (getattr(thread, "_target", None) for thread in threading.enumerate())
    return [target for target in targets if isinstance(target, _ferrio._Worker)]


def is_idle(thread: threading.Thread) -> bool:
    """Returns whether `thread` belongs to one of our pools and has nothing to do."""
    worker = getattr(thread, "_target", None)
    return isinstance(worker, _ferrio._Worker) and worker.function is None


def listed(things: Sequence[str]) -> str:
    """Returns the things as a warning lists them: the first few, and the number of the others."""
    more = len(things) - _NAMED
    return ", ".join(things[:_NAMED]) + (f" and {more} more" if more > 0 else "")
