"""Each row of docs/libraries.md has its program, each program its row, and its distributions are pinned.

Runs none of them: `make test-libraries` does.
"""

import re

import pytest
from tests.libraries.programs_list import HERE, PREFIX, programs
from tests.repo.sources import ROOT

ROWS = [line for line in (ROOT / "docs" / "libraries.md").read_text().splitlines() if line.startswith("| ")]
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
