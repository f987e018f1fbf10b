"""The commands of the guide's page "My program stalls" print what the page shows."""

import itertools
import os
import signal
import subprocess
import sys

import pytest
from tests.docs.blocks import ROOT, blocks, matches

PAGE = ROOT / "docs" / "guide" / "stalling.md"
BLOCKS = blocks(PAGE)
# The first command of a block, and what it prints, with everything that the reader does meanwhile.
SHOWN = {
    block.body.splitlines()[0].split()[-1]: (block.body.splitlines()[0], following.body)
    for block, following in itertools.pairwise(BLOCKS)
    if block.kind == "sh" and following.kind == "text"
}


def run(command, *, until="", then=None):
    """Runs a command of the page; after a line that has `until`, sends it the signal `then`. Returns what it prints."""
    words = [sys.executable, *command.split()[1:]]
    variables = os.environ | {"PYTHONUNBUFFERED": "1", "PYTHON_COLORS": "0"}
    keywords = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    printed = []
    with subprocess.Popen(words, cwd=ROOT, env=variables, **keywords) as process:
        for line in process.stdout:
            printed.append(line)
            if then is not None and until in line:
                process.send_signal(then)
                then = None
    return "".join(printed).replace(f"{ROOT}/", "")


@pytest.mark.parametrize(
    ("trouble", "until", "then"),
    [
        ("blocks", "", None),
        ("waits", "kill -USR1", signal.SIGUSR1),
        ("deadlocks", "A circle", signal.SIGINT),
        ("lingers", "", None),
    ],
)
def test_a_trouble(trouble, until, then):
    command, shown = SHOWN[trouble]
    printed = run(command, until=until, then=then)
    if trouble == "blocks":
        # On a busy machine, other tasks may be slow too, and the thread may have waited for the CPU.
        assert "name='weather'" in printed and "in ask_the_weather_station" in printed
        assert "weather: rain\nhello: hello!\n" in printed
        return
    assert matches(printed, shown), printed


def test_every_command_is_tested():
    assert set(SHOWN) == {"blocks", "waits", "deadlocks", "lingers"}
