"""No permit is lost: a semaphore has as many at the end of a test as when it was made, or when the test began.

asyncio's semaphores don't keep how many they had, so the check notes it as they are made.

Invariant: the classes are what they were after the test.
"""

from __future__ import annotations

import asyncio
import functools
import weakref
from collections.abc import Callable
from typing import Any

from ferrio import _ferrio
from ferrio.sight import objects, stacks
from ferrio.testing.locks import LocksCheck
from ferrio.testing.population import objects_of

__all__ = ("SemaphoresCheck",)

_KINDS: tuple[Any, ...] = (asyncio.Semaphore, _ferrio.Semaphore)

# All classes that set how many permits there are: ferrio's and asyncio's, whichever `asyncio` has now.
_CLASSES: set[Any] = {
    each
    for kind in (*_KINDS, asyncio.BoundedSemaphore, _ferrio.BoundedSemaphore)
    for each in kind.__mro__
    if each.__name__ in ("Semaphore", "BoundedSemaphore") and "__init__" in vars(each)
}


class SemaphoresCheck(LocksCheck):
    """Finds semaphores that have fewer permits than at first, and names those who hold them."""

    kinds = _KINDS

    def __init__(self) -> None:
        super().__init__()
        self._first: weakref.WeakKeyDictionary[Any, Any] = weakref.WeakKeyDictionary()
        self._replaced: list[tuple[Any, Any]] = []

    def begin(self) -> None:
        """Notes how many permits each semaphore has, and those that are made from now on."""
        for semaphore in objects_of(self.kinds):
            self._first[semaphore] = objects.value(semaphore, "_value")
        for each in _CLASSES:
            before = vars(each)["__init__"]
            self._replaced.append((each, before))
            each.__init__ = self._noting(before)

    def close(self) -> None:
        """Puts back what was there."""
        while self._replaced:
            each, before = self._replaced.pop()
            each.__init__ = before

    def _noting(self, initialize: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(initialize)
        def noting(semaphore: Any, *arguments: Any, **keywords: Any) -> None:
            initialize(semaphore, *arguments, **keywords)
            self._first[semaphore] = objects.value(semaphore, "_value")

        return noting

    def held(self) -> list[Any]:
        """Returns those that have fewer permits than at first."""
        return [semaphore for semaphore in objects_of(self.kinds) if self._missing(semaphore)]

    def words(self, thing: Any, who: str) -> str:
        """Returns the problem."""
        missing, first = self._missing(thing), self._first[thing]
        return f"The test left a semaphore with {missing} of {first} permit(s) taken: {stacks.describe(thing)}, {who}."

    def _missing(self, semaphore: Any) -> int:
        first, now = self._first.get(semaphore), objects.value(semaphore, "_value")
        # `math.inf` is a first value, too.
        return first - now if isinstance(first, int) and isinstance(now, int) and now < first else 0
