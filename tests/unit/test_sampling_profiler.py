"""Python 3.15's sampling profiler sees the tasks of a program on ferrio by name, in both of its modes for tasks.

It reads the other process's memory while that runs, so single samples may fail, on asyncio as well.
"""

import contextlib
import pathlib
import re
import subprocess
import sys

import pytest

pytestmark = [
    pytest.mark.skipif(sys.version_info < (3, 15), reason="the profiler exists from Python 3.15 on"),
    pytest.mark.timeout(100),
]

BUSY = str(pathlib.Path(__file__).with_name("busy_tasks.py"))
WAYS = {
    "asyncio": [BUSY, "asyncio"],
    "import ferrio as asyncio": [BUSY, "ferrio"],
    "python -m ferrio": ["-m", "ferrio", BUSY, "asyncio"],
}
RUNNING = {("Task-1", "main", f"works_{number}", "works") for number in range(2)}
EXPECTED = {"running": RUNNING, "all": RUNNING | {("Task-1", "main", "waits", "waits")}}


@contextlib.contextmanager
def running(arguments):
    """Yields the PID of the busy program."""
    with subprocess.Popen([sys.executable, *arguments], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline() == "ready\n"
            yield process.pid
        finally:
            process.kill()


def sample(*arguments):
    """Returns what the profiler prints."""
    command = [sys.executable, "-m", "profiling.sampling", *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if "ermission" in done.stdout:
        pytest.skip("this system doesn't let a process read the memory of another")
    assert done.returncode == 0, done.stdout
    return done.stdout


def own(stack):
    """Returns the tasks and the program's own functions on a stack, outermost first, without what runs inside them."""
    found = re.findall(r"<task>:([\w-]+):|busy_tasks\.py:(main|works|waits):", stack)
    return tuple(task or function for task, function in found)


@pytest.mark.parametrize("mode", EXPECTED)
@pytest.mark.parametrize("arguments", WAYS.values(), ids=WAYS)
def test_samples_name_the_tasks(tmp_path, arguments, mode):
    file = tmp_path / "stacks"
    options = ["--async-aware", "--async-mode", mode, "--duration", "1", "--collapsed", "--output", str(file)]
    with running(arguments) as pid:
        said = sample("attach", *options, str(pid))
    stacks = [line.rpartition(" ")[0] for line in file.read_text().splitlines()]
    assert EXPECTED[mode] <= {own(stack) for stack in stacks}
    assert float(re.search(r"Error rate: ([\d.]+)", said)[1]) < 50


@pytest.mark.parametrize("arguments", WAYS.values(), ids=WAYS)
def test_dump_names_the_tasks(arguments):
    with running(arguments) as pid:
        shown = sample("dump", "--async-aware", str(pid))
    assert {"Task-1", "works_0", "works_1", "waits"} == set(re.findall(r'File "<task>", in ([\w-]+)', shown))
