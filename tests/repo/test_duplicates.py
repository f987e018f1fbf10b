"""No run of lines stands twice in the binding's network code: what is equal in several classes is written once.

A run is six lines of code or more, in one file or in two. Brackets alone, imports and comments don't
count, nor does indentation. What has to stand twice all the same is listed here with its reason.
"""

import re
from collections import defaultdict

from tests.repo.sources import ROOT, rust_code

NET = ROOT / "crates/ferrio-python/src/net"
LINES = 6

# The first line of a run that may stand twice, and why.
ALLOWED: dict[str, str] = {}


def counted(path):
    """Returns the lines of a file that count, each with its number, without indentation."""
    lines, in_import = [], False
    for number, code in rust_code(path):
        text = code.strip()
        in_import = in_import or text.startswith(("use ", "pub(crate) use "))
        if not in_import and re.search(r"\w", text):
            lines.append((number, text))
        if text.endswith(";"):
            in_import = False
    return lines


def runs_that_stand_twice(files):
    """Returns the runs as (first place, second place, first line), the longest possible ones; `files` by name."""
    seen = defaultdict(list)
    for file, lines in files.items():
        for start in range(len(lines) - LINES + 1):
            seen[tuple(text for _, text in lines[start : start + LINES])].append((file, start))
    twice = {(places[0], later): run[0] for run, places in seen.items() for later in places[1:]}
    found = []
    for ((file, start), (other, begin)), first in twice.items():
        if ((file, start - 1), (other, begin - 1)) not in twice:
            found.append((f"{file}:{files[file][start][0]}", f"{other}:{files[other][begin][0]}", first))
    return sorted(found)


def test_the_check_finds_a_run():
    lines = [(number, f"line {number};") for number in range(1, 8)]
    assert runs_that_stand_twice({"a": lines, "b": [(10, "other;"), *lines]}) == [("a:1", "b:1", "line 1;")]
    assert not runs_that_stand_twice({"a": lines[:5], "b": lines[:5]})


def test_no_run_of_lines_stands_twice():
    files = {path.relative_to(NET).as_posix(): counted(path) for path in sorted(NET.rglob("*.rs"))}
    found = runs_that_stand_twice(files)
    unknown = [f"{here} and {there}: {first}" for here, there, first in found if first not in ALLOWED]
    assert not unknown, "\n".join(unknown)
    assert ALLOWED.keys() <= {first for _, _, first in found}, "an entry that is no longer needed"
