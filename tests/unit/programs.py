"""Runs separate programs, for tests about the end of a process or about its children."""

import subprocess
import sys
import textwrap


def run_program(source):
    """Runs a program in its own process and returns its output."""
    return subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", textwrap.dedent(source)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=True,
    ).stdout
