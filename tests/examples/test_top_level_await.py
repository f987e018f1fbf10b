"""top_level_await.py: the whole file runs on one loop, and plain Python refuses it."""

import pathlib
import subprocess
import sys

EXAMPLES = pathlib.Path(__file__).parents[2] / "examples"

OUTPUT = """\
start
[2, 4, 6]
one two
one loop: True
"""


def test_output(run_example):
    assert run_example("top_level_await.py") == OUTPUT


def test_plain_python_refuses_the_file():
    path = EXAMPLES / "top_level_await.py"
    done = subprocess.run([sys.executable, str(path)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert "SyntaxError: 'await' outside function" in done.stderr
