"""No task is left: a test that ends has ended the tasks that it began.

A task is left if it ends only because its loop does: a runner cancels it, or the loop is closed. On a loop that lives
on, those tasks are left that began in the test itself and outlived its fixtures.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Sequence
from typing import Any

from ferrio import tasks
from ferrio.sight import objects, stuck
from ferrio.testing.check import LeftCheck
from ferrio.testing.loops import BenchLoop

__all__ = ("TasksCheck",)

# The task in which anyio's plugin runs tests and fixtures one after the other.
_OF_ANYIO = "TestRunner._run_tests_and_fixtures"

# A task may outlive the test that left it.
_said: weakref.WeakSet[Any] = weakref.WeakSet()


class TasksCheck(LeftCheck):
    """Finds tasks that are left, and says where each stands."""

    def __init__(self) -> None:
        super().__init__()
        self._known: weakref.WeakSet[Any] = weakref.WeakSet()

    def test_begins(self, loops: Sequence[BenchLoop]) -> None:
        """Tasks of fixtures aren't the test's."""
        for loop in loops:
            self._known.update(tasks.all_tasks(loop))

    def left(self, loop: BenchLoop) -> None:
        """All that are pending are left."""
        self._say(tasks.all_tasks(loop))

    def end(self, loops: Sequence[BenchLoop]) -> None:
        """The loops live on, and so may the tasks of their fixtures."""
        for loop in loops:
            self._say(task for task in tasks.all_tasks(loop) if task not in self._known)

    def _say(self, pending: Iterable[Any]) -> None:
        left = [task for task in pending if task not in _said and not _is_of_plugin(task)]
        if left:
            lines = stuck.tree(left).partition("\n")[2]
            self._found.append(f"The test left {len(left)} task(s):\n{lines}")
            _said.update(left)


def _is_of_plugin(task: Any) -> bool:
    name = objects.value(objects.coro_of(task), "__qualname__")
    return isinstance(name, str) and name == _OF_ANYIO
