"""The behaviour tests of CPython that ferrio does not pass on purpose, or cannot: test id -> versions and reason.

A run fails if a test fails that is not here, and if one that is here passes: the list stays true by itself. No reason
is "not done yet". Differences that a program can see are described in docs/differences.md too.
"""

from typing import NamedTuple


class Expectation(NamedTuple):
    """Why a test does not pass, and where."""

    reason: str
    #: Versions of CPython, e.g. ("3.11",); empty: all.
    versions: tuple[str, ...] = ()
    #: Ways in; empty: both.
    modes: tuple[str, ...] = ()


EXPECTED_FAILURES: dict[str, Expectation] = {}


def expected(test: str, mode: str, version: str) -> Expectation | None:
    """The expectation for a test ("test_module.Class.test_name") in a mode on a version, if it is expected to fail."""
    entry = EXPECTED_FAILURES.get(test)
    if entry is None or (entry.versions and version not in entry.versions) or (entry.modes and mode not in entry.modes):
        return None
    return entry
