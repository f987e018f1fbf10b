"""Runs programs of their own, for tests of what a process does at its end or to its children."""

import subprocess
import sys
import textwrap


def run_program(source):
    """Runs a program of its own, and returns its output."""
    return subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", textwrap.dedent(source)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=True,
    ).stdout
