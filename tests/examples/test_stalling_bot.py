"""stalling_bot.py: it answers if nothing stalls. `tests/docs/test_stalling.py` runs its troubles."""

import subprocess
import sys

from tests.examples.conftest import EXAMPLES


def run_bot(*arguments):
    command = [sys.executable, "-m", "ferrio", str(EXAMPLES / "stalling_bot.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_a_bot_that_works():
    done = run_bot("works")
    assert (done.returncode, done.stdout, done.stderr) == (0, "hello: hello!\n" * 3, "")


def test_without_a_trouble_it_says_which_there_are():
    done = run_bot()
    assert done.returncode == 1
    assert done.stderr == "usage: stalling_bot.py blocks | deadlocks | waits | lingers | works\n"
