"""Finds the repository's own files for the checks of this directory. Makes no decisions about them."""

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# Directories that hold what people wrote. Built or downloaded files are elsewhere, or are skipped by name.
_DIRECTORIES = (
    ".ci",
    ".github",
    "benches",
    "crates",
    "docs",
    "examples",
    "fuzz",
    "include",
    "python",
    "recipe",
    "tests",
    "tools",
)
# A corpus is made of bytes.
_SKIPPED_PARTS = {"__pycache__", "target", ".hypothesis", "corpus"}


def own_files(*suffixes: str) -> Iterator[Path]:
    """Yields the files that belong to the repository; with suffixes, only files that end in one of them."""
    for path in _everything():
        if not suffixes or path.suffix in suffixes:
            yield path


def _everything() -> Iterator[Path]:
    for path in sorted(ROOT.iterdir()):
        # Hidden files at the top are tool settings, or files that tools made.
        if path.is_file() and path.suffix not in (".data", ".json", ".old", ".so") and not path.name.startswith("."):
            yield path
    for name in _DIRECTORIES:
        for path in sorted((ROOT / name).rglob("*")):
            if path.is_file() and path.suffix not in (".so", ".pyc") and not _SKIPPED_PARTS & set(path.parts):
                yield path


def name(path: Path) -> str:
    """Returns the path relative to the repository's top, as people write it."""
    return path.relative_to(ROOT).as_posix()


def rust_code(path: Path) -> list[tuple[int, str]]:
    """Returns a Rust file's lines of code with their numbers, without comments and without the tests at its end."""
    lines = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if line.strip().startswith("#[cfg(test)]"):
            break  # tests come last in a file
        # Good enough for a line: a `//` inside a string ends it early, but no check looks for anything after one.
        code = re.sub(r"//.*", "", line)
        if code.strip():
            lines.append((number, code))
    return lines
