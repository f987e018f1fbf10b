"""`datetime.now()` and `time.time()` follow the virtual clock, by freezegun or time-machine.

Neither knows of loops. So every time that is frozen while a test runs, by the test itself or here, is moved by what the
virtual clock has moved.

Invariant: what was frozen here is thawed at the end of the test.
"""

from __future__ import annotations

import datetime
import importlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

from ferrio.testing.clock import Clock

__all__ = ("WallClock",)

# time-machine's list of those that travel, by its names in version 3 and before.
_STACKS = ("traveller_stack", "coordinates_stack")


class WallClock:
    """The time of day of one test."""

    def __init__(self, start: Any, clock: Clock) -> None:
        """`start`: what freezegun or time-machine takes; `True` means now."""
        self._start = start
        self._stop: Callable[[], object] | None = None
        # Whole microseconds, which is what freezegun counts in: otherwise rounding would add up.
        self._followed = _microseconds(clock.time)

    def begin(self) -> None:
        """Freezes the time of day. Raises `RuntimeError` if neither library is installed."""
        start = datetime.datetime.now(datetime.UTC) if self._start is True else self._start
        if time_machine := _imported("time_machine"):
            travel = time_machine.travel(start, tick=False)
        elif freezegun := _imported("freezegun"):
            travel = freezegun.freeze_time(start)
        else:
            raise RuntimeError("wall_clock needs time-machine or freezegun: pip install time-machine")
        travel.start()
        self._stop = travel.stop

    def end(self) -> None:
        """Lets the time of day go on as it is."""
        if self._stop is not None:
            stop, self._stop = self._stop, None
            stop()

    def follow(self, time: float) -> None:
        """Moves whatever is frozen, now that the virtual clock shows `time`."""
        microseconds = _microseconds(time)
        if microseconds > self._followed:
            step = datetime.timedelta(microseconds=microseconds - self._followed)
            self._followed = microseconds
            for move in _frozen():
                move(step)


def _frozen() -> Iterator[Callable[[datetime.timedelta], object]]:
    """Yields what moves each frozen time, inner and outer ones."""
    api = sys.modules.get("freezegun.api")
    for factory in getattr(api, "freeze_factories", ()):
        yield factory.tick
    module = sys.modules.get("time_machine")
    stack = next((getattr(module, name) for name in _STACKS if hasattr(module, name)), ())
    for traveller in stack:
        yield traveller.shift


def _microseconds(time: float) -> int:
    return int(time * 1_000_000 + 0.5)


def _imported(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None
