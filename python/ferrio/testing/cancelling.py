"""`cancel_everywhere` and `timeout_everywhere`: end a program early at each place where that is possible.

There is one run for each place. In the second, what ends it is a timeout that surrounds the program.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ferrio import exceptions, tasks
from ferrio.testing import running
from ferrio.testing.running import Main

__all__ = ("cancel_everywhere", "timeout_everywhere")

_MOST = 10_000


def cancel_everywhere(main: Main, /, check: Callable[[], object] | None = None, *, virtual_time: bool = True) -> int:
    """Runs `main()` twice for each of its waits, and cancels it there: when it begins, and when it is about to end.

    A wait is an `await` that suspends `main`, what it awaits included, in asyncio's order. A run fails if `main`
    raises anything but `CancelledError`, if something reaches the loop's exception handler, if the program gets
    stuck, or if `check()`, called after each run, raises. `main` may also return. A note says where it was cancelled.
    Returns how often it was. Raises `RuntimeError` if there is no end to the waits.
    """
    running.check_call("cancel_everywhere", main)
    return _everywhere(main, check, _Cancelled, virtual_time)


def timeout_everywhere(main: Main, /, check: Callable[[], object] | None = None, *, virtual_time: bool = True) -> int:
    """Like `cancel_everywhere`, as if `main()` ran in `asyncio.timeout()` and its time was over there.

    `main` sees a cancellation, and its caller a `TimeoutError`. So a run fails if `main` raises anything else, among
    others if a `CancelledError` remains: then `main` has called `uncancel()`, or was cancelled by itself.
    """
    running.check_call("timeout_everywhere", main)
    return _everywhere(main, check, _TimedOut, virtual_time)


def _everywhere(main: Main, check: Callable[[], object] | None, kind: type[_Ended], virtual_time: bool) -> int:
    times = 0
    with running.Bench(virtual_time=virtual_time) as bench:
        for number in range(1, _MOST):
            for late in (False, True):
                ended = kind(number, late)
                done = bench.run(ended.wrap(main), {"way": "fixed"}, before=ended.before)
                error = None if isinstance(done.error, kind.outcome) else done.error
                if error is None and check is not None:
                    try:
                        check()
                    except Exception as raised:
                        error = raised
                if error is not None:
                    if ended.where is not None:
                        when = "about to go on" if late else "it had begun to wait"
                        error.add_note(f"ferrio.testing: main {kind.what} when {when}, at {ended.where}")
                    raise error
                if ended.where is not None:
                    times += 1
                elif late:
                    return times
    raise RuntimeError(f"main waits more than {_MOST} times")


class _Ended:
    """Ends the main task in one of its waits, counted from one: as soon as it waits, or `late`."""

    outcome: type[BaseException]
    """What the program may raise."""
    what: str

    def __init__(self, number: int, late: bool) -> None:
        self.where: str | None = None
        self._left = number
        self._late = late
        self._main: Any = None

    def wrap(self, main: Main) -> Main:
        """The program that runs instead of `main`."""

        async def wrapped() -> Any:
            self._main = tasks.current_task()
            return await self.run(main)

        return wrapped

    async def run(self, main: Main) -> Any:
        """Runs `main` in the main task."""
        return await main()

    def before(self, thing: Any) -> None:
        """Called before anything runs. The main task has waited if something runs after its first step."""
        if self._main is None or self._main.done() or self.where is not None:
            return
        goes_on = thing is self._main
        if self._left == 1 and goes_on is self._late:
            self.where = running.place_of(self._main)
            self._main.cancel()
        elif goes_on:
            self._left -= 1


class _Cancelled(_Ended):
    outcome = exceptions.CancelledError
    what = "was cancelled"


class _TimedOut(_Ended):
    outcome = TimeoutError
    what = "timed out"

    async def run(self, main: Main) -> Any:
        """As `asyncio.timeout()` does, whose deadline can't come in between two things that are ready."""
        try:
            return await main()
        except exceptions.CancelledError as error:
            if self.where is not None and self._main.uncancel() == 0:
                raise TimeoutError from error
            raise
