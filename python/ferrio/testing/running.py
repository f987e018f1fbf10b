"""One run of a program on a loop whose order is chosen.

The loop is new, on virtual time, and runs one thing a turn (`ferrio_engine::order`). What reaches its exception handler
fails the run, too.
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
import re
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Protocol

from ferrio import _ferrio, _loop, runners
from ferrio.sight import stacks, waits
from ferrio.testing.stuck import Judge

__all__ = ("Departed", "Main", "Order", "Run", "Step", "is_task", "place_of", "run", "steps_in_words")

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


@dataclasses.dataclass
class Run:
    """How a run went."""

    choices: list[tuple[int, int]]
    """What was chosen, and of how many, wherever there were at least two."""
    departed: int | None
    """The number of the first given choice that wasn't possible."""
    error: BaseException | None
    """What it raised."""
    steps: list[Step]
    """What ran, if that was asked for."""

    @property
    def schedule(self) -> list[int]:
        """What was chosen, as a schedule."""
        return [chosen for chosen, _of in self.choices]


def run(
    main: Main,
    order: Mapping[str, Any] | Order,
    *,
    with_steps: bool = False,
    virtual_time: bool = True,
    before: Callable[[Any], None] | None = None,
) -> Run:
    """Runs `main()` in an order, which may be the arguments of `_set_order`. What it raises is in the result.

    `before` is called with the task or callback that runs next. Raises only `KeyboardInterrupt` and `SystemExit`.
    """
    other = None if isinstance(order, Mapping) else order
    # The clock begins at 0, so that each run has the same times.
    clock = _ferrio._VirtualClock() if virtual_time else False
    loop: Any = _loop.EventLoop(virtual_time=clock if other is None else other.clock)
    problems: list[BaseException] = []
    steps: list[Step] = []

    def note_problem(loop: Any, context: dict[str, Any]) -> None:
        error = context.get("exception")
        problems.append(error if error is not None else AssertionError(context["message"]))

    names: _Names | None = None

    def tell(thing: Any, chosen: int, of: int) -> None:
        nonlocal names
        if names is None:
            names = _Names(thing)
        if with_steps:
            steps.append(Step(names.of(thing), place_of(thing) if is_task(thing) else "", chosen, of))
        if before is not None:
            before(thing)

    error: BaseException | None = None
    choices, departed = [], None
    with runners.Runner(loop_factory=lambda: loop) as runner:
        loop.set_exception_handler(note_problem)
        needed = with_steps or before is not None
        runner.get_loop()
        loop._ask_when_stuck(Judge(_PATIENCE))
        if isinstance(order, Mapping):
            loop._set_order(tell=tell if needed else None, **order)
        else:
            order.begin(loop, tell if needed else None)
        try:
            runner.run(main())
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as raised:
            error = raised
        finally:
            if other is not None:
                other.end(loop)
            choices, departed = loop._end_order()
    return Run(choices, departed, error or (problems[0] if problems else None), steps)


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
