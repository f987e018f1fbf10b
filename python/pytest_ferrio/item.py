"""One test on a test bench: the mark `ferrio`, its settings and its fixture.

`ferrio.testing` does the work. A test without the mark, in a suite without the settings, costs a look at its marks.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Mapping
from typing import TYPE_CHECKING

import pytest

from pytest_ferrio.exploring import ORDERS

if TYPE_CHECKING:
    from ferrio.testing import Bench, Clock, Settings

MARK = "ferrio"
MARK_HELP = (
    "ferrio(virtual_time=False, wall_clock=None, patience=10, checks=None, tasks=None, exceptions=None, "
    "transports=None, servers=None, locks=None, semaphores=None, blocking=None): "
    "run this test on ferrio's loop, with these settings of "
    "ferrio.testing.Settings; checks=True turns on the checks that need no number"
)
VIRTUAL_TIME, WALL_CLOCK, PATIENCE = "ferrio_virtual_time", "ferrio_wall_clock", "ferrio_patience"
CHECKS, BLOCKING = "ferrio_checks", "ferrio_blocking"

_bench: pytest.StashKey[Bench] = pytest.StashKey()


def add_settings(parser: pytest.Parser) -> None:
    """Adds the settings of all tests' benches."""
    parser.addini(VIRTUAL_TIME, "give every test virtual time", "bool", default=False)
    parser.addini(WALL_CLOCK, "when datetime.now() begins in tests with virtual time, or now", default="")
    parser.addini(PATIENCE, "seconds that something outside the loop may take with virtual time", default="")
    parser.addini(
        CHECKS,
        "what no test may leave: tasks exceptions transports servers locks semaphores, or all",
        "args",
        default=[],
    )
    parser.addini(BLOCKING, "seconds that a step or callback may take", default="")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, object, object]:
    """Begins the bench before the test's fixtures."""
    problem = _begin(item)
    if problem is None:
        return (yield)
    # pytest tears a test down as it was set up, so the fixtures begin all the same.
    with contextlib.suppress(Exception):
        yield
    pytest.fail(problem, pytrace=False)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Fails the test if it leaves something. If it fails by itself, what it leaves is shown below that."""
    bench = item.stash.get(_bench, None)
    if bench is None:
        return (yield)
    bench.test_begins()
    try:
        result = yield
    except BaseException:
        if problems := bench.test_ends():
            item.add_report_section("call", "ferrio", "\n\n".join(problems))
        raise
    _fail(bench.test_ends())
    return result


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, object, object]:
    """Ends the bench after the test's fixtures, and fails if they show that something was left."""
    bench = item.stash.get(_bench, None)
    if bench is None:
        return (yield)
    try:
        result = yield
    except BaseException:
        bench.end()
        raise
    finally:
        del item.stash[_bench]
    _fail(bench.end())
    return result


@pytest.fixture
def ferrio_clock(request: pytest.FixtureRequest) -> Clock:
    """The virtual clock of the test: `time`, `advance(seconds)` and `sleep_until(time)`."""
    bench = request.node.stash.get(_bench, None)
    if bench is None or bench.clock is None:
        pytest.fail("ferrio_clock needs virtual time: @pytest.mark.ferrio(virtual_time=True)", pytrace=False)
    clock: Clock = bench.clock
    return clock


def _begin(item: pytest.Item) -> str | None:
    """Begins the bench of a test that wants one. Returns why it can't, if so."""
    try:
        orders = item.stash.get(ORDERS, None)
        settings = _settings(item, explores=orders is not None)
        if settings is not None:
            from ferrio.testing import Bench

            bench = Bench(settings, orders)
            bench.begin()
            item.stash[_bench] = bench
    except Exception as error:
        return f"ferrio: {error}"
    return None


def _settings(item: pytest.Item, *, explores: bool) -> Settings | None:
    """What the configuration and the marks want; the closest mark wins. `None` if nobody wants anything.

    A test that explores has virtual time, unless its mark says otherwise.
    """
    marks = list(item.iter_markers(MARK))
    config = item.config
    virtual_time, checks, start = (config.getini(name) for name in (VIRTUAL_TIME, CHECKS, WALL_CLOCK))
    numbers = {"blocking": config.getini(BLOCKING), "patience": config.getini(PATIENCE)}
    if not (marks or virtual_time or explores or checks or numbers["blocking"]):
        return None
    from ferrio.testing import Settings

    own: list[Mapping[str, object]] = [{"virtual_time": virtual_time or explores}]
    own += [{name: float(value)} for name, value in numbers.items() if value]
    for mark in reversed(marks):
        if mark.args:
            raise ValueError(f"the mark takes options by name only, not {mark.args[0]!r}")
        own.append(mark.kwargs)
    settings = Settings().with_checks(checks).changed(*own)
    if start and settings.virtual_time and not any("wall_clock" in each for each in own):
        settings = settings.changed({"wall_clock": True if start == "now" else start})
    return settings


def _fail(problems: list[str]) -> None:
    if problems:
        pytest.fail("\n\n".join(problems), pytrace=False)
