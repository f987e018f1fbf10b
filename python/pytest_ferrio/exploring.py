"""`--ferrio-explore=N`: runs each test under N orders of its tasks. `--ferrio-replay` runs one of them again.

The whole test runs each time, from its function's fixtures to their end, so every plugin's coroutine tests take part. A
test in whose loops nothing can be chosen runs once. The report is that of the last run, or of the first one that fails,
by the shortest schedule that was found to fail in the same way.

Fixtures of wider scopes live on from run to run. Invariant: they end when pytest would have ended them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pytest
from _pytest.runner import runtestprotocol

if TYPE_CHECKING:
    from ferrio.testing.orders import Orders

EXPLORE, SEED, REPLAY = "ferrio_explore", "ferrio_explore_seed", "ferrio_replay"

ORDERS: pytest.StashKey[Orders] = pytest.StashKey()


def add_options(parser: pytest.Parser) -> None:
    """Adds the options."""
    group = parser.getgroup("ferrio")
    group.addoption(
        "--ferrio-explore", type=int, default=0, metavar="N", help="run each test under N orders of its tasks"
    )
    group.addoption(
        "--ferrio-explore-seed", type=int, default=0, metavar="SEED", help="the first of the seeds of these orders"
    )
    group.addoption(
        "--ferrio-replay", metavar="SCHEDULE", help="run each test by this schedule, which --ferrio-explore has printed"
    )


def check_options(config: pytest.Config) -> None:
    """Raises `UsageError` for what can't be meant."""
    if config.getoption(EXPLORE) < 0:
        raise pytest.UsageError(f"--ferrio-explore={config.getoption(EXPLORE)}: it must be at least 1")
    text = config.getoption(REPLAY)
    if text is not None:
        from ferrio.testing import orders

        try:
            orders.parse(text)
        except ValueError as error:
            raise pytest.UsageError(f"--ferrio-replay: {error}") from None


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """Runs a test as often as it was asked for."""
    config = item.config
    text, runs = config.getoption(REPLAY), config.getoption(EXPLORE)
    if text is None and runs < 1:
        return None
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    explored = _Explored(item)
    reports = explored.by_seeds(runs, config.getoption(SEED)) if text is None else explored.replay(text)
    rest = pytest.CallInfo.from_call(lambda: item.session._setupstate.teardown_exact(nextitem), when="teardown")
    if rest.excinfo is not None:
        reports.append(item.ihook.pytest_runtest_makereport(item=item, call=rest))
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


class _Explored:
    """One test, which runs many times."""

    def __init__(self, item: pytest.Item) -> None:
        from ferrio.testing import orders

        self._orders = orders
        self._item = item

    def by_seeds(self, runs: int, seed: int) -> list[pytest.TestReport]:
        """asyncio's order first, then those of consecutive seeds."""
        for number in range(runs):
            order = self._orders.Orders(seed=seed + number - 1 if number else None)
            reports = self._run(order)
            failed = _failed(reports)
            if failed is not None:
                which = f"run {number + 1} of {runs} failed" + (f", seed {seed + number - 1}" if number else "")
                return self._explained(which, reports, failed, order)
            if not order.varies or any(report.skipped for report in reports):
                break
        return reports

    def replay(self, text: str) -> list[pytest.TestReport]:
        """By a schedule."""
        order = self._orders.Orders(schedules=self._orders.parse(text), with_steps=True)
        reports = self._run(order)
        failed = _failed(reports)
        if failed is not None:
            away = " It has left the schedule." if order.departed else ""
            _add(failed, f"Replayed {text!r}.{away}\n{order.steps_in_words()}")
        elif order.departed and order.varies:
            [called] = [report for report in reports if report.when == "call"] or reports[-1:]
            called.outcome = "failed"
            called.longrepr = f"ferrio: the test has left the schedule {text!r}, and didn't fail"
        return reports

    def _explained(
        self, which: str, reports: list[pytest.TestReport], failed: pytest.TestReport, order: Orders
    ) -> list[pytest.TestReport]:
        """The reports by the shortest schedule that fails as `failed` did."""
        kind = _kind(failed)

        def attempt(schedules: Sequence[Sequence[int]]) -> Sequence[Sequence[int]] | None:
            again = self._orders.Orders(schedules=schedules)
            report = _failed(self._run(again))
            return again.schedules if report is not None and _kind(report) == kind else None

        shortest = self._orders.shrink(order.schedules, attempt)
        shown = self._orders.Orders(schedules=shortest, with_steps=True)
        again = self._run(shown)
        report = _failed(again)
        if report is None or _kind(report) != kind:
            _add(failed, f"{which}, but its schedule doesn't fail again: the test isn't deterministic")
            return reports
        text = self._orders.text(shortest)
        _add(
            report,
            f"{which}. The shortest failing schedule: --ferrio-replay={text!r}\n{shown.steps_in_words()}",
        )
        return again

    def _run(self, order: Orders) -> list[pytest.TestReport]:
        self._item._report_sections.clear()
        self._item.stash[ORDERS] = order
        try:
            # What the test's parents have set up stays.
            reports: list[pytest.TestReport] = runtestprotocol(self._item, log=False, nextitem=self._item.parent)  # type: ignore[arg-type]
        finally:
            del self._item.stash[ORDERS]
        return reports


def _failed(reports: list[pytest.TestReport]) -> pytest.TestReport | None:
    return next((report for report in reports if report.failed), None)


def _kind(report: pytest.TestReport) -> tuple[str | None, str]:
    """In which part of the test it failed, and by what exception."""
    crash = getattr(report.longrepr, "reprcrash", None)
    message = str(report.longrepr) if crash is None else crash.message
    return report.when, message.partition("\n")[0].partition(":")[0]


def _add(report: pytest.TestReport, text: str) -> None:
    report.sections.append(("ferrio", text))
