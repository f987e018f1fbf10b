"""Each row of docs/libraries.md has its program, each program its row, and its distributions are pinned; what differs
in the suites of others has its reason there.

Runs none of them: `make test-libraries` and `make test-libraries-suites` do.
"""

import re
import runpy

import pytest
from tests.libraries.programs_list import HERE, PREFIX, programs
from tests.repo.sources import ROOT

DOCUMENT = (ROOT / "docs" / "libraries.md").read_text()
ROWS = [line for line in DOCUMENT.splitlines() if line.startswith("| ")]
PINNED = set(re.findall(r"^([\w.-]+)(?:\[.*\])?==", (HERE / "requirements.txt").read_text(), re.MULTILINE))


def test_rows_and_programs_are_the_same():
    rows = [name for row in ROWS for name in re.findall(rf"/{PREFIX}(\w+)\.py\)", row)]
    assert rows == [program.name for program in programs()], "run `make test-libraries`"


@pytest.mark.parametrize("program", programs(), ids=lambda program: program.name)
def test_row_says_what_the_head_says_and_that_it_passes(program):
    (row,) = [row for row in ROWS if f"/{program.path.name})" in row]
    assert f"[{program.what}]" in row, "run `make test-libraries`"
    assert re.findall(r"(?:^|[ ,])([\w.-]+) \d", row.split(" | ")[0]) == list(program.distributions)
    on_loop = program.not_on_loop or "passes"
    assert row.endswith(f"| {on_loop} | passes |"), "a row that fails needs its bug mended, not a row"


@pytest.mark.parametrize("program", programs(), ids=lambda program: program.name)
def test_distributions_are_pinned(program):
    assert set(program.distributions) <= PINNED


@pytest.fixture
def suites(monkeypatch):
    """The names of the program that compares the suites."""
    monkeypatch.syspath_prepend(HERE / "suites")
    return runpy.run_path(str(HERE / "suites" / "run.py"))


def test_differences_of_the_suites_have_their_reasons(suites):
    listed = re.findall(r"^- `(.+?)` of (\w+): (.+)$", DOCUMENT, re.MULTILINE)
    expected = {(name, test, reason) for (name, test), reason in suites["REASONS"].items()}
    assert {(name, test, reason) for test, name, reason in listed} == expected, "run `make test-libraries-suites`"
    for name in suites["SUITES"]:
        assert any(row.startswith(f"| {name} ") and row.count(" | ") == 4 for row in ROWS), name


def test_a_suites_test_may_have_the_name_of_a_loops_class(suites):
    theirs = {"test_a": "passed", "test_b[their Loop]": "passed", "test_c[their Loop]": "passed", "test_d": "passed"}
    ours = {"test_a": "failed", "test_b[our Loop]": "passed", "test_c[our Loop]": "failed"}
    assert suites["renamed"](theirs, ours) == {"test_b[their Loop]", "test_b[our Loop]"}
