"""Each row of docs/libraries.md has a program, each program has a row, and its distributions are pinned. Each
difference in another project's suite has its reason there.

None of them run here: `make test-libraries` and `make test-libraries-suites` run them.
"""

import re
import runpy

import pytest
from tests.libraries.programs_list import HERE, PREFIX, programs
from tests.repo.sources import ROOT

DOCUMENT = (ROOT / "docs" / "libraries.md").read_text()
ROWS = [line for line in DOCUMENT.splitlines() if line.startswith("| ")]
PINNED = set(re.findall(r"^([\w.-]+)(?:\[.*\])?==", (HERE / "requirements.txt").read_text(), re.MULTILINE))


def test_rows_and_programs_agree():
    rows = [name for row in ROWS for name in re.findall(rf"/{PREFIX}(\w+)\.py\)", row)]
    assert rows == [program.name for program in programs()], "run `make test-libraries`"


@pytest.mark.parametrize("program", programs(), ids=lambda program: program.name)
def test_row_repeats_the_head_and_says_that_it_passes(program):
    (row,) = [row for row in ROWS if f"/{program.path.name})" in row]
    assert f"[{program.what}]" in row, "run `make test-libraries`"
    assert re.findall(r"(?:^|[ ,])([\w.-]+) \d", row.split(" | ")[0]) == list(program.distributions)
    on_loop = program.not_on_loop or "passes"
    assert row.endswith(f"| {on_loop} | passes |"), "a failing row needs its bug fixed"


@pytest.mark.parametrize("program", programs(), ids=lambda program: program.name)
def test_distributions_are_pinned(program):
    assert set(program.distributions) <= PINNED


@pytest.fixture
def suites(monkeypatch):
    """Returns the names defined by the program that compares the suites."""
    monkeypatch.syspath_prepend(HERE / "suites")
    return runpy.run_path(str(HERE / "suites" / "run.py"))


def test_differences_of_the_suites_have_reasons(suites):
    listed = re.findall(r"^- `(.+?)` of (\w+): (.+)$", DOCUMENT, re.MULTILINE)
    expected = {(name, test, reason) for (name, test), reason in suites["REASONS"].items()}
    assert {(name, test, reason) for test, name, reason in listed} == expected, "run `make test-libraries-suites`"
    for name in suites["SUITES"]:
        assert any(row.startswith(f"| {name} ") and row.count(" | ") == 4 for row in ROWS), name


def test_suites_test_may_contain_the_name_of_a_loop_class(suites):
    theirs = {"test_a": "passed", "test_b[their Loop]": "passed", "test_c[their Loop]": "passed", "test_d": "passed"}
    ours = {"test_a": "failed", "test_b[our Loop]": "passed", "test_c[our Loop]": "failed"}
    assert suites["renamed"](theirs, ours) == {"test_b[their Loop]", "test_b[our Loop]"}
