"""The orders of a test's loops, for a test runner that runs the test again and again.

A test has no `main` that `explore` could run: its loops are made by plugins and by `asyncio.run`. So each loop of the
test gets an order of its own when it is made, and its choices are read at the end. A schedule of several loops is
theirs, joined by slashes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ferrio.testing import running, schedule

__all__ = ("Orders", "parse", "shrink", "text")

_RUNS = 100


class Orders:
    """The orders of the loops of one test, in one run."""

    def __init__(
        self, *, seed: int | None = None, schedules: Sequence[Sequence[int]] = (), with_steps: bool = False
    ) -> None:
        """By a seed, or by a schedule for each loop. A loop that has none runs in asyncio's order."""
        self.schedules: list[bytes] = []
        """What was chosen in each loop, after the test."""
        self.varies = False
        """Whether there was another order, after the test."""
        self.departed = False
        """Whether a schedule wasn't possible, after the test."""
        self._seed = seed
        self._given = schedules
        self._with_steps = with_steps
        self._steps: list[list[running.Step]] = []
        self._loops: list[Any] = []

    def begin(self, loop: Any) -> None:
        """Orders a loop from now on."""
        number = len(self._loops)
        self._loops.append(loop)
        self._steps.append([])
        tell = running.Teller(self._steps[-1], None) if self._with_steps else None
        if self._seed is not None:
            # Two loops of one test don't choose alike.
            loop._set_order("random", seed=self._seed + (number << 32), tell=tell)
        else:
            choices = self._given[number] if number < len(self._given) else ()
            loop._set_order("fixed", choices=choices, tell=tell)

    def end(self) -> None:
        """Gives the loops back, after the test."""
        for number, loop in enumerate(self._loops):
            chosen, _of, departed = loop._end_order()
            self.schedules.append(chosen)
            self.varies = self.varies or len(chosen) > 0
            given = len(self._given[number]) if number < len(self._given) else 0
            self.departed = self.departed or departed is not None or len(chosen) < given
        self.departed = self.departed or len(self._loops) < len(self._given)
        self._loops.clear()

    def steps_in_words(self) -> str:
        """Returns what ran, a line each."""
        return "\n".join(running.steps_in_words(steps) for steps in self._steps if steps)


def text(schedules: Sequence[Sequence[int]]) -> str:
    """Returns the schedules of a test's loops as text."""
    return "/".join(map(schedule.text, schedules)) or schedule.text(())


def parse(schedules: str) -> list[list[int]]:
    """Returns the schedules in a text. Raises `ValueError` if it has something else."""
    return [schedule.parse(part) for part in schedules.split("/")]


def shrink(
    schedules: Sequence[Sequence[int]], attempt: Callable[[list[list[int]]], Sequence[Sequence[int]] | None]
) -> list[list[int]]:
    """Returns schedules that differ less from asyncio's order and still fail.

    `attempt` runs some; it returns what was chosen if that fails in the same way, else `None`.
    """
    best = [list(each) for each in schedules]
    for number in range(len(best)):

        def attempt_one(choices: list[int], number: int = number) -> Sequence[int] | None:
            done = attempt([*best[:number], choices, *best[number + 1 :]])
            return None if done is None or len(done) <= number else done[number]

        best[number], _used = schedule.shrink(best[number], attempt_one, _RUNS)
    while best and not best[-1]:
        best.pop()
    return best
