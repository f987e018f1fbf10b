"""The commands of docs/observing.md, and how a test runs them. `test_observing.py` runs those of the standard library,
`tests/libraries/test_observing.py` those of other projects."""

import contextlib
import os
import pathlib
import shlex
import subprocess
import sys

from tests.docs.blocks import ROOT, blocks

PAGE = ROOT / "docs" / "observing.md"
BLOCKS = blocks(PAGE)
COMMANDS = [line for block in BLOCKS if block.kind == "sh" for line in block.body.splitlines()]
(APP,) = (block.body for block in BLOCKS if block.note == "file: app.py")
#: A program that ends, for profilers that show what they know when it does.
PROGRAM = """\
import asyncio

async def step(number):
    await asyncio.sleep(0)
    return number

async def main():
    tasks = [asyncio.create_task(step(number), name=f"step {number}") for number in range(2)]
    print(type(asyncio.get_running_loop()).__module__, await asyncio.gather(*tasks))

asyncio.run(main())
"""


def prepared(command, **replaced):
    """Returns the arguments and the variables of a command of the page, with other values for words in it."""
    assert command in COMMANDS, f"docs/observing.md has no command {command!r}"
    words = [str(replaced.get(word, word)) for word in shlex.split(command)]
    variables = {"PYTHONUNBUFFERED": "1", "PYTHON_COLORS": "0"}
    while "=" in words[0]:
        variables.update([words.pop(0).split("=", 1)])
    folder = str(pathlib.Path(sys.executable).parent)
    path = os.pathsep.join([folder, os.environ.get("PATH", "")])
    return words, os.environ | variables | {"PATH": path}


def run(command, folder, *, check=True, given="", **replaced):
    """Runs a command of the page in a folder with both programs; returns what it prints."""
    (folder / "app.py").write_text(APP)
    (folder / "program.py").write_text(PROGRAM)
    words, variables = prepared(command, **replaced)
    done = subprocess.run(
        words, cwd=folder, env=variables, input=given, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert done.returncode == 0 or not check, done.stdout
    return done.stdout


@contextlib.contextmanager
def running(command, folder, **replaced):
    """Starts a command of the page and yields its process, which is killed at the end."""
    (folder / "app.py").write_text(APP)
    words, variables = prepared(command, **replaced)
    with subprocess.Popen(words, cwd=folder, env=variables, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def until(expected, command, folder, process, given=""):
    """Runs a command of the page about a process until what it prints has all that is `expected`; returns that.

    The process may be just starting. The test's own limit ends this.
    """
    while True:
        printed = run(command, folder, check=False, given=given, PID=process.pid)
        if all(text in printed for text in expected):
            return printed
        assert process.poll() is None, printed
