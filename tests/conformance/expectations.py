"""CPython's behaviour tests that ferrio fails on purpose, or can't pass: test id -> versions and reason.

A run fails if a test that isn't listed fails, or if a listed one passes, so the list can't go stale. No reason is
"not done yet". Differences that a program can see are described in docs/differences.md too.
"""

from typing import NamedTuple


class Expectation(NamedTuple):
    """Why a test does not pass, and where."""

    reason: str
    #: Versions of CPython, e.g. ("3.11",); empty means all. "3.14" covers "3.14t", but not the other way round.
    #: "3.14.10+" is 3.14 from that release on, "3.14.9-" is 3.14 up to it.
    versions: tuple[str, ...] = ()
    #: Modes; empty means both.
    modes: tuple[str, ...] = ()


_WAITS_ITSELF = Expectation(
    "since Python 3.12 wait_for() awaits in the waiting task itself, so a second cancellation reaches the awaited task;"
    " the test expects it to end wait_for() while the inner task goes on",
    ("3.11",),
    ("module",),
)
_RUN_FUTURE = Expectation(
    "since Python 3.14 run() takes any awaitable; the test expects it to refuse a future, and waits for ever",
    ("3.11", "3.12", "3.13"),
    ("module",),
)
_WAITS_INLINE = Expectation(
    "since Python 3.12 wait_for() awaits in the calling task; the test looks at the second task of older versions",
    ("3.11",),
    ("module",),
)

_NO_WARNING = Expectation(
    "ferrio's functions that get or set a policy warn; looking up a policy's class doesn't, because a module-level"
    " __getattr__ would slow down every look-up of ferrio's names",
    ("3.14", "3.15"),
    ("module",),
)
_INITIALIZED_TWICE = Expectation(
    "calls __init__ on a future in use, which ferrio refuses with RuntimeError", ("3.14",), ("module",)
)
_NOT_REPORTED_YET = Expectation(
    "when a shield() was cancelled, the newest releases (3.14.10, 3.15) report the inner future's exception once nobody"
    " can retrieve it any more, as for any future; older tests expect a report at once",
    ("3.14.7-",),
    ("module",),
)

EXPECTED_FAILURES: dict[str, Expectation] = {
    "test_events.PolicyTests.test_abstract_event_loop_policy_deprecation": _NO_WARNING,
    "test_events.PolicyTests.test_default_event_loop_policy_deprecation": _NO_WARNING,
    "test_futures.CFutureDoneCallbackTests.test_use_after_free_on_fut_context_0_with_evil__getattribute__": (
        _INITIALIZED_TWICE
    ),
    "test_futures.CSubFutureDoneCallbackTests.test_use_after_free_on_fut_context_0_with_evil__getattribute__": (
        _INITIALIZED_TWICE
    ),
    "test_futures2.FutureReprTests.test_recursive_repr_for_pending_tasks": _WAITS_INLINE,
    "test_runners.RunnerTests.test_run_future": _RUN_FUTURE,
    "test_tasks.CTask_CFuture_SubclassTests.test_shield_cancel_outer_exception": _NOT_REPORTED_YET,
    "test_tasks.CTask_CFuture_SubclassTests.test_shield_duplicate_log_once": _NOT_REPORTED_YET,
    "test_tasks.CTask_CFuture_Tests.test_shield_cancel_outer_exception": _NOT_REPORTED_YET,
    "test_tasks.CTask_CFuture_Tests.test_shield_duplicate_log_once": _NOT_REPORTED_YET,
    "test_waitfor.AsyncioWaitForTest.test_wait_for_self_cancellation": _WAITS_ITSELF,
}


def expected(test: str, mode: str, version: str, release: int) -> Expectation | None:
    """Returns the expectation for a test ("test_module.Class.test_name") in a mode, or None if it should pass.

    `release` is the last part of the version: 7 means 3.14.7 where the version is "3.14" or "3.14t".
    """
    entry = EXPECTED_FAILURES.get(test)
    if entry is None or (entry.modes and mode not in entry.modes):
        return None
    fits = not entry.versions or any(_fits(pattern, version, release) for pattern in entry.versions)
    return entry if fits else None


def _fits(pattern: str, version: str, release: int) -> bool:
    minor, bound = pattern, ""
    if pattern.endswith(("+", "-")):
        minor, _, bound = pattern.rpartition(".")
    if minor not in (version, version.rstrip("t")):
        return False
    if bound.endswith("+"):
        return release >= int(bound[:-1])
    return not bound or release <= int(bound[:-1])
