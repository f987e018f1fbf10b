"""Functions in other processes: `to_process`, which asyncio does not have.

Here is what runs once a pool, or once a call that could not be sent: how the pool kept for a loop is made, which one
belongs to a loop of another make, and what the error says. Handing out calls is native (`executor/to_process.rs`).
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

# The pools of loops that are not ferrio's.
_pools: weakref.WeakKeyDictionary[Any, Executor] = weakref.WeakKeyDictionary()


def _new_pool() -> Executor:
    """Makes the process pool that is kept for a loop. It starts its processes when it gets its first call, as
    `multiprocessing.set_start_method` says.
    """
    # Imported late: it needs multiprocessing, which takes as long as all of ferrio.
    from concurrent.futures import ProcessPoolExecutor

    from ferrio import _exit

    # Now that the module which will wait is imported: the last that is registered is the first to be called.
    _exit.call_before_processes_are_joined()
    return ProcessPoolExecutor(initializer=_take_interrupts)


def _take_interrupts() -> None:
    """Makes a process of the pool leave Ctrl-C to the function that it runs.

    In a terminal it reaches every process of a program. An idle one that it ended might hold the pool's lock, for which
    the others would wait for ever.
    """
    signal.signal(signal.SIGINT, _interrupted)


def _interrupted(number: int, frame: FrameType | None) -> None:
    """Raises `KeyboardInterrupt` where the process runs a function, and does nothing where it waits for one."""
    from concurrent.futures import process

    callee = None
    while frame is not None and frame.f_code is not process._process_worker.__code__:
        callee, frame = frame, frame.f_back
    if frame is None or "call_item" not in frame.f_locals:
        return
    if "e" in frame.f_locals or "r" in frame.f_locals:
        # The function is over, and what came of it is on its way. So the second of two in a row ends no process.
        return
    # A function in C has no frame.
    if callee is None or callee.f_globals.get("__name__") not in (process.__name__, "multiprocessing.queues"):
        raise KeyboardInterrupt


def running_functions(executor: Executor | None = None) -> list[Callable[..., Any]]:
    """Returns the functions that the processes of `executor` have been given.

    Without it: all that any pool still waits for, those that no process has been given yet included.
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
    """Returns the pool of a loop that is not ferrio's, another one than `broken`. It ends with the loop object."""
    pool = _pools.get(loop)
    if pool is None or pool is broken:
        pool = _pools[loop] = _new_pool()
        weakref.finalize(loop, pool.shutdown, wait=False)
    return pool


def _explain_unsent(
    failure: Exception, function: object, arguments: tuple[object, ...], keywords: dict[str, object] | None
) -> Exception:
    """Returns `failure`, or a clearer error if it came from pickling the call."""
    import pickle  # for an error only: `import ferrio` doesn't pay for it

    if not isinstance(failure, pickle.PicklingError | AttributeError | TypeError):
        return failure
    from multiprocessing.reduction import ForkingPickler

    try:
        ForkingPickler.dumps((function, arguments, keywords))
    except Exception as error:
        unsent = pickle.PicklingError(
            f"to_process could not send the call of {function!r} to another process: {error}. The function must be "
            "one that can be imported (no lambda, no function within a function), and its arguments must be such "
            "as pickle takes"
        )
        unsent.__cause__ = failure
        return unsent
    return failure
