"""The reference is complete: every public name has one entry, and every entry has a text.

tools/site_reference.py makes the entries; it also fails `make docs` if a docstring is missing.
"""

import inspect
import re
import sys
from pathlib import Path

import pytest

import ferrio

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tools"))

import site_reference  # noqa: E402 - found by the line above

PAGES = sorted((ROOT / "docs" / "reference").glob("*.md"))
ENTRIES = [(page, path) for page in PAGES for path in site_reference.DIRECTIVE.findall(page.read_text())]
PASSED_ON = {"args", "kwargs", "kwds"}
PATHS = [path for _, path in ENTRIES]


def test_every_public_name_has_one_entry():
    assert {f"ferrio.{name}" for name in ferrio.__all__} <= set(PATHS)
    assert len(PATHS) == len(set(PATHS))


@pytest.mark.parametrize(("page", "path"), ENTRIES, ids=PATHS)
def test_entry_has_a_text(page, path):
    thing = site_reference.find(path)
    assert "\n".join(site_reference.entry(path))
    if not site_reference.is_described(thing, path):
        # The page shows it between this entry and the next.
        after = page.read_text().split(f"::: {path}\n", 1)[1]
        assert re.split(r"^(?::::|#)", after, maxsplit=1, flags=re.MULTILINE)[0].strip()


def parameters(path):
    """Returns the names of a function's parameters."""
    try:
        return list(inspect.signature(site_reference.find(path)).parameters)
    except ValueError:
        return []


@pytest.mark.parametrize("path", [path for path in PATHS if inspect.isroutine(site_reference.find(path))])
def test_function_names_each_of_its_parameters(path):
    function = site_reference.find(path)
    if site_reference.is_described(function, path):
        text = inspect.getdoc(function)
        # `**kwds` is described by naming the function that takes these keywords.
        silent = [
            name
            for name in parameters(path)
            if name not in PASSED_ON and not re.search(rf"`[^`]*\b{name}\b[^`]*`", text)
        ]
        assert not silent, f"the docstring of {path} doesn't mention {silent}"
