"""`explore`: runs a program under many orders, and shows the shortest one that fails."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable, Coroutine, Generator, Sequence
from typing import Any

from ferrio.testing import running, schedule
from ferrio.testing.reducing import Reduction
from ferrio.testing.running import Main, Run

__all__ = ("Explored", "explore")

# The arguments of a loop's `_set_order`.
_Order = dict[str, Any]

_STRATEGIES = ("random", "priorities", "exhaustive")

_MOST_DEPTH = 1000

# How many seeds the loop knows.
_SEEDS = 1 << 64


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
    reduce: bool = False,
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

    `reduce` is for "exhaustive": of orders that differ only in steps that have nothing in common, it tries one. What
    steps have in common is judged by the objects that their code can get at. So it doesn't see what C code keeps to
    itself.

    Returns an `Explored`. Without `main`, returns a decorator that makes a test of a coroutine function.
    Raises `ValueError` for another strategy, and if `runs` or `depth` is less than 1. Raises `RuntimeError` inside a
    running loop, unless loops inside loops are allowed.
    """
    if strategy not in _STRATEGIES:
        raise ValueError(f"there is no strategy {strategy!r}: use one of {', '.join(map(repr, _STRATEGIES))}")
    for name, value in (("runs", runs), ("seed", seed), ("depth", depth)):
        if type(value) is not int:
            raise TypeError(f"{name} must be a whole number, not {value!r}")
    if runs < 1 or depth < 1:
        raise ValueError(f"runs={runs} and depth={depth}: both must be at least 1")
    if depth > _MOST_DEPTH:
        raise ValueError(f"depth={depth}: it can be {_MOST_DEPTH} at most")
    if reduce and (strategy != "exhaustive" or relaxed):
        raise ValueError('reduce needs the strategy "exhaustive", and no relaxed callbacks')
    options = _Options(runs, seed, strategy, depth, reduce, relaxed, virtual_time)
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
    reduce: bool
    relaxed: bool
    virtual_time: bool


def _explore(main: Main, options: _Options) -> Explored:
    running.check_call("explore", main)
    with running.Bench(virtual_time=options.virtual_time) as bench:
        search = _Search(main, options, bench)
        if options.strategy != "exhaustive":
            return search.through(search.by_seeds())
        return search.through(search.reduced() if options.reduce else search.exhaustively())


class _Search:
    def __init__(self, main: Main, options: _Options, bench: running.Bench) -> None:
        self._main = main
        self._options = options
        self._bench = bench

    def through(self, orders: Generator[_Order, Run, None]) -> Explored:
        """Runs by each of the orders. Raises what the first failing run raises."""
        seen: set[bytes] = set()
        order = next(orders)
        for number in range(1, self._options.runs + 1):
            done = self._bench.run(self._main, order)
            if done.error is not None:
                raise self._explained(done, number, order)
            seen.add(done.schedule)
            try:
                order = orders.send(done)
            except StopIteration:
                return Explored(number, len(seen), True)
        return Explored(self._options.runs, len(seen), False)

    def by_seeds(self) -> Generator[_Order, Run, None]:
        """asyncio's order first, then those of consecutive seeds."""
        options = self._options
        done = yield self._fixed(b"")
        length = max(1, len(done.schedule))
        order: _Order = {"way": options.strategy, "relaxed": options.relaxed}
        if options.strategy == "priorities":
            order["depth"] = options.depth
        for number in range(options.runs):
            order["seed"] = (options.seed + number) % _SEEDS
            if options.strategy == "priorities":
                order["length"] = length
            done = yield order
            length = max(length, len(done.schedule))

    def exhaustively(self) -> Generator[_Order, Run, None]:
        """All orders, the last choice varied first."""
        choices: list[int] = []
        while True:
            done = yield self._fixed(choices)
            end = len(done.schedule)
            while end and done.schedule[end - 1] + 1 == done.of[end - 1]:
                end -= 1
            if not end:
                return
            choices = [*done.schedule[: end - 1], done.schedule[end - 1] + 1]

    def reduced(self) -> Generator[_Order, Run, None]:
        """One of each kind of orders."""
        reduction = Reduction()
        yield {"way": "asked", "ask": reduction.ask}
        while reduction.next():
            yield {"way": "asked", "ask": reduction.ask}

    def _fixed(self, choices: Sequence[int]) -> _Order:
        return {"way": "fixed", "choices": choices, "relaxed": self._options.relaxed}

    def _explained(self, failed: Run, number: int, order: _Order) -> BaseException:
        """The exception of the shortest schedule that fails as `failed` did, with a note."""
        assert failed.error is not None
        kind = type(failed.error)

        def attempt(choices: list[int]) -> Sequence[int] | None:
            again = self._bench.run(self._main, self._fixed(choices))
            return again.schedule if type(again.error) is kind else None

        shortest, used = schedule.shrink(failed.schedule, attempt)
        shown = self._bench.run(self._main, self._fixed(shortest), with_steps=True)
        which = f"run {number} of {self._options.runs} failed"
        if shown.error is None or type(shown.error) is not kind:
            failed.error.add_note(
                f"ferrio.testing: {which} (seed {order.get('seed', self._options.seed)}), but its"
                " schedule doesn't fail again: the program isn't deterministic."
                " Threads, the network and real time aren't chosen by the loop."
            )
            return failed.error
        seed = f", seed {order['seed']}" if "seed" in order else ""
        note = [
            f"ferrio.testing: {which}{seed}.",
            f"The shortest failing schedule, found in {used} more runs: replay(..., {schedule.text(shortest)!r})",
            running.steps_in_words(shown.steps),
        ]
        shown.error.add_note("\n".join(note))
        return shown.error
