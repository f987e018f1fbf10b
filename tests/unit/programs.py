"""Runs separate programs, for tests about the end of a process, about its children, or about a fresh interpreter."""

import subprocess
import sys
import textwrap


def run_program(source, *arguments, file=None, options=("-X", "faulthandler"), **keywords):
    """Runs a program in its own process and returns what it printed, errors included. Fails if the program does.

    With `file` the program is saved there first, so that processes started by multiprocessing can import it.
    """
    program = ["-c", textwrap.dedent(source)]
    if file is not None:
        file.write_text(program[1])
        program = [file]
    done = subprocess.run(
        [sys.executable, *options, *program, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
        **keywords,
    )
    assert done.returncode == 0, f"the program ended with status {done.returncode}:\n{done.stdout}"
    return done.stdout
