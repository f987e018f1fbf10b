"""A process that prints a line of JSON for each case, replaced when it dies: the case at which it did is reported."""

import json
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[2]


def reports(command, environment=None):
    """Yields a report for each case; `command(number)` makes the arguments for Python to begin with that case."""
    number, ended = 0, False
    while not ended:
        arguments = [sys.executable, *map(str, command(number))]
        with subprocess.Popen(
            arguments, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            for line in process.stdout:
                yield json.loads(line)
                number += 1
            errors = process.stderr.read()
        ended = process.returncode == 0
        if not ended:
            wrong = f"the process ended with status {process.returncode}:\n{errors}"
            yield {"case": f"case {number} of {' '.join(arguments[1:])}", "hits": 1, "wrong": [wrong]}
            number += 1
