"""`cancel_everywhere`: cancels a program at each place where it can be cancelled, one run for each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ferrio import exceptions, tasks
from ferrio.testing import running
from ferrio.testing.running import Main

__all__ = ("cancel_everywhere",)

_MOST = 10_000


def cancel_everywhere(main: Main, /, check: Callable[[], object] | None = None, *, virtual_time: bool = True) -> int:
    """Runs `main()` twice for each of its waits, and cancels it there: when it begins, and when it is about to end.

    A wait is an `await` that suspends `main`, what it awaits included, in asyncio's order. A run fails if `main`
    raises anything but `CancelledError`, if something reaches the loop's exception handler, if the program gets
    stuck, or if `check()`, called after each run, raises. `main` may also return. A note says where it was cancelled.
    Returns how often it was. Raises `RuntimeError` if there is no end to the waits.
    """
    times = 0
    for number in range(1, _MOST):
        for late in (False, True):
            cancelled = _Cancelled(number, late)
            done = running.run(
                cancelled.wrap(main), {"way": "fixed"}, virtual_time=virtual_time, before=cancelled.before
            )
            error = None if isinstance(done.error, exceptions.CancelledError) else done.error
            if error is None and check is not None:
                try:
                    check()
                except Exception as raised:
                    error = raised
            if error is not None:
                if cancelled.where is not None:
                    when = "about to go on" if late else "it had begun to wait"
                    error.add_note(f"ferrio.testing: main was cancelled when {when}, at {cancelled.where}")
                raise error
            if cancelled.where is not None:
                times += 1
            elif late:
                return times
    raise RuntimeError(f"main waits more than {_MOST} times")


class _Cancelled:
    """Cancels the main task in one of its waits, counted from one: as soon as it waits, or `late`."""

    def __init__(self, number: int, late: bool) -> None:
        self.where: str | None = None
        self._left = number
        self._late = late
        self._main: Any = None

    def wrap(self, main: Main) -> Main:
        async def wrapped() -> Any:
            self._main = tasks.current_task()
            return await main()

        return wrapped

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
