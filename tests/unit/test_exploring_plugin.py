"""`pytest --ferrio-explore`: tests run under many orders, and `--ferrio-replay` runs one of them again."""

import re
import subprocess
import sys

import pytest

SUITE = """
import asyncio
import unittest

import pytest

runs = []

async def opens_twice(opened):
    async def get(turns):
        for _ in range(turns):
            await asyncio.sleep(0)
        if not opened:
            await asyncio.sleep(0)
            opened.append(1)

    await asyncio.gather(get(0), get(3))
    assert len(opened) == 1

@pytest.fixture(scope="module")
def shared():
    runs.append("shared begins")
    yield
    runs.append("shared ends")
    print("\\nshared:", runs.count("shared begins"), runs.count("shared ends"))

@pytest.fixture
def opened(shared):
    runs.append("opened")
    return []

def test_with_its_own_loop(opened):
    asyncio.run(opens_twice(opened))

class Case(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self):
        self.opened = []

    async def test_case(self):
        await opens_twice(self.opened)

def test_without_a_fault(opened):
    async def main():
        await asyncio.sleep(3600)
        await asyncio.gather(*(asyncio.sleep(0) for _ in range(3)))

    asyncio.run(main())

def test_without_a_loop(opened):
    runs.append("no loop")

def test_that_is_skipped():
    pytest.skip("for a reason")

def test_runs():
    print("\\nwithout a loop:", runs.count("no loop"), "in all:", runs.count("opened") > 20)
"""


@pytest.fixture
def run(tmp_path):
    """Runs the suite with arguments; returns what pytest says."""
    (tmp_path / "test_suite.py").write_text(SUITE)

    def run(*arguments):
        command = [sys.executable, "-m", "pytest", "-s", "-p", "no:cacheprovider", "-p", "no:hypothesispytest"]
        done = subprocess.run(
            [*command, *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
        )
        return done.stdout + done.stderr

    return run


def test_every_kind_of_coroutine_test_is_explored(run):
    said = run("--ferrio-explore=20")
    failed = re.findall(r"FAILED test_suite.py::(\S+)", said)
    assert failed == ["test_with_its_own_loop", "Case::test_case"]
    assert "2 failed, 3 passed, 1 skipped" in said
    # Fixtures of a module live through all runs, and a test without a choice runs once.
    assert "shared: 1 1" in said and "without a loop: 1 in all: True" in said
    found = re.findall(r"run \d+ of 20 failed, seed (\d+)\. .*--ferrio-replay='(\S+)'", said)
    assert len(found) == 2
    assert "> task" in said and "in get: await asyncio.sleep(0)" in said
    # The seed is the first one with which it fails, and the schedule brings the failure back.
    seed, schedule = found[0]
    again = run("--ferrio-explore=2", f"--ferrio-explore-seed={seed}", "-k", "own_loop")
    assert f"run 2 of 2 failed, seed {seed}" in again
    replayed = run(f"--ferrio-replay={schedule}", "-k", "own_loop")
    assert "1 failed" in replayed and f"Replayed '{schedule}'." in replayed


def test_a_schedule_that_does_not_fit_is_told(run):
    said = run("--ferrio-replay=1.z50.1", "-k", "without_a")
    assert "the test has left the schedule" in said and "1 failed, 1 passed" in said


def test_what_is_no_schedule_is_refused(run):
    assert "isn't a schedule" in run("--ferrio-replay=first")
