"""`replay_recording`: runs a program in the order that `--record=order.bin` has written, and says where it departs.

The loop (`_ferrio._Recorded`, `Loop._follow`) runs what ran then. It waits in real time for results of threads and for
descriptors, until that which came next is there. Its clock shows what it showed then.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import os
from collections.abc import Iterator
from typing import Any

from ferrio import _ferrio, _install
from ferrio.sight import objects, stacks
from ferrio.testing import running
from ferrio.testing.running import Departed, Main
from ferrio.testing.stuck import Judge

__all__ = ("Replayed", "replay_recording")

# How many of the latest steps are told.
_LATEST = 20

# How many of the things that are ready are told.
_READY = 8


@dataclasses.dataclass(frozen=True)
class Replayed:
    """How far a program has followed a recording, without failing."""

    steps: int
    """How many steps ran as they did then."""


def replay_recording(main: Main, path: str | os.PathLike[str], /, *, loop: int = 1, patience: float = 5.0) -> Replayed:
    """Runs `main()` in the order of a recording, and raises what it raises, with a note of the latest steps.

    `main` is what the program gave to `asyncio.run`. `loop` is the number of the loop in the recording, as they began:
    1 is the first. If the program ran with `python -m ferrio`, ferrio's names are in `asyncio` meanwhile. For results
    of threads and other processes it waits up to `patience` seconds.

    Raises `Departed` where the program does something else than it did then: it has changed, or depends on more than
    the order. If it fails afterwards, the note says where it departed. Raises `OSError` if the file can't be read, and
    `ValueError` if it isn't a recording, or has no such loop.
    """
    running.check_call("replay_recording", main)
    follow = Follow(path, loop, patience)
    with follow.names():
        done = running.run(main, follow, before=follow.note)
    if done.error is not None:
        done.error.add_note(f"ferrio.testing: replayed {os.fspath(path)}. {follow.outcome()}")
        raise done.error
    if follow.departure is not None:
        raise Departed(follow.departure + follow.latest())
    return Replayed(follow.steps)


class Follow:
    """The order of a recording, for one run."""

    def __init__(self, path: str | os.PathLike[str], number: int, patience: float) -> None:
        with open(path, "rb") as file:
            content = file.read()
        try:
            self._recorded = _ferrio._Recorded(content)
        except ValueError as error:
            raise ValueError(f"{os.fspath(path)}: {error}") from None
        loops = dict(self._recorded.loops())
        if number not in loops:
            known = f"there are loops {', '.join(map(str, loops))}" if loops else "no loop has run"
            raise ValueError(f"{os.fspath(path)}: there is no loop {number} in this recording: {known}")
        self._number = number
        self._installed = loops[number]
        self._patience = patience
        self._judge = Judge(patience)
        self._latest: collections.deque[str] = collections.deque(maxlen=_LATEST)
        self.clock = _ferrio._VirtualClock()
        self.steps = 0
        self.departure: str | None = None

    @contextlib.contextmanager
    def names(self) -> Iterator[None]:
        """Puts into `asyncio` what was there when the program was recorded: ferrio's names, or its own."""
        before = _install.is_installed()
        if before is not self._installed:
            (_install.install if self._installed else _install.uninstall)()
        try:
            yield
        finally:
            if before is not self._installed:
                (_install.install if before else _install.uninstall)()

    def begin(self, loop: Any, tell: Any) -> None:
        """Makes `loop` follow the recording."""
        loop._follow(self._recorded, self._number, self._may_come, self._departs, tell)

    def end(self, loop: Any) -> None:
        """The run is over."""
        self.steps = loop._end_following()

    def note(self, thing: Any) -> None:
        """Called before each step."""
        if self.departure is None:
            self._latest.append(_in_short(thing))

    def outcome(self) -> str:
        """Says how far the program has followed the recording, with the latest steps."""
        if self.departure is not None:
            return self.departure + self.latest()
        return f"It ran {self.steps} steps as they ran then.{self.latest()}"

    def latest(self) -> str:
        """The latest steps, a line each."""
        lines = [f"  {line}" for line in self._latest]
        return "\n".join([f"\nThe last {len(lines)} steps before:", *lines]) if lines else ""

    def _may_come(self, seconds: float, watched: int, calls: bool) -> bool:
        """Whether to go on waiting for what ran next, after so many seconds."""
        return seconds < self._patience and (calls or bool(self._judge.what_may_come(watched)))

    def _departs(self, missing: Any, ready: list[Any], count: int) -> None:
        step, known, task, waited = missing
        if known is None:
            wanted = waited
        else:
            number, name, coroutine = known
            label = "the main task" if number == 0 else f"task {name!r}" if name else f"task number {number + 1}"
            end = f" goes on after {waited}" if waited else ""
            wanted = f"{label} ({coroutine}){end}"
            wanted += (
                f"; now it is at {running.place_of(task)}" if task is not None else "; now there is none, or it is done"
            )
        lines = [f"  {_in_words(thing)}" for thing in ready[:_READY]]
        if count > len(lines):
            lines.append(f"  ... {count - len(lines)} more")
        instead = "\n".join(["Ready instead:", *lines]) if lines else "Nothing was ready instead."
        self.departure = (
            f"The program departs from the recording at step {step + 1}.\nThe next step was: {wanted}\n{instead}"
        )


def _in_words(thing: Any) -> str:
    if not running.is_task(thing):
        return stacks.brief(thing)
    place = running.place_of(thing)
    return f"{stacks.brief(thing)} at {place}" if place else stacks.brief(thing)


def _in_short(thing: Any) -> str:
    """A step in words that cost little: there may be millions."""
    if not running.is_task(thing):
        return stacks.brief(thing)
    coroutine = objects.coro_of(thing)
    frame = getattr(coroutine, "cr_frame", None)
    place = "" if frame is None else f" at {frame.f_code.co_filename}:{frame.f_lineno}"
    return f"task {thing.get_name()!r} ({getattr(coroutine, '__qualname__', coroutine)}){place}"
