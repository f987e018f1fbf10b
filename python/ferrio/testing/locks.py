"""No lock is left held: who acquires a `Lock` releases it before the test ends.

A holder is known while it is inside an `async with` of the lock. A semaphore has no holder, so it isn't looked at.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Sequence
from typing import Any

from ferrio import _ferrio, tasks
from ferrio.sight import objects, stacks, waits
from ferrio.testing.check import Check, objects_of
from ferrio.testing.loops import BenchLoop

__all__ = ("LocksCheck",)


class LocksCheck(Check):
    """Finds locks that are held, and names their holders."""

    def __init__(self) -> None:
        super().__init__()
        self._known: weakref.WeakSet[Any] = weakref.WeakSet()

    def begin(self) -> None:
        """Locks that were held before aren't the test's."""
        self._known.update(_held())

    def test_begins(self, loops: Sequence[BenchLoop]) -> None:
        """Nor are those of its fixtures."""
        if loops:
            self._known.update(_held())

    def loop_ends(self, loop: BenchLoop) -> None:
        """The holders are still there to be named."""
        self._say(tasks.all_tasks(loop))

    def loop_closes(self, loop: BenchLoop) -> None:
        """A program may close its loop without a runner."""
        self._say(tasks.all_tasks(loop))

    def end(self, loops: Sequence[BenchLoop]) -> None:
        """The loops live on."""
        for loop in loops:
            self._say(tasks.all_tasks(loop))

    def _say(self, pending: set[Any]) -> None:
        for lock in _held():
            if lock in self._known:
                continue
            self._known.add(lock)
            holders = waits.holders(lock, pending)
            by = ", ".join(stacks.brief(task) for task in holders)
            who = f"held by {by}" if by else "whose holder has ended or isn't inside an `async with`"
            self._found.append(f"The test left a lock held: {stacks.describe(lock)}, {who}.")


def _held() -> list[Any]:
    return [lock for lock in objects_of((asyncio.Lock, _ferrio.Lock)) if objects.call(lock, "locked") is True]
