"""Prints one table of conformance runs, a line for each Python and mode: python tests/conformance/table.py FILE...

The files are written by `run.py --output`. The table is Markdown, as in docs/pythons.md, and also reads well in a
terminal. Only behaviour tests are counted (see classify.py). "listed" counts those that expectations.py names, with
the reason why they fail.
"""

import json
import sys
from pathlib import Path

HEADINGS = ("Python", "mode", "pass", "listed", "fail", "skipped", "of those that ran")


def row(document: dict) -> tuple[str, ...]:
    """Returns the cells of one run."""
    behaviour = [test for test in document["tests"].values() if test["kind"] == "behaviour"]
    passed, counted = document["score"]
    skipped = sum(test["status"] == "skip" for test in behaviour)
    listed = document["listed"]
    # A module that can't be imported hides its tests; that must not look like a good result.
    share = "broken" if document["broken"] else f"{100 * passed / counted:.2f} %" if counted else "none ran"
    counts = (passed, listed, counted - passed - listed, skipped)
    return (document["python"], document["mode"], *(str(count) for count in counts), share)


def version_key(cells: tuple[str, ...]) -> tuple[int, str, str]:
    """Sorts rows by version, free-threaded builds after the others, then by mode."""
    minor = cells[0].partition(".")[2]
    return (int(minor.rstrip("t")), minor, cells[1])


def main(files: list[str]) -> None:
    rows = sorted((row(json.loads(Path(file).read_text())) for file in files), key=version_key)
    widths = [max(len(cells[column]) for cells in [HEADINGS, *rows]) for column in range(len(HEADINGS))]
    rule = tuple("-" * width for width in widths)
    for cells in [HEADINGS, rule, *rows]:
        aligned = (
            cell.ljust(width) if column < 2 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        print("| " + " | ".join(aligned) + " |")


if __name__ == "__main__":
    main(sys.argv[1:])
