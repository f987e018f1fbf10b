"""Each public name of asyncio, and each attribute of each class, is the same on ferrio as on asyncio.

`differences.py` lists what differs on purpose. Where this Python's asyncio is older than the newest, ferrio may have
more: names that asyncio lacks aren't compared, and ferrio may add optional parameters.
"""

import fnmatch
import pathlib
import re
import sys

import pytest
from tests.surface.differences import DIFFERENCES
from tests.surface.facts import signatures

ROOT = pathlib.Path(__file__).parents[2]
NEWEST = (3, 15)

Surface = dict[str, dict[str, str]]


def differences(theirs: Surface, ours: Surface) -> dict[str, str]:
    """Returns what differs, as `path: aspect`, with both texts."""
    found = {}
    for path, facts in theirs.items():
        for aspect, expected in facts.items():
            there = ours.get(path) or {}
            offered = there.get(aspect, "nothing")
            if not there and aspect != "presence":
                continue  # the missing name is reported once
            if not same(aspect, expected, offered):
                found[f"{path}: {aspect}"] = f"asyncio has {expected!r}, ferrio {offered!r}"
    return found


def same(aspect: str, theirs: str, ours: str) -> bool:
    if aspect == "signature" and sys.version_info < NEWEST:
        return theirs == ours or signatures.offers(theirs, ours)
    return theirs == ours or (aspect == "module" and theirs == "anywhere")


def applies(why: str) -> bool:
    """Whether a reason applies to this Python: "3.12-3.13: ..." applies to these alone."""
    versions = re.match(r"(3\.\d+)-(3\.\d+): ", why)
    if versions is None:
        return True
    first, last = (tuple(map(int, version.split("."))) for version in versions.groups())
    return first <= sys.version_info[:2] <= last


def unlisted(found: dict[str, str]) -> list[str]:
    return [
        f"{key}: {texts}"
        for key, texts in found.items()
        if not any(fnmatch.fnmatchcase(key, pattern) for pattern in DIFFERENCES)
    ]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("world", ["ferrio", "installed"])
def test_surface_equals_asyncios(world, collected):
    assert unlisted(differences(collected("asyncio"), collected(world))) == []


@pytest.mark.timeout(300)
def test_listed_differences_exist(collected):
    found = differences(collected("asyncio"), collected("ferrio"))
    found |= differences(collected("asyncio"), collected("installed"))
    expected = {pattern for pattern, why in DIFFERENCES.items() if applies(why)}
    gone = [pattern for pattern in expected if not any(fnmatch.fnmatchcase(key, pattern) for key in found)]
    assert gone == []


def test_list_stays_short():
    assert len(DIFFERENCES) <= 60


def test_documentation_has_the_list():
    text = (ROOT / "docs" / "differences.md").read_text()
    section = text.partition("## Name by name\n")[2].partition("\n## ")[0]
    listed = re.findall(r"^- `(.+)`: (.+)$", section, re.MULTILINE)
    assert listed == list(DIFFERENCES.items())
