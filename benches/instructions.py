"""Instructions per operation of the scenarios of `run.py`, counted by valgrind: the same on a busy machine.

Each column is a set of environment variables (`sight.WAYS`) or another build of ferrio. An instruction isn't a
nanosecond: what waits for memory or for the kernel costs more than is counted here. So this finds small differences,
and `run.py` and `sight.py` say what they mean in time.
"""

import argparse
import asyncio
import ctypes
import gc
import math
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import console
import scenarios
import sight
import workers

DESCRIPTION = "Count the instructions per operation of each scenario, with valgrind, against the first column."
EPILOG = """\
columns   the name of a way in sight.py (off, metrics, watch ...), or a directory with another build of ferrio

examples  benches/instructions.py                                 every way of sight.py
          benches/instructions.py off /tmp/before --only 'sleep|queue'
"""
# Of the count of a full run of run.py; valgrind makes a program 50 times as slow.
SHARE, SHARE_WARM = 0.03, 0.01
HERE = Path(__file__).resolve().parent


def main() -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=DESCRIPTION, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("columns", nargs="*", metavar="COLUMN", help="what is compared (default: all ways of sight.py)")
    parser.add_argument("--python", default=sys.executable, metavar="PY", help="the interpreter (default: this one)")
    parser.add_argument("--only", metavar="REGEX", default="", help="the rows whose name matches, case ignored")
    options = parser.parse_args()
    columns = options.columns or list(sight.WAYS)
    for column in columns:
        if column not in sight.WAYS and not (Path(column) / "ferrio").is_dir():
            parser.error(f"{column} is neither a directory with ferrio nor one of {', '.join(sight.WAYS)}")
    chosen = [each.name for each in scenarios.load() if re.search(options.only, each.name, re.IGNORECASE)]
    if not chosen:
        parser.error(f"--only: no row matches {options.only!r}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        library = folder / "instructions.so"
        subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", library, HERE / "instructions.c"], check=True)
        counted = {}
        for column in columns:
            console.progress(f"{column}: {len(chosen)} rows")
            counted[column] = count(options.python, column, chosen, library, folder)
    console.progress("")
    print(table(counted, columns, chosen))
    return 0


def count(python: str, column: str, chosen: list[str], library: Path, folder: Path) -> dict[str, float]:
    """Instructions per operation of each row, in one process under callgrind."""
    variables = dict(sight.WAYS.get(column, {}))
    if "FERRIO_WATCH" in variables:
        # The watchdog's thread looks by the clock, and valgrind makes the rest 50 times as slow.
        variables["FERRIO_WATCH"] = "5"
    if column not in sight.WAYS:
        variables = {"PYTHONPATH": column}
    out = folder / f"callgrind.{column.replace('/', '_')}"
    command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", "--compress-strings=no"]
    done = subprocess.run(
        [*command, python, __file__, "--inside", str(library), *chosen],
        env=workers.clean_environment() | variables,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        sys.exit(f"{column}: the measured process failed:\n{done.stderr}")
    operations = dict(line.split("\t") for line in done.stdout.splitlines())
    counted = {}
    for part in folder.glob(f"{out.name}.*"):
        head = part.read_text(errors="replace")
        row = re.search(r"^desc: Trigger: Client Request: (.*)$", head, re.MULTILINE)
        total = re.search(r"^(?:summary|totals): (\d+)", head, re.MULTILINE)
        if row and total:
            counted[row[1]] = int(total[1]) / int(operations[row[1]])
    return counted


def inside(library: str, chosen: list[str]) -> None:
    """In the measured process: runs each row, and has callgrind write its count after each."""
    import ferrio

    callgrind = ctypes.CDLL(library)
    rows = {each.name: each for each in scenarios.load()}

    async def measure(row):
        await row.body(ferrio, row.count(SHARE_WARM))
        gc.collect()
        callgrind.zero()
        operations = await row.body(ferrio, row.count(SHARE))
        callgrind.dump(row.name.encode())
        return operations

    for name in chosen:
        runner = asyncio.Runner(loop_factory=ferrio.new_event_loop)
        with runner:
            print(f"{name}\t{runner.run(measure(rows[name]))}", flush=True)
    # What follows isn't measured.
    os._exit(0)


def table(counted: dict[str, dict[str, float]], columns: list[str], chosen: list[str]) -> str:
    """The first column's counts, the ratios of the others, and their geometric means."""
    first, *others = columns
    width = max(10, *(len(Path(other).name) + 2 for other in others)) if others else 10
    lines = [f"\n{'':<44}{Path(first).name:>12}" + "".join(f"{Path(other).name:>{width}}" for other in others)]
    for name in chosen:
        ratios = "".join(f"{counted[other][name] / counted[first][name]:>{width}.3f}" for other in others)
        lines.append(f"{name:<44}{counted[first][name]:>12.0f}{ratios}")
    if others:
        means = (
            math.exp(sum(math.log(counted[other][name] / counted[first][name]) for name in chosen) / len(chosen))
            for other in others
        )
        lines.append(f"{'geometric mean':<56}" + "".join(f"{mean:>{width}.3f}" for mean in means))
    return "\n".join(lines)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--inside"]:
        inside(sys.argv[2], sys.argv[3:])
    else:
        sys.exit(main())
