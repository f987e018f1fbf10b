"""The loops of a test, and how every way to make a loop makes one of these.

`asyncio.run`, `asyncio.Runner`, `IsolatedAsyncioTestCase`, pytest-asyncio and anyio all ask `new_event_loop` for their
loop, unless they are given a loop factory. So that function is replaced while a test runs, in asyncio and in ferrio. A
loop factory of the program's own wins.

Invariant: nothing stays replaced after the test.
"""

from __future__ import annotations

import asyncio
import asyncio.events
import asyncio.runners
import functools
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, Self

import ferrio
from ferrio import _policy, runners
from ferrio._loop import EventLoop
from ferrio.testing.clock import Clock

__all__ = ("BenchLoop", "FollowedLoop", "Owner", "open_loops", "replacing")

# Loops may outlive the test that made them: those of pytest-asyncio's wider scopes do.
_made: weakref.WeakSet[BenchLoop] = weakref.WeakSet()


class Owner(Protocol):
    """What hears of the loops that tests make."""

    def loop_ends(self, loop: BenchLoop) -> None:
        """The loop's remaining tasks are about to be cancelled."""

    def loop_closes(self, loop: BenchLoop) -> None:
        """The loop is about to be closed."""

    def loop_failed(self, loop: BenchLoop, context: dict[str, Any]) -> None:
        """The loop's exception handler is about to be called."""


class BenchLoop(EventLoop):
    """A loop that a test has made."""

    def __new__(cls, owner: Callable[[], Owner | None], clock: Clock | None = None) -> Self:
        """`owner` returns whoever wants to hear of the loop at that time. Without a clock the loop has real time."""
        return super().__new__(cls, virtual_time=False if clock is None else clock._native)

    def __init__(self, owner: Callable[[], Owner | None], clock: Clock | None = None) -> None:
        super().__init__()
        self._owner = owner
        self.clock = clock
        _made.add(self)

    def close(self) -> None:
        """Closes the loop, after the owner has looked at it."""
        if not self.is_closed() and not self.is_running() and (owner := self._owner()) is not None:
            owner.loop_closes(self)
        super().close()

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Tells the owner, then the program's handler."""
        if (owner := self._owner()) is not None:
            owner.loop_failed(self, context)
        super().call_exception_handler(context)


class FollowedLoop(BenchLoop):
    """A loop whose time somebody follows: the loop asks for its time before and after each wait."""

    follow: Callable[[float], object] | None = None

    def time(self) -> float:
        """Returns the time of the loop's clock."""
        now: float = super().time()
        if self.follow is not None:
            self.follow(now)
        return now


def open_loops() -> list[BenchLoop]:
    """Returns the loops that tests have made and not closed."""
    return [loop for loop in _made if not loop.is_closed()]


@contextmanager
def replacing(make: Callable[[], BenchLoop], see: Callable[[Any], object]) -> Iterator[None]:
    """Makes all loops by `make` inside the block, and tells their owners when a runner cancels their tasks.

    `see` is called with each loop that a runner has from a loop factory.
    """
    changes: list[tuple[Any, str, Any]] = [
        (asyncio, "new_event_loop", make),
        (asyncio.events, "new_event_loop", make),
        (ferrio, "new_event_loop", make),
        (ferrio.events, "new_event_loop", make),
        (_policy, "new_event_loop", make),
        # Whoever imported that function by its name asks a policy.
        (_policy.EventLoopPolicy, "_loop_factory", lambda policy: _of_policy(policy, make)),
        (_policy._DefaultEventLoopPolicy, "_loop_factory", staticmethod(make)),
        *((module.Runner, "__init__", _showing(module.Runner.__init__, see)) for module in _RUNNERS),
        *((module, "_cancel_all_tasks", _announcing(module._cancel_all_tasks)) for module in _RUNNERS),
    ]
    before = [(module, name, vars(module)[name]) for module, name, _ in changes]
    try:
        for module, name, value in changes:
            setattr(module, name, value)
        yield
    finally:
        for module, name, value in reversed(before):
            setattr(module, name, value)


def _of_policy(policy: Any, make: Callable[[], BenchLoop]) -> asyncio.AbstractEventLoop:
    """The loop of a policy of ferrio's; one that was given a factory keeps it."""
    factory: Callable[[], asyncio.AbstractEventLoop] = policy._ferrio_loop_factory
    return make() if factory is EventLoop else factory()


# Both have the function by this name.
_RUNNERS: tuple[Any, ...] = (asyncio.runners, runners)


def _showing(initialize: Callable[..., None], see: Callable[[Any], object]) -> Callable[..., None]:
    @functools.wraps(initialize)
    def showing(runner: Any, *arguments: Any, **keywords: Any) -> None:
        initialize(runner, *arguments, **keywords)
        factory = runner._loop_factory
        if factory is not None:

            def make() -> Any:
                made = factory()
                see(made)
                return made

            runner._loop_factory = make

    return showing


def _announcing(cancel_all_tasks: Callable[[Any], object]) -> Callable[[Any], object]:
    def announce(loop: Any) -> object:
        if isinstance(loop, BenchLoop) and (owner := loop._owner()) is not None:
            owner.loop_ends(loop)
        return cancel_all_tasks(loop)

    return announce
