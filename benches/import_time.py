"""The cost of `import ferrio` compared with `import asyncio`.

This file holds the command and the program that each process runs. Invariant: every figure comes from a fresh process
that measures only the import statement; the imports take turns.
"""

import json
import statistics
import subprocess
import sys
from pathlib import Path

import workers

DESCRIPTION = "Compare the time that `import asyncio` and `import ferrio` take in a fresh process."
EPILOG = "Target: ferrio takes at most 10 ms more than asyncio."
QUESTION = "import time; start = time.perf_counter_ns(); import {}; print(time.perf_counter_ns() - start)"
PIN = "import os; os.sched_setaffinity(0, [{}]); "
TARGET_MS = 10.0


def main() -> int:
    """Run the command; returns the exit status."""
    parser = workers.common_options(DESCRIPTION, EPILOG, impls=False)
    parser.add_argument("--runs", type=int, metavar="N", default=40, help="processes per package (default: 40)")
    parser.add_argument(
        "--packages", metavar="A,B", default="asyncio,ferrio", help="what to import (default: %(default)s)"
    )
    parser.add_argument("--json", metavar="F", type=Path, help="write every figure to F")
    options = parser.parse_args()
    if options.runs < 1:
        parser.error(f"--runs: {options.runs} runs measure nothing; give 1 or more")
    packages = options.packages.split(",")
    figures = {package: [] for package in packages}
    for run in range(options.runs + 1):
        for package in packages:
            took = import_once(options.python, package, options.cpus)
            # The first run fills the page cache and writes bytecode, so it isn't counted.
            if run:
                figures[package].append(took / 1e6)
    print(f"{'import, ms':<14}{'best':>10}{'median':>10}{'more than ' + packages[0]:>24}")
    for package, taken in figures.items():
        more = statistics.median(taken) - statistics.median(figures[packages[0]])
        mark = " !" if package == "ferrio" and packages[0] == "asyncio" and more > TARGET_MS else ""
        print(f"{package:<14}{min(taken):>10.2f}{statistics.median(taken):>10.2f}{more:>24.2f}{mark}")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")
    return 0


def import_once(python: str, package: str, cpus: str) -> int:
    """Import a package in a fresh process pinned to `cpus` ("": not pinned); returns nanoseconds."""
    command = [python, "-c", (PIN.format(cpus) if cpus else "") + QUESTION.format(package)]
    done = subprocess.run(command, capture_output=True, text=True, env=workers.clean_environment())
    if done.returncode:
        reason = done.stderr.strip().splitlines()[-1:]
        sys.exit(f"`import {package}` failed in {python}: {' '.join(reason)}\nAnother choice: --packages")
    return int(done.stdout)


if __name__ == "__main__":
    sys.exit(main())
