"""No lock is left held: who acquires a `Lock` releases it before the test ends.

A holder is known while it is inside an `async with` of the lock.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Sequence
from typing import Any

from ferrio import _ferrio, tasks
from ferrio.sight import objects, stacks, waits
from ferrio.testing.check import LeftCheck
from ferrio.testing.loops import BenchLoop
from ferrio.testing.population import objects_of

__all__ = ("LocksCheck",)


class LocksCheck(LeftCheck):
    """Finds locks that are held, and names their holders."""

    kinds = (asyncio.Lock, _ferrio.Lock)

    def __init__(self) -> None:
        super().__init__()
        self._known: weakref.WeakSet[Any] = weakref.WeakSet()

    def begin(self) -> None:
        """Locks that were held before aren't the test's."""
        self._known.update(self.held())

    def test_begins(self, loops: Sequence[BenchLoop]) -> None:
        """Nor are those of its fixtures."""
        if loops:
            self._known.update(self.held())

    def left(self, loop: BenchLoop) -> None:
        """The holders are still there to be named."""
        pending = tasks.all_tasks(loop)
        for lock in self.held():
            if lock in self._known:
                continue
            self._known.add(lock)
            by = ", ".join(stacks.brief(task) for task in waits.holders(lock, pending))
            self._found.append(
                self.words(lock, f"held by {by}" if by else "whose holder has ended or isn't inside an `async with`")
            )

    def held(self) -> list[Any]:
        """Returns those that are held now."""
        return [lock for lock in objects_of(self.kinds) if objects.call(lock, "locked") is True]

    def words(self, thing: Any, who: str) -> str:
        """Returns the problem."""
        return f"The test left a lock held: {stacks.describe(thing)}, {who}."
