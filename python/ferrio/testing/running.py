"""Runs of a program on a loop whose order is chosen.

The loop is on virtual time, and runs one thing a turn (`ferrio_engine::order`). What reaches its exception handler
fails the run, too.

Invariant: each run has a loop that a program can't tell from a new one. It is the one of the run before if nothing is
left on it and nobody refers to it any more.
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
import re
import weakref
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Protocol, Self

from ferrio import _ferrio, _loop, runners
from ferrio.sight import stacks, waits
from ferrio.testing.stuck import Judge

__all__ = (
    "Bench",
    "Departed",
    "Main",
    "Order",
    "Run",
    "Step",
    "Teller",
    "check_call",
    "is_task",
    "place_of",
    "run",
    "steps_in_words",
)

Main = Callable[[], Coroutine[Any, Any, Any]]

# For how many seconds a run may wait for other threads or a network, when it has no timer.
_PATIENCE = 10.0

# Whose lines say nothing about the program.
_LIBRARIES = tuple(
    os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(file))), name) + os.sep
    for file, name in ((asyncio.__file__, "asyncio"), (_loop.__file__, "ferrio"))
)


class Departed(AssertionError):
    """The program has gone another way than the schedule: it isn't the same any more, or not deterministic."""


class Order(Protocol):
    """An order that isn't one of the loop's own ways."""

    clock: Any
    """The clock of the loop."""

    def begin(self, loop: Any, tell: Any) -> None:
        """Before the program runs on `loop`. `tell` is called before each thing that runs, as `_set_order` has it."""

    def end(self, loop: Any) -> None:
        """After the program."""


@dataclasses.dataclass
class Step:
    """One thing that ran."""

    what: str
    """The task or callback, in words."""
    where: str
    """The file and line where the task stood, with the line's text."""
    chosen: int
    """Which of the candidates it was; zero is the one that had been ready longest."""
    of: int
    """How many candidates there were."""


@dataclasses.dataclass(slots=True)
class Run:
    """How a run went."""

    schedule: bytes
    """What was chosen, wherever there were at least two."""
    of: bytes
    """Of how many it was chosen."""
    departed: int | None
    """The number of the first given choice that wasn't possible."""
    error: BaseException | None
    """What it raised."""
    steps: list[Step]
    """What ran, if that was asked for."""


class Bench:
    """Runs programs, one after the other."""

    def __init__(self, *, virtual_time: bool = True, clock: Any = None) -> None:
        """`clock` is that of the first loop, if it isn't to have one of its own."""
        self._virtual_time = virtual_time
        self._clock = clock
        self._loop: Any = None
        # How many references a loop has that nobody else refers to.
        self._references = 0
        self._judge = Judge(_PATIENCE)
        self._problems: list[BaseException] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._close()

    def run(
        self,
        main: Main,
        order: dict[str, Any] | Order,
        *,
        with_steps: bool = False,
        before: Callable[[Any], None] | None = None,
    ) -> Run:
        """Runs `main()` in an order, which may be the arguments of `_set_order`. What it raises is in the result.

        `before` is called with the task or callback that runs next. Raises only `KeyboardInterrupt` and `SystemExit`.
        """
        if self._loop is None:
            self._open()
        steps: list[Step] = []
        tell = Teller(steps if with_steps else None, before) if with_steps or before is not None else None
        try:
            self._loop.set_exception_handler(self._note)
            if isinstance(order, dict):
                self._loop._set_order(tell=tell, **order)
            else:
                order.begin(self._loop, tell)
            error, chosen, of, departed = self._loop._run_in_order(main)
        finally:
            if not isinstance(order, dict):
                order.end(self._loop)
            # Most programs leave nothing, and nobody refers to the loop.
            if not self._renewed():
                self._end()
        if self._problems:
            error = error or self._problems[0]
            self._problems = []
        return Run(chosen, of, departed, error, steps)

    def _open(self) -> None:
        clock, self._clock = self._clock, None
        if clock is None:
            # It begins at 0, so that each run has the same times.
            clock = _ferrio._VirtualClock() if self._virtual_time else False
        self._loop = _loop.EventLoop(virtual_time=clock)
        self._loop._ask_when_stuck(self._judge)
        self._references = self._loop._references()

    def _renewed(self) -> bool:
        """Makes the loop as new. Returns `False` if that isn't possible."""
        # One of the weak references is in the set of all loops.
        return self._loop._renew(self._references) and weakref.getweakrefcount(self._loop) == 1 and not vars(self._loop)

    def _end(self) -> None:
        """Ends what the program has left, and closes the loop unless nobody else refers to it."""
        renewed = False
        try:
            runners._end_all(self._loop)
            renewed = self._renewed()
        finally:
            if not renewed:
                self._close()

    def _close(self) -> None:
        loop, self._loop = self._loop, None
        if loop is not None:
            loop.close()

    def _note(self, loop: Any, context: dict[str, Any]) -> None:
        """What the loop's exception handler is told."""
        error = context.get("exception")
        self._problems.append(error if error is not None else AssertionError(context["message"]))


def run(
    main: Main,
    order: dict[str, Any] | Order,
    *,
    with_steps: bool = False,
    virtual_time: bool = True,
    before: Callable[[Any], None] | None = None,
) -> Run:
    """Runs `main()` once, as `Bench.run` does. The order may be another than those of the loop."""
    clock = None if isinstance(order, dict) else order.clock
    with Bench(virtual_time=virtual_time, clock=clock) as bench:
        return bench.run(main, order, with_steps=with_steps, before=before)


def check_call(name: str, main: Any) -> None:
    """Raises `TypeError` if `main` can't be called again and again, and `RuntimeError` if a loop runs already."""
    if not callable(main):
        if asyncio.iscoroutine(main):
            main.close()
        raise TypeError(f"{name}() needs a function that returns a coroutine, not {main!r}: it calls it for each run")
    if asyncio._get_running_loop() is not None and not _ferrio._nested_allowed():
        raise RuntimeError(
            f"{name}() runs the program on a loop of its own, so it can't be called while another loop runs in this"
            " thread: call it in a plain function, or allow loops inside loops by ferrio.allow_nested()"
        )


class Teller:
    """Hears what runs next: it notes the steps, and calls `before`."""

    def __init__(self, steps: list[Step] | None, before: Callable[[Any], None] | None) -> None:
        self._steps = steps
        self._before = before
        self._names: _Names | None = None

    def __call__(self, thing: Any, chosen: int, of: int) -> None:
        if self._names is None:
            self._names = _Names(thing)
        if self._steps is not None:
            place = place_of(thing) if is_task(thing) else ""
            self._steps.append(Step(self._names.of(thing), place, chosen, of))
        if self._before is not None:
            self._before(thing)


def steps_in_words(steps: list[Step], most: int = 60) -> str:
    """Returns what ran, a line each, up to the last choice that asyncio wouldn't have made."""
    unusual = [at for at, step in enumerate(steps) if step.chosen]
    shown = steps[: unusual[-1] + 2] if unusual else steps[:2]
    lines = [
        f"{'>' if step.chosen else ' '} {step.what}"
        + (f", the {_ordinal(step.chosen)} of {step.of} that were ready" if step.chosen else "")
        + (f"\n      {step.where}" if step.where else "")
        for step in shown
    ]
    if len(lines) > most:
        lines = [f"  ... {len(lines) - most} more", *lines[-most:]]
    return "\n".join(lines)


def _ordinal(place: int) -> str:
    return {1: "second", 2: "third"}.get(place, f"{place + 1}th")


def is_task(thing: Any) -> bool:
    """Whether it is a task."""
    return hasattr(thing, "get_coro")


class _Names:
    """Things in words that are the same in each run: the numbers of tasks are counted from the first one on."""

    def __init__(self, first: Any) -> None:
        self._first = first
        found = re.fullmatch(r"Task-(\d+)", first.get_name()) if is_task(first) else None
        self._before = int(found[1]) if found else 0

    def of(self, thing: Any) -> str:
        if thing is self._first:
            return "main"
        words = stacks.brief(thing)
        if not is_task(thing):
            return re.sub(r" at 0x[0-9a-f]+", "", words)
        return re.sub(r"(?<=^task 'Task-)\d+", lambda found: str(int(found[0]) - self._before), words)


def place_of(task: Any) -> str:
    """Returns where a task stands: the file and line, and the line's text."""
    frames = waits.frames_of(task.get_coro())
    if not frames:
        return ""
    last = next((frame for frame in reversed(frames) if not frame.filename.startswith(_LIBRARIES)), frames[-1])
    return f"{last.filename}:{last.lineno} in {last.name}: {last.line}"
