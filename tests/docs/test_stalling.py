"""The commands of the guide's page "My program stalls" print what the page shows."""

import contextlib
import itertools
import os
import pathlib
import signal
import subprocess
import sys

import pytest
from tests.docs.blocks import ROOT, blocks, matches

PAGE = ROOT / "docs" / "guide" / "stalling.md"
BLOCKS = blocks(PAGE)
COMMANDS = [
    line.partition("#")[0].strip() for block in BLOCKS if block.kind == "sh" for line in block.body.splitlines()
]
# What the page shows below a command; the other lines of its block are what the reader does meanwhile.
SHOWN = {
    block.body.splitlines()[0]: following.body
    for block, following in itertools.pairwise(BLOCKS)
    if block.kind == "sh" and following.kind == "text"
}
BOT = "examples/stalling_bot.py"


@pytest.fixture
def folder(tmp_path):
    """A folder with the examples, as the reader has it."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    return tmp_path


@contextlib.contextmanager
def started(command, folder):
    """Starts a command of the page and yields its process."""
    assert command in COMMANDS
    words = [sys.executable, *command.replace("<pid>", "PID").split()[1:]]
    variables = os.environ | {"PYTHONUNBUFFERED": "1", "PYTHON_COLORS": "0"}
    keywords = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with subprocess.Popen(words, cwd=folder, env=variables, **keywords) as process:
        try:
            yield process
        finally:
            process.kill()


def run(command, folder, *, until="", then=None):
    """Runs a command to its end; after a line that has `until`, sends it the signal `then`. Returns what it prints."""
    printed = []
    with started(command, folder) as process:
        for line in process.stdout:
            printed.append(line)
            if then is not None and until in line:
                process.send_signal(then)
                then = None
        process.wait()
    return "".join(printed).replace(f"{folder}/", "")


@pytest.mark.parametrize(
    ("command", "until", "then"),
    [
        (f"python -m ferrio --dump-signal=USR1 {BOT} waits", "kill -USR1", signal.SIGUSR1),
        (f"python -m ferrio --watch {BOT} deadlocks", "A circle", signal.SIGINT),
        (f"python -m ferrio {BOT} lingers", "", None),
        (f"python -m ferrio --record=10 --watch=0.1 {BOT} blocks", "", None),
    ],
)
def test_what_a_command_prints(command, until, then, folder):
    printed = run(command, folder, until=until, then=then)
    assert matches(printed, SHOWN[command]), printed


def test_watchdog(folder):
    # On a busy machine, other tasks may be slow too, and the thread may have waited for the CPU.
    printed = run(f"python -m ferrio --watch=0.1 {BOT} blocks", folder)
    assert "name='weather'" in printed and "in ask_the_weather_station" in printed
    # Reports come from another thread, even in the middle of a line.
    assert "weather: rain" in printed and "hello: hello!" in printed


def test_trace(folder):
    assert run(f"python -m ferrio --trace=road.html {BOT} blocks", folder) == "weather: rain\nhello: hello!\n"
    assert "<title>" in (folder / "road.html").read_text()


@pytest.mark.parametrize(
    ("command", "expected"),
    [("ferrio ps", f"{BOT} waits"), ("ferrio tree <pid>", "look_up('news.example.org', 80")],
)
def test_other_terminal(command, expected, folder):
    assert command in COMMANDS
    with started(f"python -m ferrio --sight {BOT} waits", folder) as process:
        assert "Still no news" in process.stdout.readline()
        words = [sys.executable, "-m", *command.replace("<pid>", str(process.pid)).split()]
        assert expected in subprocess.run(words, capture_output=True, text=True, check=True).stdout


def test_every_command_is_tested():
    # `ferrio top` has its own tests, and the test of the dump sends its signal itself.
    others = {"kill -USR1 <pid>", "ferrio top <pid>"}
    source = pathlib.Path(__file__).read_text().replace("{BOT}", BOT)
    assert [command for command in COMMANDS if command not in others and f'"{command}"' not in source] == []
