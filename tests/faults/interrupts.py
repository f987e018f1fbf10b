"""Interrupts many small programs, each at a random bytecode: `make interrupts COUNT=10000`.

    python -m tests.faults.interrupts --count 10000            # on ferrio
    python -m tests.faults.interrupts --first 17 --count 1 -v  # one of them

After each: no hang, no crash, no loop left running, nothing lost, and the next loop works. `interrupted.py` runs a
program and looks; `programs.py` has the programs.
"""

import argparse
import collections
import sys
import time

from tests.faults import workers


def reports(first, last, implementation="ferrio"):
    """Yields a report for each seed from `first` up to `last`."""
    arguments = ["-m", "tests.faults.interrupted", implementation]
    for number, report in enumerate(workers.reports(lambda number: [*arguments, first + number, last]), first):
        yield {"seed": number, "places": [], **report}


def main():
    """Prints what is wrong and a summary; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--on", default="ferrio", choices=["ferrio", "asyncio"])
    parser.add_argument("-v", "--verbose", action="store_true", help="print every program")
    given = parser.parse_args()
    started, failed = time.monotonic(), 0
    kinds, places = collections.Counter(), collections.Counter()
    for report in reports(given.first, given.first + given.count, given.on):
        kinds[report["case"].split()[0]] += 1
        places.update({"none": 1} if not report["places"] else [place.split(":")[0] for place in report["places"]])
        failed += bool(report["wrong"])
        if report["wrong"] or given.verbose:
            where = " and ".join(report["places"]) or "no bytecode"
            print(f"{report['seed']} {report['case']}, interrupted at {where}: {'; '.join(report['wrong']) or 'fine'}")
    print(f"{given.count} programs on {given.on}, Python {sys.version.split()[0]}: {failed} with something wrong")
    print("programs:", ", ".join(f"{count} {kind}" for kind, count in kinds.most_common()))
    print("interrupts by file:", ", ".join(f"{count} {place}" for place, count in places.most_common()))
    print(f"{time.monotonic() - started:.0f} seconds")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
