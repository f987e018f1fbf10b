"""A release is consistent: the version is stated in one place, and everything published with it agrees.

`make wheels` checks what a built wheel contains. This file checks what the sources and the installed metadata can
tell.
"""

import importlib.metadata
import re
import tomllib

import pytest
from tests.repo.sources import ROOT, own_files

import ferrio

WORKSPACE = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_the_package_has_the_workspaces_version():
    assert ferrio.__version__ == WORKSPACE["version"]
    assert importlib.metadata.version("ferrio") == WORKSPACE["version"]


def test_no_other_place_states_a_version():
    assert "version" not in PROJECT and "version" in PROJECT["dynamic"]
    # ferrio-async is released apart from ferrio.
    for manifest in (ROOT / "crates").glob("ferrio-[!a]*/Cargo.toml"):
        assert tomllib.loads(manifest.read_text())["package"]["version"] == {"workspace": True}, manifest


def test_the_changelog_has_the_version():
    # It comes first of all versions; the release removes "(unreleased)".
    versions = re.findall(r"^## (\d\S*)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert versions[0] == WORKSPACE["version"]
    assert len(versions) == len(set(versions))


def test_licence_files_are_published():
    assert PROJECT["license"] == WORKSPACE["license"]
    assert {path.name for path in own_files() if path.name.startswith("LICENSE")} == set(PROJECT["license-files"])


@pytest.mark.parametrize("python", re.findall(r"3\.\d+", " ".join(PROJECT["classifiers"])))
def test_python_of_the_classifiers_is_found_and_tested(python):
    oldest = int(PROJECT["requires-python"].removeprefix(">=3."))
    newest = int(re.search(r"^newest=(\d+)", (ROOT / "tools" / "find-python").read_text(), re.MULTILINE)[1])
    assert oldest <= int(python.removeprefix("3.")) <= newest


def test_package_has_no_dependencies():
    assert "dependencies" not in PROJECT
