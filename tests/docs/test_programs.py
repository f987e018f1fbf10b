"""The programs on the pages run as written and print what the pages show."""

import subprocess
import sys

import pytest
from tests.docs.blocks import PAGES, check_compiles, matches, normal, parts, programs

PROGRAMS = [program for page in PAGES for program in programs(page)]
PARTS = [part for page in PAGES for part in parts(page)]


@pytest.mark.timeout(200)  # a program takes a second, or longer on a busy machine
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.block.name)
def test_program_prints_what_the_page_shows(program, tmp_path):
    file = tmp_path / "app.py"
    file.write_text(program.block.body)
    done = subprocess.run(
        [sys.executable, "-u", *program.command, "app.py"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=180,
    )
    printed = normal(done.stdout, str(tmp_path))
    assert matches(printed, program.output), (
        f"{program.block.name} prints:\n{printed}\nthe page says:\n{program.output}"
    )
    assert done.returncode == program.status


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.name)
def test_part_of_a_program_compiles(part):
    check_compiles(part)
