"""`Clock`: the time of a test's loops, which jumps from deadline to deadline and moves when the test says so.

Invariant: all loops of a test share one clock, and it never moves back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ferrio import _ferrio

__all__ = ("Clock",)


class Clock:
    """The virtual clock of a test. It begins at 0.

    Whenever the loop has nothing else to do, the clock jumps to the next deadline. So to let a minute pass, a test
    just awaits `asyncio.sleep(60)`.
    """

    def __init__(self) -> None:
        self._native = _ferrio._VirtualClock()
        self._on_move: Callable[[float], object] | None = None

    @property
    def time(self) -> float:
        """The seconds since the test began; `loop.time()` says the same."""
        return self._native.time()

    def advance(self, seconds: float) -> None:
        """Moves the clock forward at once, as if the code that calls this took so long.

        What becomes due meanwhile runs when the loop runs next. Raises `ValueError` if `seconds` is negative.
        """
        self._native.advance(seconds)
        if self._on_move is not None:
            self._on_move(self.time)

    async def sleep_until(self, time: float) -> None:
        """Sleeps until the clock shows `time`; a time that has passed lets other tasks run once."""
        await asyncio.sleep(max(0.0, time - self.time))

    def __repr__(self) -> str:
        return f"<Clock at {self.time} s>"
