"""Whatever the documents name exists: tests, files, `make` targets. Nothing here judges the prose."""

import re

import pytest
from tests.repo.sources import ROOT, name, own_files

DIFFERENCES = ROOT / "docs" / "differences.md"
# The file of tests that docs/differences.md names without a file.
DEFAULT_TESTS = "tests/unit/test_differences.py"

DOCUMENTS = [name(path) for path in own_files(".md")]


def without_code_blocks(document: str) -> str:
    """Returns a document's text without its code blocks."""
    text = (ROOT / document).read_text()
    return re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_somewhere(document):
    targets = re.findall(r"\]\(([^)#\s]+)", without_code_blocks(document))
    local = [target for target in targets if not re.match(r"[a-z]+:", target)]
    broken = [target for target in local if not ((ROOT / document).parent / target).exists()]
    assert not broken


@pytest.mark.parametrize("document", DOCUMENTS)
def test_named_files_exist(document):
    # `tests/unit/test_timeout.py`, `crates/ferrio-engine/src/turn.rs`: only whole paths; patterns are prose.
    paths = re.findall(
        r"`((?:benches|crates|docs|examples|python|tests|tools)/[\w./-]+)`", without_code_blocks(document)
    )
    gone = [path for path in paths if not (ROOT / path).exists()]
    assert not gone


@pytest.mark.parametrize("document", DOCUMENTS)
def test_named_make_targets_exist(document):
    targets = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = re.findall(r"`make ([a-z][a-z-]*)`|^ +make ([a-z][a-z-]*)", (ROOT / document).read_text(), re.MULTILINE)
    assert {one or other for one, other in named} <= targets


def test_every_page_is_in_the_sites_navigation():
    known = (ROOT / "mkdocs.yml").read_text()
    pages = [path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")]
    assert not [page for page in pages if not re.search(rf"[ ]{re.escape(page)}$", known, re.MULTILINE)]


def differences_and_tests() -> list[tuple[str, str]]:
    """Returns the tests that docs/differences.md names, as (file, function)."""
    found = re.findall(r"`(?:(tests/[\w/]+\.py)::)?(test_\w+)`", DIFFERENCES.read_text())
    return [(file or DEFAULT_TESTS, function) for file, function in found]


@pytest.mark.parametrize(("file", "function"), differences_and_tests())
def test_named_test_of_a_difference_exists(file, function):
    assert re.search(rf"^(?:async )?def {function}\(", (ROOT / file).read_text(), re.MULTILINE)


def test_every_difference_names_its_test():
    entries = re.split(r"\n\n+", DIFFERENCES.read_text())
    bare = [
        entry.splitlines()[0]
        for entry in entries
        if entry.startswith("**") and "`test_" not in entry.replace("::", "`")
    ]
    assert not bare
