"""A program's modules with names of the standard library's: the program gets its own, and ferrio doesn't."""

import subprocess
import sys

import pytest

# What the command line and its switches import, and `asyncio` doesn't.
NAMES = ["glob", "json", "platform", "pkgutil"]

PROGRAM = """
import asyncio
import {name}

print({name}.here)
asyncio.run(asyncio.sleep(0))
"""


@pytest.fixture
def directory(tmp_path, monkeypatch):
    """A program in a directory of its own, from which it is started."""
    tmp_path.chmod(0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    made = tmp_path / "program"
    made.mkdir()
    monkeypatch.chdir(made)
    return made


@pytest.mark.parametrize("switches", [[], ["--sight", "--watch", "--dump-signal", "--trace=out.html", "--metrics"]])
@pytest.mark.parametrize("name", NAMES)
def test_each_gets_its_own(directory, name, switches):
    (directory / f"{name}.py").write_text("here = __file__")
    (directory / "app.py").write_text(PROGRAM.format(name=name))
    for program in (["app.py"], ["-m", "app"], ["-c", PROGRAM.format(name=name)]):
        command = [sys.executable, "-m", "ferrio", *switches, *program]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (0, f"{directory}/{name}.py\n", ""), program
        assert (directory / "out.html").exists() == bool(switches)


@pytest.mark.parametrize("switches", [[], ["--sight", "--trace=out.json"]])
def test_a_program_elsewhere_gets_those_beside_it(directory, tmp_path, switches):
    beside = tmp_path / "elsewhere"
    (beside / "json").mkdir(parents=True)
    (beside / "json" / "__init__.py").write_text("from json.decoder import here")
    (beside / "json" / "decoder.py").write_text("here = __name__")
    (beside / "app.py").write_text(PROGRAM.format(name="json"))
    command = [sys.executable, "-m", "ferrio", *switches, beside / "app.py"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "json.decoder\n", "")


@pytest.mark.parametrize("name", NAMES)
def test_the_commands_get_none_of_them(directory, name):
    (directory / f"{name}.py").write_text("raise SystemExit('imported')")
    command = [sys.executable, "-m", "ferrio", "ps", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "[]\n", "")


def test_the_installed_command_gets_none_of_them(directory, tmp_path):
    (directory / "platform.py").write_text("here = __file__")
    (directory / "app.py").write_text(PROGRAM.format(name="platform"))
    command = tmp_path / "ferrio"
    command.write_text("from ferrio.cli import script\nscript()\n")  # as installers write it
    done = subprocess.run(
        [sys.executable, command, "--sight", "app.py"], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{directory}/platform.py\n", "")
