"""stalling_bot.py: debug mode reports the bot that blocks by name, and not the one that uses a thread.

It runs in real time, because a virtual clock stands still while code blocks.
"""

import re
import subprocess
import sys

from tests.examples.conftest import EXAMPLES


def test_report_names_the_blocking_task():
    done = subprocess.run(
        [sys.executable, "-m", "ferrio", str(EXAMPLES / "stalling_bot.py")], capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert [line for line in lines if line.startswith("rain")] == [
        "rain, and meanwhile the heart stood still",
        "rain, and meanwhile the heart beat",
    ]
    # On a busy machine another step may be slow too.
    (report,) = [line for line in lines if "Task finished name='stalls'" in line]
    file = re.escape(str(EXAMPLES / "stalling_bot.py"))
    assert re.fullmatch(
        rf"Executing <Task finished name='stalls' coro=<stalls\(\) done, defined at {file}:\d+> result='rain' "
        rf"created at {file}:\d+> took \d+\.\d{{3}} seconds",
        report,
    )
