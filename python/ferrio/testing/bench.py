"""`Bench`: one test, from before its fixtures to after them. It makes the loops and asks the checks.

A test has three parts: its fixtures' beginning, the test itself, and its fixtures' end. A loop that the test runs by
itself (`asyncio.run`) ends within the test. A loop of a plugin may end with the fixtures, or live on for later tests.

Invariant: one bench is active at a time, and it hears of every loop that any test has made.
"""

from __future__ import annotations

import contextlib
import warnings
import weakref
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

from ferrio.testing.blocking import BlockingCheck
from ferrio.testing.check import Check
from ferrio.testing.clock import Clock
from ferrio.testing.exceptions import ExceptionsCheck
from ferrio.testing.locks import LocksCheck
from ferrio.testing.loops import BenchLoop, FollowedLoop, open_loops, replacing
from ferrio.testing.orders import Orders
from ferrio.testing.population import set_apart
from ferrio.testing.semaphores import SemaphoresCheck
from ferrio.testing.servers import ServersCheck
from ferrio.testing.settings import Settings
from ferrio.testing.stuck import Judge
from ferrio.testing.tasks import TasksCheck
from ferrio.testing.transports import TransportsCheck
from ferrio.testing.wall import WallClock

__all__ = ("Bench", "current_clock", "virtual_time")

_active: Bench | None = None


class Bench:
    """Runs one test; a context manager around the test and its fixtures."""

    def __init__(self, settings: Settings, orders: Orders | None = None) -> None:
        """With `orders`, these order what runs on the loops."""
        self.settings = settings
        self._orders = orders
        self.clock: Clock | None = None
        self._wall: WallClock | None = None
        self._judge: Judge | None = None
        self._made: weakref.WeakSet[BenchLoop] = weakref.WeakSet()
        self._open = contextlib.ExitStack()
        self._checks: list[Check] = _checks(settings)

    def __enter__(self) -> Self:
        self.begin()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def begin(self) -> None:
        """Comes before the fixtures. Raises `RuntimeError` if another bench is active."""
        global _active
        if _active is not None:
            raise RuntimeError("a test is running already: benches can't be nested")
        with contextlib.ExitStack() as undo:
            if self.settings.virtual_time:
                self._begin_virtual_time(undo)
            undo.enter_context(replacing(self._make_loop, self._see_loop))
            if self._checks:
                undo.enter_context(set_apart(tuple(kind for check in self._checks for kind in check.kinds)))
            for check in self._checks:
                check.owns = self._owns
                undo.callback(check.close)
                check.begin()
            self._open = undo.pop_all()
        _active = self
        if self._orders is not None:
            for loop in open_loops():
                self._orders.begin(loop)

    def end(self) -> list[str]:
        """Comes after the fixtures. Returns what the checks have found and not said yet."""
        global _active
        try:
            for check in self._checks:
                check.end(open_loops())
            return self.problems()
        finally:
            _active = None
            if self._orders is not None:
                self._orders.end()
            self._open.close()

    def test_begins(self) -> None:
        """Comes after the fixtures have begun, before the test itself."""
        for check in self._checks:
            check.test_begins(open_loops())

    def test_ends(self) -> list[str]:
        """Comes after the test itself. Returns what the checks have found so far."""
        for check in self._checks:
            check.test_ends()
        return self.problems()

    def problems(self) -> list[str]:
        """Takes what the checks have found."""
        return [problem for check in self._checks for problem in check.take()]

    def loop_ends(self, loop: BenchLoop) -> None:
        """A runner is about to cancel the loop's remaining tasks."""
        for check in self._checks:
            check.loop_ends(loop)

    def loop_closes(self, loop: BenchLoop) -> None:
        """The loop is about to be closed."""
        for check in self._checks:
            check.loop_closes(loop)

    def loop_failed(self, loop: BenchLoop, context: dict[str, Any]) -> None:
        """The loop's exception handler is about to be called."""
        for check in self._checks:
            check.loop_failed(loop, context)

    def _begin_virtual_time(self, undo: contextlib.ExitStack) -> None:
        loops = [loop for loop in open_loops() if loop.clock is not None]
        # A loop of an earlier test goes on in its own time, and this test may run on it.
        self.clock = next((loop.clock for loop in loops if loop.clock is not None), None) or Clock()
        self._judge = Judge(self.settings.patience)
        if self.settings.wall_clock is not None:
            self._wall = WallClock(self.settings.wall_clock, self.clock)
            self._wall.begin()
            undo.callback(self._wall.end)
            undo.callback(setattr, self.clock, "_on_move", None)
            self.clock._on_move = self._wall.follow
        for loop in loops:
            self._equip(loop)

    def _make_loop(self) -> BenchLoop:
        made = (BenchLoop if self._wall is None else FollowedLoop)(_active_bench, self.clock)
        self._made.add(made)
        self._equip(made)
        if self._orders is not None:
            self._orders.begin(made)
        return made

    def _see_loop(self, loop: Any) -> None:
        """A loop factory has made `loop`."""
        if self.clock is not None and not isinstance(loop, BenchLoop):
            warnings.warn(
                f"the test wants virtual time, but its loop factory made {loop!r}, which isn't on the test's clock: "
                "use ferrio.new_event_loop as the loop factory, or @pytest.mark.ferrio(virtual_time=False)",
                RuntimeWarning,
                stacklevel=4,
            )

    def _owns(self, loop: Any) -> bool:
        """What an earlier test has left is collected at any time; it belongs to a loop that was closed before."""
        return loop in self._made or (isinstance(loop, BenchLoop) and not loop.is_closed())

    def _equip(self, loop: BenchLoop) -> None:
        loop._ask_when_stuck(self._judge)
        if isinstance(loop, FollowedLoop):
            loop.follow = None if self._wall is None else self._wall.follow


@contextlib.contextmanager
def virtual_time(*, wall_clock: object = None, patience: float = 10.0) -> Iterator[Clock]:
    """Gives virtual time to all loops that are made inside the block; yields their clock, which begins at 0.

    `wall_clock`: from when on `datetime.now()` moves along, as `Settings` has it. `patience`: how many seconds
    something outside the loop may take to wake it.
    """
    with Bench(Settings(virtual_time=True, wall_clock=wall_clock, patience=patience)):
        yield current_clock()


def current_clock() -> Clock:
    """Returns the clock of the running test. Raises `RuntimeError` if the test has no virtual time."""
    if _active is None or _active.clock is None:
        raise RuntimeError("this test has no virtual time: mark it with @pytest.mark.ferrio(virtual_time=True)")
    return _active.clock


def _active_bench() -> Bench | None:
    return _active


def _checks(settings: Settings) -> list[Check]:
    wanted: list[Check] = []
    if settings.tasks:
        wanted.append(TasksCheck())
    if settings.exceptions:
        wanted.append(ExceptionsCheck())
    if settings.transports:
        wanted.append(TransportsCheck())
    if settings.servers:
        wanted.append(ServersCheck())
    if settings.locks:
        wanted.append(LocksCheck())
    if settings.semaphores:
        wanted.append(SemaphoresCheck())
    if settings.blocking is not None:
        wanted.append(BlockingCheck(settings.blocking))
    return wanted
