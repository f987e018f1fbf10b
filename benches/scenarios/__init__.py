"""The scenarios that `benches/run.py` times, and the register that keeps them in order.

A scenario is `async def body(aio, n) -> operations`. It takes a namespace with asyncio's names and a count, does the
work, and returns how many operations that was. A file holds a family. Clocks, processes and statistics are elsewhere
(`worker.py`, `run.py`, `report.py`).

Invariant: one body serves every implementation. No body asks which implementation runs it, and each is written as a
program would write it.
"""

import importlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

# The order of the table.
FAMILIES = (
    "callbacks",
    "tasks",
    "groups",
    "futures",
    "queues",
    "locks",
    "timers",
    "deadlines",
    "threads",
    "cancelling",
)

# Families measured by another command than `run.py`.
OTHER_FAMILIES = ("children",)

Body = Callable[[Any, int], Awaitable[int]]


@dataclass(frozen=True)
class Scenario:
    """A row of the table."""

    name: str
    """Its name in the table."""
    n: int
    """The count that a full run passes to `body`."""
    judged: str | None
    """The clock that judges the row: "wall", "cpu" (rows that wait on purpose), or None: only shown."""
    unit: int
    """The smallest sensible count; counts are multiples of it."""
    body: Body

    def count(self, share: float) -> int:
        """Return the count for a run that does `share` (0 to 1) of the full work: a multiple of `unit`."""
        return max(self.unit, round(self.n * share) // self.unit * self.unit)


REGISTER: list[Scenario] = []


def scenario(name: str, *, n: int, judged: str | None = "wall", unit: int = 100) -> Callable[[Body], Body]:
    """Register the decorated body as a scenario; the parameters are `Scenario`'s fields."""

    def register(body: Body) -> Body:
        REGISTER.append(Scenario(name, n, judged, unit, body))
        return body

    return register


def load(families: tuple[str, ...] = FAMILIES) -> list[Scenario]:
    """Import the families and return their scenarios in the order of the table."""
    homes = [importlib.import_module(f"{__name__}.{family}").__name__ for family in families]
    return [each for home in homes for each in REGISTER if each.body.__module__ == home]
