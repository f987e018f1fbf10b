"""`allow_nested()`: running loops inside a running loop, for programs whose caller already runs one (a notebook).

An inner `run()` or `run_until_complete()` turns the running loop until its own task is done. Everything else on the
loop keeps running meanwhile, except the task that made the call. The extension module turns the loop. This module holds
the permission, changes the standard library's `run`, and handles the packages nest_asyncio and nest_asyncio2.

Invariant: a program that neither calls this nor applies one of these packages gets the usual error and its advice.
"""

from __future__ import annotations

import asyncio
import asyncio.runners
import functools
import sys
from collections.abc import Callable
from typing import Any

from ferrio import _ferrio, _policy

__all__ = ("allow_nested",)

# The standard library's earlier `run`; `None` as long as it isn't replaced.
_standard_run: Callable[..., Any] | None = None
_standard_runner_run: Callable[..., Any] | None = None


def allow_nested(allowed: bool = True) -> None:
    """Allows `run()`, `Runner.run()`, `run_until_complete()` and `run_forever()` while a loop is running.

    The inner call turns the running loop until its task is done; the task that made the call stands still. `run()`
    leaves the loop and its other tasks alone. A `Runner`, and `run()` with a `loop_factory`, have their own loop, and
    the outer one stands still meanwhile. `asyncio.run()` and `asyncio.Runner` do the same on ferrio's loops. This
    affects the whole process. `allow_nested(False)` forbids it again: `allowed` is whether it is allowed from now on.
    """
    _ferrio._allow_nested(allowed)
    if allowed:
        _change_standard_runners()
    else:
        _restore_standard_runners()


def is_running_ours() -> bool:
    """Whether the loop running in this thread is ferrio's."""
    return isinstance(asyncio._get_running_loop(), _ferrio.Loop)


def _change_standard_runners() -> None:
    """Allows the standard library's `run` and `Runner` inside ferrio's loops."""
    global _standard_run, _standard_runner_run
    if _standard_run is not None:
        return
    module: Any = asyncio.runners
    before, runner_before = module.run, module.Runner.run

    @functools.wraps(before)
    def run(main: Any, **keywords: Any) -> Any:
        if not is_running_ours():
            return before(main, **keywords)
        from ferrio import runners

        return runners.run(main, **keywords)

    @functools.wraps(runner_before)
    def run_in_runner(self: Any, coro: Any, *, context: Any = None) -> Any:
        if not is_running_ours():
            return runner_before(self, coro, context=context)
        loop = self.get_loop()
        task = loop.create_task(coro) if context is None else loop.create_task(coro, context=context)
        return loop.run_until_complete(task)

    _standard_run, _standard_runner_run = before, runner_before
    if not _is_ours(before):
        module.run = asyncio.run = run
    if not _is_ours(module.Runner):
        module.Runner.run = run_in_runner


def _restore_standard_runners() -> None:
    global _standard_run, _standard_runner_run
    if _standard_run is None:
        return
    module: Any = asyncio.runners
    holders: tuple[Any, ...] = (module, asyncio)
    for holder in holders:
        if getattr(holder.run, "__wrapped__", None) is _standard_run:
            holder.run = _standard_run
    if getattr(module.Runner.run, "__wrapped__", None) is _standard_runner_run:
        module.Runner.run = _standard_runner_run
    _standard_run = _standard_runner_run = None


def _is_ours(thing: Any) -> bool:
    return bool(thing.__module__.startswith("ferrio."))


def adopt_nest_asyncio() -> bool:
    """Does what nest_asyncio's `apply()` does, for one of ferrio's loops; returns whether it was called at all.

    `apply()` asks a loop whether it is patched before it looks at its class. By then it has put the standard library's
    slow classes, which ferrio's loops don't use, and its own `run` into `asyncio`. They are removed again, unless it
    also patched a loop of the standard library, which needs them.
    """
    if not hasattr(asyncio, "_nest_patched"):
        return False
    selector_loop: Any = asyncio.unix_events._UnixSelectorEventLoop
    if not hasattr(selector_loop, "_nest_patched"):
        _take_out_of_asyncio()
    allow_nested()
    return True


def _take_out_of_asyncio() -> None:
    import _asyncio

    from ferrio import _install, futures, runners, tasks

    standard: Any = asyncio
    c_module: Any = _asyncio
    installed = _install.is_installed()
    standard.tasks._CTask, standard.futures._CFuture = c_module.Task, c_module.Future
    standard.Task = standard.tasks.Task = tasks.Task if installed else c_module.Task
    standard.Future = standard.futures.Future = futures.Future if installed else c_module.Future
    asked = _policy.get_event_loop if installed else c_module.get_event_loop
    standard.get_event_loop = standard.events.get_event_loop = asked
    if _from_nest_asyncio(standard.run):
        standard.run = runners.run if installed else standard.runners.run
    policies: tuple[Any, ...] = (_policy.EventLoopPolicy, _policy._DefaultEventLoopPolicy)
    for policy in policies:
        if _from_nest_asyncio(vars(policy).get("get_event_loop")):
            if policy is policies[0]:
                policy.get_event_loop = _get_event_loop_of_policy
            else:
                del policy.get_event_loop
    concurrent = sys.modules.get("tornado.concurrent")
    if concurrent is not None:
        concurrent.Future = standard.Future  # type: ignore[attr-defined]


def _from_nest_asyncio(function: Any) -> bool:
    return getattr(function, "__module__", "").startswith("nest_asyncio")


_get_event_loop_of_policy = _policy.EventLoopPolicy.get_event_loop
