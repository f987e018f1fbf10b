"""The data of a trace: rows with their slices, waits and wake-ups, as a recorder saw them.

`_ferrio._Recorder.picture()` makes tables whose columns are bytes: little-endian numbers, times as differences. Here
they are read, for `perfetto`, and packed, for the page. Times are nanoseconds from the beginning of the trace.
"""

from __future__ import annotations

import base64
import itertools
import os
import platform
import sys
import zlib
from array import array
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import ferrio

__all__ = ("BLOCKING", "NONE", "VERSION", "Poll", "Slice", "Trace", "Wait", "Wake")

# The version of the data's format, for the page.
VERSION = 1

# Stands for no row and no label.
NONE = 0xFFFFFFFF

# A slice that takes longer, in nanoseconds, blocks its loop.
BLOCKING = 100_000_000

# The kinds of slices, by their numbers.
STEP, CALLBACK, IO, JOB, INTERPRETER = range(5)

# The columns of each table: times first, which are differences.
_COLUMNS = {
    "slices": ("start", "length", "row", "label", "kind"),
    "wakes": ("time", "from", "to", "label", "delay"),
    "waits": ("start", "length", "row", "label"),
    "polls": ("start", "length", "lane"),
}
_LONG = ("length", "delay")

# The frames of these aren't the program's: the package, and what runs a module.
_PACKAGE = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "")
_NOT_THE_PROGRAMS = (_PACKAGE, "<frozen runpy>")


class Slice(NamedTuple):
    """A time in which a row did something."""

    start: int
    length: int
    row: int
    label: int
    kind: int


class Wake(NamedTuple):
    """A wake-up; `delay` is the time until what was woken ran."""

    time: int
    source: int
    target: int
    label: int
    delay: int


class Wait(NamedTuple):
    """A time in which a task waited, or a job in a queue."""

    start: int
    length: int
    row: int
    label: int


class Poll(NamedTuple):
    """A time in which a loop waited in the kernel."""

    start: int
    length: int
    lane: int


class Trace:
    """What a recorder saw; `picture` is what `_Recorder.picture()` returned.

    `ended` is the time at the end of the picture, in Unix seconds. `whole`: it shows all that happened.
    """

    def __init__(self, picture: dict[str, Any], *, ended: float, whole: bool, threshold: int = BLOCKING) -> None:
        self._picture = picture
        self.duration: int = picture["duration"]
        self.began = ended - self.duration / 1e9
        self.whole = whole
        self.threshold = threshold
        self.lost: int = picture["lost"]
        self.lanes: list[dict[str, Any]] = picture["lanes"]
        self.rows: list[dict[str, Any]] = picture["rows"]
        self.labels: list[str] = picture["labels"]
        self.stacks = [_of_the_program(stack) for stack in picture["stacks"]]
        self.program = os.path.basename(sys.argv[0]) if sys.argv and sys.argv[0] else "python"
        self.pid = os.getpid()

    def label(self, number: int) -> str | None:
        """Returns the text of a label; `None` for `NONE`."""
        return None if number == NONE else self.labels[number]

    def slices(self) -> Iterator[Slice]:
        """What ran, sorted by its beginning."""
        return map(Slice._make, self._entries("slices"))

    def wakes(self) -> Iterator[Wake]:
        """What woke what, sorted by time."""
        return map(Wake._make, self._entries("wakes"))

    def waits(self) -> Iterator[Wait]:
        """What tasks waited for, sorted by the beginning."""
        return map(Wait._make, self._entries("waits"))

    def polls(self) -> Iterator[Poll]:
        """When loops waited in the kernel, sorted by the beginning."""
        return map(Poll._make, self._entries("polls"))

    def count(self, table: str) -> int:
        """Returns how many entries a table has: "slices", "wakes", "waits" or "polls"."""
        count: int = self._picture[table]["count"]
        return count

    def stack(self, number: int | None) -> list[tuple[str, int, str]]:
        """Returns the places of a stack, as (file, line, function), the innermost last."""
        return [] if number is None else self.stacks[number]

    def packed(self) -> dict[str, Any]:
        """Returns the object that the page reads."""
        frames: dict[tuple[str, int, str], int] = {}
        stacks = [[frames.setdefault(frame, len(frames)) for frame in stack] for stack in self.stacks]
        made = {
            "version": VERSION,
            "program": self.program,
            "pid": self.pid,
            "python": platform.python_version(),
            "ferrio": ferrio.__version__,
            "began": self.began,
            "duration": self.duration,
            "lost": self.lost,
            "whole": self.whole,
            "threshold": self.threshold,
            "lanes": self.lanes,
            "rows": self.rows,
            "frames": list(frames),
            "stacks": stacks,
            "labels": self.labels,
        }
        for table, columns in _COLUMNS.items():
            known = self._picture[table]
            packed = {column: _pack(known.get(column, b"")) for column in columns}
            made[table] = {"count": known["count"], **packed}
        return made

    def _entries(self, table: str) -> Iterator[tuple[int, ...]]:
        return zip(*(self._column(table, at) for at in range(len(_COLUMNS[table]))), strict=True)

    def _column(self, table: str, at: int) -> Sequence[int] | Iterator[int]:
        name = _COLUMNS[table][at]
        data: bytes = self._picture[table].get(name, b"")
        if name == "kind":
            return data
        numbers = _numbers(data)
        if at == 0:
            return itertools.accumulate(_longs(numbers))
        return _longs(numbers) if name in _LONG else numbers


def _of_the_program(stack: list[tuple[str, int, str]]) -> list[tuple[str, int, str]]:
    return [frame for frame in stack if not frame[0].startswith(_NOT_THE_PROGRAMS)]


def _numbers(data: bytes) -> array[int]:
    numbers = array("I")
    numbers.frombytes(data)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers


def _longs(numbers: array[int]) -> Sequence[int]:
    """Joins those that didn't fit into 32 bits."""
    if NONE not in numbers:
        return numbers
    each = iter(numbers)
    return [next(each) | next(each) << 32 if number == NONE else number for number in each]


def _pack(data: bytes) -> str:
    return base64.b64encode(zlib.compress(data, 6)).decode("ascii")
