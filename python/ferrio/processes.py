"""Functions in other processes: `to_process`, which asyncio does not have.

Here is what runs once a pool, or once a call that could not be sent: how the pool kept for a loop is made, which one
belongs to a loop of another make, and what the error says. Handing out calls is native (`executor/to_process.rs`).
"""

from __future__ import annotations

import pickle
import signal
import weakref
from concurrent.futures import Executor
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

    # Ctrl-C in a terminal reaches the pool's processes too. They leave it to the program, whose end is theirs: one that
    # ended by itself might hold the pool's lock at that moment, for which the others would wait for ever.
    return ProcessPoolExecutor(initializer=signal.signal, initargs=(signal.SIGINT, signal.SIG_IGN))


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
