"""Attempts that start one after the other until one succeeds, under asyncio's module name (`asyncio.staggered`).

In Python, because it runs once per race, not once per callback.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from ferrio import events, tasks

__all__ = ("staggered_race",)


async def staggered_race(
    coro_fns: Iterable[Callable[[], Awaitable[Any]]], delay: float | None, *, loop: Any = None
) -> tuple[Any, int | None, list[BaseException | None]]:
    """Run coroutine functions with staggered starts; return what the first success returned.

    The next one starts after the one before it has failed, or `delay` seconds after that one began (never, with
    `None`). The first to return wins, and the others are cancelled. Returns the winner's result and index, both `None`
    if all failed. The third result is the list of exceptions of all that began, with `None` for the winner. The event
    loop is `loop`, by default the running one.
    """
    race = _Race(loop or events.get_running_loop())
    try:
        for function in coro_fns:
            latest = race.start(function)
            if await race.wait_for(latest, delay):
                break
        while race.running and race.winner is None:
            await tasks.wait(race.running, return_when=tasks.FIRST_COMPLETED)
    finally:
        await race.end()
    # Their tracebacks hold the race, so the race must not hold them.
    exceptions, race.exceptions = race.exceptions, []
    return race.result, race.winner, exceptions


class _Race:
    """The attempts that have begun, and their results."""

    def __init__(self, loop: Any):
        self.loop = loop
        self.running: set[Any] = set()
        self.exceptions: list[BaseException | None] = []
        self.winner: int | None = None
        self.result: Any = None

    def start(self, function: Callable[[], Awaitable[Any]]) -> Any:
        """Starts the next attempt; returns its task."""
        index = len(self.exceptions)
        self.exceptions.append(None)
        task = self.loop.create_task(self._attempt(index, function))
        if not task.done():
            self.running.add(task)
            task.add_done_callback(self.running.discard)
        return task

    async def _attempt(self, index: int, function: Callable[[], Awaitable[Any]]) -> None:
        try:
            result = await function()
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as exception:
            self.exceptions[index] = exception
        else:
            if self.winner is None:
                self.winner, self.result = index, result
                # At once: an attempt that could go on in this same turn has lost too.
                for task in self.running - {tasks.current_task()}:
                    task.cancel()

    async def wait_for(self, latest: Any, delay: float | None) -> bool:
        """Waits until `latest` has ended, somebody has won, or `delay` is over; returns whether somebody has won."""
        deadline = None if delay is None else self.loop.time() + delay
        while self.winner is None and not latest.done():
            timeout = None if deadline is None else deadline - self.loop.time()
            if timeout is not None and timeout <= 0:
                break
            await tasks.wait(self.running, timeout=timeout, return_when=tasks.FIRST_COMPLETED)
        return self.winner is not None

    async def end(self) -> None:
        """Waits for all attempts, cancelled unless the winner did that; passes on a cancellation in the meantime."""
        cancelled = None
        if self.winner is None:
            for task in tuple(self.running):
                task.cancel()
        while self.running:
            try:
                await tasks.wait(self.running)
            except BaseException as error:
                cancelled = error
                for task in tuple(self.running):
                    task.cancel(*error.args)
        if cancelled is not None:
            raise cancelled
