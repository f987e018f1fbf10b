"""Each public name of asyncio, and each attribute of each class, is on ferrio what it is on asyncio.

What differs on purpose is in `differences.py`. Where this Python's asyncio is older than the newest, ferrio may have
more: names that asyncio hasn't are not asked for, and parameters may be added if they needn't be given.
"""

import fnmatch
import re
import sys

import pytest
from tests.surface.differences import DIFFERENCES
from tests.surface.facts import signatures

NEWEST = (3, 15)

Surface = dict[str, dict[str, str]]


def differences(theirs: Surface, ours: Surface) -> dict[str, str]:
    """What differs, as `path: aspect`, with both texts."""
    found = {}
    for path, facts in theirs.items():
        for aspect, expected in facts.items():
            there = ours.get(path) or {}
            offered = there.get(aspect, "nothing")
            if not there and aspect != "presence":
                continue  # that it is missing is said once
            if not same(aspect, expected, offered):
                found[f"{path}: {aspect}"] = f"asyncio has {expected!r}, ferrio {offered!r}"
    return found


def same(aspect: str, theirs: str, ours: str) -> bool:
    if aspect == "signature" and sys.version_info < NEWEST:
        return theirs == ours or signatures.offers(theirs, ours)
    return theirs == ours or (aspect == "module" and theirs == "anywhere")


def unlisted(found: dict[str, str]) -> list[str]:
    patterns = [re.compile(fnmatch.translate(pattern)) for pattern in DIFFERENCES]
    return [f"{key}: {texts}" for key, texts in found.items() if not any(each.match(key) for each in patterns)]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("world", ["ferrio", "installed"])
def test_surface_is_asyncios(world, collected):
    found = differences(collected("asyncio"), collected(world))
    assert unlisted(found) == []
