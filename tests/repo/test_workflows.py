"""GitHub's workflows call what the repository has, for every Python that it supports, and actions that can't change.

What zizmor and actionlint check (`make lint`) isn't repeated here.
"""

import re

import pytest
from tests.repo.sources import ROOT, name, own_files

WORKFLOWS = [path for path in own_files(".yml") if path.is_relative_to(ROOT / ".github")]
TEXTS = {name(path): path.read_text() for path in WORKFLOWS}
# The Pythons that `make test-all` tests.
PYTHONS = re.search(r"--bring ([^)]*)\)", (ROOT / "tools" / "test-all").read_text())[1].split()


def used_actions() -> list[tuple[str, str, str]]:
    """The actions of other repositories, as (action, version, file)."""
    return [
        (action, version.strip(), file)
        for file, text in TEXTS.items()
        for action, version in re.findall(r"uses: ([^./\s][^@\s]*)@(.*)", text)
    ]


def test_workflows_are_found():
    assert {path.stem for path in WORKFLOWS} >= {"ci", "wheels", "release", "nightly", "action"}
    assert used_actions()


@pytest.mark.parametrize(("action", "version", "file"), used_actions())
def test_action_is_pinned(action, version, file):
    # A tag can be moved to other code; a commit can't. The comment is for people and for dependabot.
    assert re.fullmatch(r"[0-9a-f]{40} # v\d+\.\d+\.\d+", version)


def test_an_action_has_one_version():
    versions = {}
    for action, version, _ in used_actions():
        versions.setdefault(action, set()).add(version)
    assert not {action: found for action, found in versions.items() if len(found) > 1}


@pytest.mark.parametrize("file", TEXTS)
def test_named_make_targets_exist(file):
    targets = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    text = TEXTS[file]
    named = re.findall(r"\bmake ([a-z][a-z-]*)", re.sub(r"#.*", "", text)) + re.findall(r"target: ([a-z][a-z-]*)", text)
    for several in re.findall(r"target: \[(.*)\]", text):
        named += several.split(", ")
    assert set(named) <= targets


@pytest.mark.parametrize(("file", "job"), [("ci", "python"), ("ci", "conformance"), ("wheels", "wheels")])
def test_every_python_is_in_the_matrix(file, job):
    text = TEXTS[f".github/workflows/{file}.yml"]
    body = re.search(rf"^  {job}:\n((?:    .*\n|\n)+)", text, re.MULTILINE)[1]
    assert re.findall(r'"(3[^"]*)"', re.search(r"python: \[(.*)\]", body)[1]) == PYTHONS
