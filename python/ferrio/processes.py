"""Functions in other processes: `to_process`, which asyncio doesn't have.

The code here runs once per pool, or once per call that could not be sent. It makes the pool of a loop, finds the pool
of a loop that isn't ferrio's, and words the error. Native code hands out the calls (`to_process.rs`).
"""

from __future__ import annotations

import signal
import sys
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Executor
from types import FrameType
from typing import Any

from ferrio._ferrio import to_process

__all__ = ("to_process",)

# The pools of loops that aren't ferrio's.
_pools: weakref.WeakKeyDictionary[Any, Executor] = weakref.WeakKeyDictionary()


def _new_pool() -> Executor:
    """Makes a loop's process pool. It starts its processes at its first call, in the way that
    `multiprocessing.set_start_method` chose.
    """
    # Imported late: it needs multiprocessing, whose import takes as long as all of ferrio's.
    from concurrent.futures import ProcessPoolExecutor

    from ferrio import _exit

    # Only after this import: exit functions run in reverse order, and this one must run before the module's.
    _exit.call_before_processes_are_joined()
    return ProcessPoolExecutor(initializer=_take_interrupts)


def _take_interrupts() -> None:
    """Makes a process of the pool leave Ctrl-C to the function that it runs.

    In a terminal, Ctrl-C reaches every process of a program. If it ended an idle one that holds the pool's lock, the
    others would wait for ever.
    """
    signal.signal(signal.SIGINT, _interrupted)


def _interrupted(number: int, frame: FrameType | None) -> None:
    """Raises `KeyboardInterrupt` if the process is running a function, and does nothing if it is waiting for one."""
    from concurrent.futures import process

    callee = None
    while frame is not None and frame.f_code is not process._process_worker.__code__:
        callee, frame = frame, frame.f_back
    if frame is None or "call_item" not in frame.f_locals:
        return
    if "e" in frame.f_locals or "r" in frame.f_locals:
        # The function has ended, and its result is on its way. So the second of two in a row ends no process.
        return
    # A C function has no frame.
    if callee is None or callee.f_globals.get("__name__") not in (process.__name__, "multiprocessing.queues"):
        raise KeyboardInterrupt


def running_functions(executor: Executor | None = None) -> list[Callable[..., Any]]:
    """Returns the functions that were given to the processes of `executor`.

    Without an executor: all functions that any pool is still waiting for, even those that no process has yet.
    """
    process: Any = sys.modules.get("concurrent.futures.process")
    if process is None:
        return []
    # The pool and its thread share a table; neither has a public name for it.
    if executor is None:
        threads = [thread for thread in threading.enumerate() if isinstance(thread, process._ExecutorManagerThread)]
        tables = [thread.pending_work_items for thread in threads]
    else:
        tables = [executor._pending_work_items] if isinstance(executor, process.ProcessPoolExecutor) else []
    items = [item for table in tables for item in list(table.values())]
    return [item.fn for item in items if executor is None or item.future.running()]


def _pool_of_foreign_loop(loop: Any, broken: Executor | None = None) -> Executor:
    """Returns the pool of a loop that isn't ferrio's, and not `broken`. It ends with the loop object."""
    pool = _pools.get(loop)
    if pool is None or pool is broken:
        pool = _pools[loop] = _new_pool()
        weakref.finalize(loop, pool.shutdown, wait=False)
    return pool


def _explain_unsent(
    failure: Exception, function: object, arguments: tuple[object, ...], keywords: dict[str, object] | None
) -> Exception:
    """Returns `failure`, or a clearer error if it came from pickling the call."""
    import pickle  # only needed for an error: `import ferrio` doesn't pay for it

    if not isinstance(failure, pickle.PicklingError | AttributeError | TypeError):
        return failure
    from multiprocessing.reduction import ForkingPickler

    try:
        ForkingPickler.dumps((function, arguments, keywords))
    except Exception as error:
        unsent = pickle.PicklingError(
            f"to_process could not send the call of {function!r} to another process: {error}. The function must be "
            "importable (not a lambda, not defined inside a function), and its arguments must be picklable"
        )
        unsent.__cause__ = failure
        return unsent
    return failure
