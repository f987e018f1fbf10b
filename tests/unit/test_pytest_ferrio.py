"""pytest's plugin: one line of configuration runs a suite on ferrio, and without it nothing happens.

tests/libraries covers other plugins.
"""

import subprocess
import sys

import pytest

SUITE = """
import asyncio, sys, unittest
from asyncio import Queue

class Case(unittest.IsolatedAsyncioTestCase):
    async def test_in_a_loop(self):
        show("case")

def test_that_runs_a_loop():
    async def main():
        show("run")
    asyncio.run(main())

def show(where):
    kind = type(asyncio.get_running_loop()).__module__
    print("\\n" + where, kind.partition(".")[0], Queue.__module__.partition(".")[0], "ferrio" in sys.modules)
"""

# Importing hypothesis takes three times as long as everything else.
QUICKLY = ["-p", "no:cacheprovider", "-p", "no:hypothesispytest"]


@pytest.fixture
def run(tmp_path):
    """Runs the suite above with more arguments; returns what the suite showed, and pytest's other lines."""
    (tmp_path / "test_suite.py").write_text(SUITE)

    def run(*arguments, configuration=""):
        (tmp_path / "pyproject.toml").write_text("[tool.pytest.ini_options]\n" + configuration)
        done = subprocess.run(
            [sys.executable, "-W", "error", "-m", "pytest", "-s", *QUICKLY, *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        lines = done.stdout.splitlines()
        shown = [line for line in lines if line.startswith(("case ", "run "))]
        return shown, [line for line in lines if line not in shown]

    return run


def test_whole_suite_runs_on_ferrio(run):
    shown, said = run(configuration="ferrio = true")
    assert shown == ["case ferrio ferrio True", "run ferrio ferrio True"]
    assert any("asyncio is ferrio" in line for line in said)


def test_suite_runs_on_the_loop_alone(run):
    shown, said = run(configuration="ferrio_loop = true")
    assert shown == ["case ferrio asyncio True", "run ferrio asyncio True"]
    assert any("asyncio on ferrio's loop" in line for line in said)


def test_command_line_overrides_the_configuration(run):
    assert run("-o", "ferrio=true")[0] == ["case ferrio ferrio True", "run ferrio ferrio True"]
    assert run("-o", "ferrio=false", configuration="ferrio = true")[0][0] == "case asyncio asyncio False"


def test_unconfigured_plugin_imports_nothing(run):
    assert run()[0] == ["case asyncio asyncio False", "run asyncio asyncio False"]


def test_conftest_can_name_the_plugin(run, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["pytest_ferrio"]')
    shown, _ = run("-o", "ferrio=true")
    assert shown == ["case ferrio ferrio True", "run ferrio ferrio True"]


def test_asyncio_is_restored_after_the_run(tmp_path):
    (tmp_path / "test_suite.py").write_text(SUITE)
    program = """
import asyncio, sys, pytest
before = dict(vars(asyncio))
assert pytest.main(["-q", "-o", *sys.argv[1:]]) == 0
changed = [name for name in before if vars(asyncio).get(name) is not before[name]]
print(changed, type(asyncio.new_event_loop()).__module__)
"""
    for setting in ("ferrio=true", "ferrio_loop=true"):
        done = subprocess.run(
            [sys.executable, "-c", program, setting, *QUICKLY],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.stdout.splitlines()[-1] == "[] asyncio.unix_events", done.stdout + done.stderr
