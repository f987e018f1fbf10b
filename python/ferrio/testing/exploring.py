"""`explore`: runs a program under many orders, and shows the shortest one that fails."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from ferrio.testing import running, schedule
from ferrio.testing.running import Main, Run

__all__ = ("Explored", "explore")

_STRATEGIES = ("random", "priorities", "exhaustive")


@dataclasses.dataclass(frozen=True)
class Explored:
    """What `explore` has done without finding a failure."""

    runs: int
    """How often the program ran."""
    orders: int
    """How many different orders that were."""
    complete: bool
    """Whether there is no other order: only "exhaustive" can say so."""


def explore(
    main: Callable[..., Coroutine[Any, Any, Any]] | None = None,
    /,
    *,
    runs: int = 100,
    seed: int = 0,
    strategy: str = "random",
    depth: int = 3,
    relaxed: bool = False,
    virtual_time: bool = True,
) -> Any:
    """Runs `main()` under many orders that asyncio allows, and raises what the first failing run raises.

    Each run has a new loop, on virtual time unless `virtual_time` is off. Before anything runs, the loop chooses
    among all that is ready: steps of tasks, results of threads, events of descriptors. Callbacks of `call_soon` and
    `add_done_callback` keep their order, unless `relaxed` is set. A run fails by what `main` raises, by what reaches
    the loop's exception handler, and by `WaitsForever` if nothing can wake it any more. A note on the exception has the
    seed, the shortest schedule that was found to fail in the same way, and its steps; `replay` takes the schedule.

    `strategy`: "random" chooses evenly; "priorities" is probabilistic concurrency testing, which finds faults that
    need at most `depth` orderings; "exhaustive" tries every order until there is none left, and `runs` at most. The
    first run is asyncio's own order. The same seed gives the same runs.

    Returns an `Explored`. Without `main`, returns a decorator that makes a test of a coroutine function.
    Raises `ValueError` for another strategy, and if `runs` or `depth` is less than 1.
    """
    if strategy not in _STRATEGIES:
        raise ValueError(f"there is no strategy {strategy!r}: use one of {', '.join(map(repr, _STRATEGIES))}")
    if runs < 1 or depth < 1:
        raise ValueError(f"runs={runs} and depth={depth}: both must be at least 1")
    options = _Options(runs, seed, strategy, depth, relaxed, virtual_time)
    if main is not None:
        return _explore(main, options)

    def decorate(function: Callable[..., Coroutine[Any, Any, Any]]) -> Callable[..., None]:
        if not inspect.iscoroutinefunction(function):
            raise TypeError(f"explore() needs a coroutine function, got {function!r}")

        @functools.wraps(function)
        def explored(*arguments: Any, **keywords: Any) -> None:
            _explore(functools.partial(function, *arguments, **keywords), options)

        # A test runner must not take it for a coroutine function.
        explored.__dict__.pop("_is_coroutine_mark", None)
        return explored

    return decorate


@dataclasses.dataclass(frozen=True)
class _Options:
    runs: int
    seed: int
    strategy: str
    depth: int
    relaxed: bool
    virtual_time: bool

    def run(self, main: Main, order: Mapping[str, Any], **others: Any) -> Run:
        order = {**order, "relaxed": self.relaxed}
        return running.run(main, order, virtual_time=self.virtual_time, **others)


def _explore(main: Main, options: _Options) -> Explored:
    seen: set[tuple[int, ...]] = set()
    searching = _exhaustively if options.strategy == "exhaustive" else _by_seeds
    orders = searching(options)
    order = next(orders)
    for number in range(1, options.runs + 1):
        done = options.run(main, order)
        if done.error is not None:
            raise _explained(main, options, done, number, order)
        seen.add(tuple(done.schedule))
        try:
            order = orders.send(done)
        except StopIteration:
            return Explored(number, len(seen), True)
    return Explored(options.runs, len(seen), False)


def _by_seeds(options: _Options) -> Any:
    """asyncio's order first, then those of consecutive seeds."""
    done = yield {"way": "fixed"}
    length = max(1, len(done.choices))
    for number in range(options.runs):
        seed = options.seed + number
        if options.strategy == "random":
            done = yield {"way": "random", "seed": seed}
        else:
            done = yield {"way": "priorities", "seed": seed, "depth": options.depth, "length": length}
            length = max(length, len(done.choices))


def _exhaustively(options: _Options) -> Any:
    """All orders, the last choice varied first."""
    choices: list[int] = []
    while True:
        done = yield {"way": "fixed", "choices": choices}
        taken = done.choices
        while taken and taken[-1][0] + 1 == taken[-1][1]:
            taken.pop()
        if not taken:
            return
        choices = [chosen for chosen, _of in taken[:-1]] + [taken[-1][0] + 1]


def _explained(main: Main, options: _Options, failed: Run, number: int, order: Mapping[str, Any]) -> BaseException:
    """The exception of the shortest schedule that fails as `failed` did, with a note."""
    kind = type(failed.error)

    def attempt(choices: list[int]) -> list[int] | None:
        again = options.run(main, {"way": "fixed", "choices": choices})
        return again.schedule if type(again.error) is kind else None

    shortest, used = schedule.shrink(failed.schedule, attempt)
    shown = options.run(main, {"way": "fixed", "choices": shortest}, with_steps=True)
    assert failed.error is not None
    if shown.error is None or type(shown.error) is not kind:
        failed.error.add_note(
            f"ferrio.testing: run {number} of {options.runs} failed (seed {order.get('seed', options.seed)}), but its"
            " schedule doesn't fail again: the program isn't deterministic. Threads, the network and real time aren't"
            " chosen by the loop."
        )
        return failed.error
    seed = f", seed {order['seed']}" if "seed" in order else ""
    note = [
        f"ferrio.testing: run {number} of {options.runs} failed{seed}.",
        f"The shortest failing schedule, found in {used} more runs: replay(..., {schedule.text(shortest)!r})",
        running.steps_in_words(shown.steps),
    ]
    shown.error.add_note("\n".join(note))
    return shown.error
