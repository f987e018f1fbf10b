"""`Check`: what a bench tells each of its checks, and what a check finds.

Invariant: a check says each problem once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ferrio.testing.loops import BenchLoop

__all__ = ("Check", "LeftCheck")


class Check:
    """Looks at one kind of thing that a test may leave behind. Each method does nothing by default."""

    #: Of which classes it looks at objects, by `population.objects_of`.
    kinds: tuple[type, ...] = ()

    def __init__(self) -> None:
        self._found: list[str] = []
        # Whether a loop may run something of this test; set by the bench.
        self.owns: Callable[[Any], bool] = lambda loop: True

    def begin(self) -> None:
        """Before the fixtures."""

    def test_begins(self, loops: Sequence[BenchLoop]) -> None:
        """Before the test itself, with the loops that are open."""

    def loop_ends(self, loop: BenchLoop) -> None:
        """Before a runner cancels the remaining tasks of `loop`."""

    def loop_closes(self, loop: BenchLoop) -> None:
        """Before `loop` is closed."""

    def loop_failed(self, loop: BenchLoop, context: dict[str, Any]) -> None:
        """Before the exception handler of `loop` is called."""

    def test_ends(self) -> None:
        """After the test itself."""

    def end(self, loops: Sequence[BenchLoop]) -> None:
        """After the fixtures, with the loops that are still open."""

    def close(self) -> None:
        """Undoes what `begin` did."""

    def take(self) -> list[str]:
        """Returns what was found since the last call."""
        found, self._found = self._found, []
        return found


class LeftCheck(Check):
    """Looks at what a loop leaves as soon as its end begins: when a runner cancels its tasks, or it is closed."""

    def left(self, loop: BenchLoop) -> None:
        """Says what `loop` leaves."""

    def loop_ends(self, loop: BenchLoop) -> None:
        """A runner cancels what is left."""
        self.left(loop)

    def loop_closes(self, loop: BenchLoop) -> None:
        """A program may close its loop without a runner."""
        self.left(loop)

    def end(self, loops: Sequence[BenchLoop]) -> None:
        """The loops live on."""
        for loop in loops:
            self.left(loop)
