"""The standard library's tools show of a program on ferrio what docs/observing.md says, by its commands as written."""

import pathlib
import re
import sys

import pytest
from tests.docs import observing
from tests.docs.blocks import ROOT, matches
from tests.docs.observing import BLOCKS, COMMANDS, run, running, until

START = "python -m ferrio --observe app.py"
pytestmark = pytest.mark.timeout(200)
since_3_14 = pytest.mark.skipif(sys.version_info < (3, 14), reason="these commands exist from Python 3.14 on")
since_3_15 = pytest.mark.skipif(sys.version_info < (3, 15), reason="the profiler exists from Python 3.15 on")


@pytest.fixture
def unobserved(tmp_path, monkeypatch):
    """Returns the page's program, run by the command that the text names."""
    monkeypatch.setattr(observing, "COMMANDS", [*COMMANDS, "python -m ferrio app.py"])
    with running("python -m ferrio app.py", tmp_path) as process:
        yield process


@since_3_14
def test_tasks_of_another_process(tmp_path, unobserved):
    until(["Task-1", "fetch", "produce"], "python -m asyncio ps PID", tmp_path, unobserved)
    printed = until(["app.py:12"], "python -m asyncio pstree PID", tmp_path, unobserved)
    (shown,) = (block.body for block in BLOCKS if block.kind == "text" and "(T)" in block.body)
    assert matches(printed, shown), printed


@since_3_14
@pytest.mark.parametrize("start", [START, "FERRIO_OBSERVE=1 python -m ferrio app.py"])
def test_innermost_names(tmp_path, start):
    with running(start, tmp_path) as process:
        printed = until(["sleep ", "Queue.get "], "python -m asyncio pstree PID", tmp_path, process)
    assert "TaskGroup.__aexit__ " in printed


@since_3_15
def test_sampling_profiler(tmp_path, unobserved):
    expected = ["<task>", "fetch", "produce"]
    until(expected, "python -m profiling.sampling dump --async-aware PID", tmp_path, unobserved)
    command = "python -m profiling.sampling attach --async-aware --duration 1 PID"
    assert "Captured" in until(["Captured"], command, tmp_path, unobserved)


def test_profiler_of_calls(tmp_path):
    printed = run("python -m ferrio -m cProfile program.py", tmp_path)
    assert "ferrio.events [0, 1]" in printed
    # Each resumption of a coroutine counts.
    assert re.search(r"^ +4 .*program\.py:3\(step\)$", printed, re.MULTILINE), printed


@since_3_14
def test_debugger_stops_a_running_program(tmp_path, monkeypatch):
    # The page's program waits for an hour before it runs Python code again.
    often = observing.APP.replace("await asyncio.sleep(3600)", "while True:\n        await asyncio.sleep(0.01)")
    monkeypatch.setattr(observing, "APP", often)
    with running(START, tmp_path) as process:
        until(["app.py", "(Pdb)"], "python -m pdb -p PID", tmp_path, process, given="where\nquit\n")


def test_every_command_is_tested():
    files = [pathlib.Path(__file__), ROOT / "tests" / "libraries" / "test_observing.py"]
    sources = "".join(file.read_text() for file in files)
    assert [command for command in COMMANDS if f'"{command}"' not in sources] == []
