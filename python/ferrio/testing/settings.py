"""What a test wants: `Settings`, and how marks and configuration make them.

Invariant: a setting is checked when it is read, so a wrong one fails the test that has it.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ("CHECKS", "Settings")

# The checks that `checks=True` turns on. `blocking` needs a number of seconds.
CHECKS = ("tasks", "exceptions", "transports", "servers", "locks", "semaphores")


@dataclasses.dataclass(frozen=True)
class Settings:
    """What a test's loops are, and what is checked at its end."""

    virtual_time: bool = False
    """Whether the loops' clock jumps to the next deadline when there is nothing else to do."""
    wall_clock: Any = None
    """When `datetime.now()` begins, as freezegun or time-machine takes it. `True` means now, `None` that it doesn't
    move along with virtual time."""
    patience: float = 10.0
    """With virtual time: how many seconds something outside the loop may take to wake it."""
    tasks: bool = False
    """Fail if the test leaves tasks."""
    exceptions: bool = False
    """Fail if nobody handles an exception."""
    transports: bool = False
    """Fail if the test leaves a transport open."""
    servers: bool = False
    """Fail if the test leaves a server listening."""
    locks: bool = False
    """Fail if the test leaves a lock held."""
    semaphores: bool = False
    """Fail if a semaphore has fewer permits at the end than at first."""
    blocking: float | None = None
    """Fail if a step or callback takes more than so many seconds."""

    def __post_init__(self) -> None:
        if self.wall_clock is not None and not self.virtual_time:
            raise ValueError("wall_clock makes datetime.now() follow virtual time: it needs virtual_time=True")
        _seconds("patience", self.patience)
        if self.blocking is not None:
            _seconds("blocking", self.blocking)

    def changed(self, *options: Mapping[str, Any]) -> Settings:
        """Returns these settings with the options of marks; later ones win.

        Raises `ValueError` for an unknown or unusable option.
        """
        wanted: dict[str, Any] = {}
        known = {field.name for field in dataclasses.fields(self)}
        for each in options:
            if unknown := sorted(set(each) - known - {"checks"}):
                raise ValueError(f"unknown option {unknown[0]!r}; there are: {', '.join(sorted(known | {'checks'}))}")
            if (checks := each.get("checks")) is not None:
                wanted |= dict.fromkeys(CHECKS, _flag("checks", checks))
            wanted |= {name: value for name, value in each.items() if name != "checks"}
        for name in ("virtual_time", *CHECKS):
            if name in wanted:
                _flag(name, wanted[name])
        for name in ("wall_clock", "blocking"):
            if wanted.get(name) is False:
                wanted[name] = None
        return dataclasses.replace(self, **wanted)

    def with_checks(self, names: Iterable[str]) -> Settings:
        """Returns these settings with the named checks; "all" means all that need no number."""
        wanted = list(names)
        if unknown := [name for name in wanted if name not in (*CHECKS, "all")]:
            raise ValueError(f"unknown check {unknown[0]!r}; there are: {', '.join(CHECKS)}, all")
        return dataclasses.replace(self, **{name: True for name in CHECKS if name in wanted or "all" in wanted})


def _flag(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{name} must be True or False, not {value!r}")
    return value


def _seconds(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise ValueError(f"{name} must be a positive number of seconds, not {value!r}")
