"""`allow_nested()`: loops that are run while one runs, for programs whose caller runs a loop already (a notebook).

An inner `run()` or `run_until_complete()` turns the running loop until its own task is done; everything else on the
loop goes on meanwhile, except the task that called it. How the loop turns is in the extension module; here is the
permission, what becomes of the standard library's `run`, and what the packages nest_asyncio and nest_asyncio2 find.

Invariant: a program that neither calls this nor applies one of the packages is told of the ways out, as ever.
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

# What the standard library's module had before; `None` while it is left alone.
_standard_run: Callable[..., Any] | None = None
_standard_runner_run: Callable[..., Any] | None = None


def allow_nested(allowed: bool = True) -> None:
    """Lets `run()`, `Runner.run()`, `run_until_complete()` and `run_forever()` be called while a loop runs.

    The inner call turns the running loop until its task is done, and the task that called it stands still. `run()`
    leaves the loop and the other tasks on it alone. A `Runner`, and `run()` with a `loop_factory`, have a loop of
    their own, and the outer one stands still meanwhile. `asyncio.run()` and `asyncio.Runner` do the same on ferrio's
    loops. Holds for the whole process. `allowed` is whether it holds from now on: `allow_nested(False)` takes it back.
    """
    _ferrio._allow_nested(allowed)
    if allowed:
        _change_standard_runners()
    else:
        _restore_standard_runners()


def is_running_ours() -> bool:
    """Whether the loop that runs in this thread is ferrio's."""
    return isinstance(asyncio._get_running_loop(), _ferrio.Loop)


def _change_standard_runners() -> None:
    """Lets the standard library's `run` and `Runner` be called inside ferrio's loops."""
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
    """What nest_asyncio's `apply()` does to a loop of ferrio's; returns whether it was called at all.

    It asks a loop whether it is patched before it looks at its class. By then it has put the standard library's slow
    classes, which ferrio's loops don't use, and a `run` of its own into `asyncio`: they are taken out again, unless
    one of the standard library's own loops was patched too, which needs them.
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
