"""Partial-order reduction: of orders that differ only in steps that have nothing in common, one is tried.

This is a search with sleep sets (Godefroid, 1996). Where several tasks are ready, each is tried in turn. Once one was,
it sleeps in the branches of the others, until a step runs there that has something in common with its own
(`footprint`). A branch in which everything sleeps has only orders that are equal to some that were tried.

What isn't a task's step, such as a callback or the result of a thread, has something in common with everything. So have
two steps that both schedule callbacks, because these keep their order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ferrio.testing import footprint

__all__ = ("Reduction",)

# The key of the callbacks (`core/event_loop/ordered.rs`).
_CALLBACKS = 0

_Candidate = tuple[int, Any]


class _Node:
    """One step of the path that is being tried."""

    def __init__(self, keys: list[int], asleep: dict[int, bool], current: int) -> None:
        self.keys = keys
        # Both have, for each key, whether its step schedules callbacks.
        self.asleep = asleep
        self.tried: dict[int, bool] = {}
        self.current = current
        self.schedules = True


class Reduction:
    """Walks through the orders of a program. `ask` is for the loop's `_set_order`."""

    def __init__(self) -> None:
        self._path: list[_Node] = []
        self._depth = 0
        self.is_redundant = False
        """Whether the run goes on like one that was tried, or the program isn't deterministic."""
        self._task: Any = None
        self._apart: dict[int, bool] | None = None
        self._asleep: dict[int, bool] = {}

    def ask(self, candidates: Sequence[_Candidate]) -> int:
        """Returns which of the candidates runs next."""
        keys = [key for key, _task in candidates]
        self._step_ended(_CALLBACKS in keys)
        if self.is_redundant:
            return 0
        depth, self._depth = self._depth, self._depth + 1
        if depth == len(self._path):
            current = next((key for key in keys if key not in self._asleep), None)
            if current is None:
                self.is_redundant = True
                return 0
            self._path.append(_Node(keys, self._asleep, current))
        node = self._path[depth]
        if node.current not in keys:
            self.is_redundant = True
            return 0
        if depth == len(self._path) - 1:
            self._step_begins(node, dict(candidates))
        return keys.index(node.current)

    def next(self) -> bool:
        """Comes after a run. Returns whether there is another order to try."""
        self._step_ended(True)
        self._depth, self.is_redundant = 0, False
        while self._path:
            node = self._path[-1]
            node.tried[node.current] = node.schedules
            rest = (key for key in node.keys if key not in node.tried and key not in node.asleep)
            current = next(rest, None)
            if current is not None:
                node.current, node.schedules = current, True
                return True
            self._path.pop()
        return False

    def _step_begins(self, node: _Node, tasks: dict[int, Any]) -> None:
        self._task = tasks[node.current]
        self._apart = {}
        others = {**node.asleep, **node.tried}
        mine = footprint.of_step(self._task) if others and self._task is not None else None
        if mine is None:
            return
        for key, schedules in others.items():
            other = tasks.get(key)
            theirs = footprint.of_step(other) if other is not None else None
            if theirs is not None and mine.is_apart_from(theirs):
                self._apart[key] = schedules

    def _step_ended(self, callbacks: bool) -> None:
        if self._apart is None:
            return
        schedules = callbacks or self._task is None or self._task.done()
        self._path[-1].schedules = schedules
        self._asleep = {key: also for key, also in self._apart.items() if not (schedules and also)}
        self._task = self._apart = None
