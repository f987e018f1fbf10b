"""Lets each system call of ferrio's fail, in a program of everything: a part of `make faults`.

python -m tests.faults.calls                    # every part, every call, every fault
python -m tests.faults.calls --only tcp --most 3 -v
"""

import argparse
import sys
import time

from tests.faults import scenes, shim, workers


def reports(scene, most, kinds="harmless harmful"):
    """Yields a report for each case of a part, at most `most` for each kind of call and fault; see `failing.py`."""
    yield from workers.reports(
        lambda number: ["-m", "tests.faults.failing", scene, number, most, kinds], environment=shim.environment()
    )


def main():
    """Prints what is wrong and a summary; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", default=[scene.__name__ for scene in scenes.SCENES])
    parser.add_argument("--most", type=int, default=1000, help="the most calls of one kind that fail in a part")
    parser.add_argument("-v", "--verbose", action="store_true", help="print every case")
    given = parser.parse_args()
    started, cases, happened, failed = time.monotonic(), 0, 0, 0
    for scene in given.only:
        for report in reports(scene, given.most):
            cases, happened = cases + 1, happened + bool(report["hits"])
            failed += bool(report["wrong"])
            if report["wrong"] or given.verbose:
                print(f"{report['case']}: {'; '.join(report['wrong']) or 'fine'}", flush=True)
    print(f"system calls, Python {sys.version.split()[0]}: {cases} cases, {happened} of them happened, {failed} wrong")
    print(f"{time.monotonic() - started:.0f} seconds")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
