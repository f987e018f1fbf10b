"""ARCHITECTURE.md names files and folders of the binding that exist, and layers as the layer test has them."""

import re

from tests.repo.sources import ROOT
from tests.repo.test_layers import HEIGHTS

TEXT = (ROOT / "ARCHITECTURE.md").read_text()
BINDING = ROOT / "crates/ferrio-python/src"


def test_named_files_exist():
    named = re.findall(rf"`((?:{'|'.join(HEIGHTS)})/[\w/]+)`", TEXT)
    assert named
    missing = [path for path in named if not (BINDING / path).is_dir() and not (BINDING / f"{path}.rs").is_file()]
    assert not missing, missing


def test_every_layer_is_described():
    assert set(re.findall(r"^\| `(\w+)` \|", TEXT, re.MULTILINE)) >= set(HEIGHTS)


def test_each_story_is_short():
    for story in TEXT.split("\n### ")[1:]:
        title, _, body = story.partition("\n")
        steps = body.split("\n## ")[0].strip().splitlines()
        assert len(steps) <= 12, title
