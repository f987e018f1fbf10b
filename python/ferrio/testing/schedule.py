"""Schedules: which of the things that were ready ran next, at each choice of a run.

A schedule is a list of numbers, one for each choice. Zero is what has been ready longest, as on asyncio's loop. As
text, zeros are counted: "z12.2.z3.1" is twelve zeros, a 2, three zeros, a 1. Zeros at the end are left out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

__all__ = ("parse", "shrink", "text")


def text(choices: Iterable[int]) -> str:
    """Returns a schedule as text."""
    parts, zeros = [], 0
    for choice in choices:
        if choice == 0:
            zeros += 1
            continue
        if zeros:
            parts.append(f"z{zeros}")
        parts.append(str(choice))
        zeros = 0
    return ".".join(parts) or "z0"


def parse(schedule: str) -> list[int]:
    """Returns the numbers of a schedule in text. Raises `ValueError` if it is none, `TypeError` if it isn't text."""
    if not isinstance(schedule, str):
        raise TypeError(f"a schedule is text, such as 'z12.2.z3.1', not {schedule!r}; a file is for replay_recording()")
    choices: list[int] = []
    for part in schedule.split("."):
        found = re.fullmatch(r"(z?)(\d{1,9})", part.strip())
        if found is None:
            raise ValueError(f"{schedule!r} isn't a schedule, such as 'z12.2.z3.1': {part!r} is no number")
        choices += [0] * int(found[2]) if found[1] else [int(found[2])]
    return choices


def shrink(
    choices: Sequence[int], attempt: Callable[[list[int]], Sequence[int] | None], runs: int = 300
) -> tuple[list[int], int]:
    """Returns a schedule that differs less from asyncio's order and still fails, and how many runs that took.

    `attempt` runs a schedule; it returns what was chosen if that fails in the same way, else `None`. First whole groups
    of choices become zeros, then smaller ones, and at last single ones. It stops after `runs` runs.
    """
    best, used = _trimmed(choices), 0
    size = max(1, sum(map(bool, best)) // 2)
    while used < runs:
        places = [at for at, choice in enumerate(best) if choice]
        groups = [places[at : at + size] for at in range(0, len(places), size)]
        smaller = None
        # The last ones first: without them the schedule is shorter.
        for group in reversed(groups):
            if used == runs:
                break
            used += 1
            taken = attempt(_trimmed(0 if at in group else choice for at, choice in enumerate(best)))
            if taken is not None and _weight(taken) < _weight(best):
                smaller = _trimmed(taken)
                break
        if smaller is not None:
            best = smaller
        elif size == 1:
            break
        else:
            size = max(1, size // 2)
    return best, used


def _weight(choices: Sequence[int]) -> tuple[int, int, int]:
    trimmed = _trimmed(choices)
    return sum(map(bool, trimmed)), len(trimmed), sum(trimmed)


def _trimmed(choices: Iterable[int]) -> list[int]:
    trimmed = list(choices)
    while trimmed and trimmed[-1] == 0:
        trimmed.pop()
    return trimmed
