"""Where ferrio meets the standard library's asyncio: the few pieces that have to be in Python.

Nothing here runs per callback, packet or task. The extension module imports what it needs by name.
"""

from __future__ import annotations

import _socket
import asyncio.base_events
import asyncio.base_futures
import asyncio.coroutines
import asyncio.futures
import asyncio.log
import asyncio.tasks
import gc
import inspect
import reprlib
import socket
import sys
import types
import weakref
from collections.abc import Callable, Iterator
from typing import Any

from ferrio import _ferrio

# The original `socket.socket`, even if a test suite has replaced it.
SOCKET: Any = next(
    (each for each in _socket.socket.__subclasses__() if (each.__module__, each.__name__) == ("socket", "socket")),
    socket.socket,
)

if sys.version_info >= (3, 12):
    create_eager_task_factory = asyncio.tasks.create_eager_task_factory
else:

    def create_eager_task_factory(custom_task_constructor: Callable[..., Any]) -> Callable[..., Any]:
        """Return a task factory for `loop.set_task_factory`, whose tasks run their first step at once.

        Takes `custom_task_constructor`, which makes the task: a callable with the signature of `Task`, `eager_start`
        included.
        """

        def factory(
            loop: asyncio.AbstractEventLoop, coro: Any, *, eager_start: bool = True, **kwargs: Any
        ) -> asyncio.Task[Any]:
            return custom_task_constructor(coro, loop=loop, eager_start=eager_start, **kwargs)  # type: ignore[no-any-return]

        return factory


# The code shared by all eager task factories. A new one has it even if a tracer changed that of asyncio's own.
EAGER_FACTORY_CODE: Any = create_eager_task_factory(asyncio.Task).__code__


@reprlib.recursive_repr()
def future_repr(future: Any) -> str:
    """Return `<Future pending cb=[...]>`: the class, the state and the waiters."""
    return f"<{type(future).__name__} {' '.join(asyncio.base_futures._future_repr_info(future))}>"


@reprlib.recursive_repr()
def task_repr(task: Any) -> str:
    """Return `<Task pending name='Task-1' coro=<main() running at app.py:3> wait_for=<...> cb=[...]>`."""
    info = asyncio.base_futures._future_repr_info(task)
    if task.cancelling() and not task.done():
        info[0] = "cancelling"
    details = [f"name={task.get_name()!r}"]
    if task._coro is not None:
        details.append(f"coro=<{asyncio.coroutines._format_coroutine(task._coro)}>")  # type: ignore[attr-defined]
    if task._fut_waiter is not None:
        details.append(f"wait_for={task._fut_waiter!r}")
    info[1:1] = details
    return f"<{type(task).__name__} {' '.join(info)}>"


# asyncio's functions that contain the callbacks that are native here, from before `install()`.
_WITH_CALLBACKS: dict[str, Any] = {
    name: vars(module).get(name)
    for module, names in (
        (asyncio.base_events, ("_run_until_complete_cb",)),
        (asyncio.futures, ("_chain_future",)),
        (asyncio.tasks, ("_wait", "as_completed", "gather", "shield")),
    )
    for name in names
}


def callback_function(name: str) -> Any:
    """Return asyncio's function with the qualified name `name`, or `None`, for tools that show its file and line."""
    outer, _, inner = name.partition(".<locals>.")
    function = _WITH_CALLBACKS.get(outer)
    if function is None or not inner:
        return function
    for code in function.__code__.co_consts:
        if isinstance(code, types.CodeType) and code.co_name == inner:
            cells = tuple(types.CellType() for _ in code.co_freevars)
            return types.FunctionType(code, function.__globals__, closure=cells)
    return None


def hint(candidate: Any, function: str | None = None) -> str:
    """Return advice for a caller that passed `candidate` (to `function`) instead of a coroutine; may be empty."""
    name = getattr(candidate, "__name__", None)
    if inspect.isasyncgenfunction(candidate) or inspect.isasyncgen(candidate):
        return ": an async generator is read with `async for`, inside a coroutine"
    if inspect.iscoroutinefunction(candidate):
        if function:
            return f": {function}() takes a coroutine, did you mean {function}({name}())?"
        return f": did you mean {name}()?"
    if inspect.isgenerator(candidate):
        return ": a generator isn't a coroutine, is `async` missing before its `def`?"
    if inspect.isfunction(candidate):
        return f": {name} is a plain function, is `async` missing before its `def`?"
    if isinstance(candidate, (list, tuple, set)):
        return f": pass awaitables one by one, is a `*` missing before the {type(candidate).__name__}?"
    if asyncio.isfuture(candidate):
        if hasattr(candidate, "get_coro"):
            return ": it is already a task; `await` it, or use it as it is"
        return ": it is already a future; `await` it, ensure_future() returns it unchanged"
    if inspect.isawaitable(candidate):
        return ": it can be awaited; ensure_future() makes a task of it"
    if not callable(candidate):
        return ": is the function that was called here missing its `async`?"
    return ""


async def await_it(awaitable: Any) -> Any:
    """Await `awaitable`: the coroutine of a task for something that is only awaitable."""
    return await awaitable


async def close_asyncgens(loop: Any) -> None:
    """Close the asynchronous generators that `loop` knows; the body of `loop.shutdown_asyncgens()`."""
    generators = loop._take_asyncgens()
    if not generators:
        return
    results = await _ferrio.gather(*[generator.aclose() for generator in generators], return_exceptions=True)
    for result, generator in zip(results, generators, strict=True):
        if isinstance(result, Exception):
            loop.call_exception_handler(
                {
                    "message": f"an error occurred during closing of asynchronous generator {generator!r}",
                    "exception": result,
                    "asyncgen": generator,
                }
            )


def wait(poll: Callable[[], None]) -> None:
    """Call `poll`, a loop's wait, from Python code, so that a profiler sees the call."""
    poll()


class _TasksOfAllLoops(weakref.WeakSet[Any]):
    """The standard library's set of tasks, which also shows the pending tasks of ferrio's loops.

    ferrio's loops hold their tasks themselves: adding each one to this set would cost more than running it.
    """

    def __iter__(self) -> Iterator[Any]:
        yield from super().__iter__()
        yield from _ferrio._pending_tasks()


def share_tasks(linked: bool) -> None:
    """Make `asyncio.all_tasks()` and call graphs see the tasks of ferrio's loops; called when the first one is made.

    `linked` says whether the tasks are in the interpreter's own lists, where the C module finds them.
    """
    if linked:
        return
    known = [getattr(asyncio.tasks, name, None) for name in ("_scheduled_tasks", "_all_tasks")]
    if sys.version_info >= (3, 14):
        # Here the set that counts belongs to the C module, and no name leads to it. Up to 3.13, the module also reveals
        # its free list, whose dead objects would be freed a second time.
        known += gc.get_referents(sys.modules.get("_asyncio"))
        if asyncio.coroutines._is_debug_mode():
            asyncio.log.logger.warning(
                "`python -m asyncio ps` and profilers don't see the tasks of this program: "
                "this Python keeps them in a way that ferrio doesn't know"
            )
    for tasks in known:
        if type(tasks) is weakref.WeakSet:
            tasks.__class__ = _TasksOfAllLoops
