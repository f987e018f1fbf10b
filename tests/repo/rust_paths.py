"""Resolves the paths in Rust code to the files that they lead to. Makes no decisions about them.

Good enough for code formatted by `cargo fmt`: `use` trees, full paths, and paths that begin with a module that the file
imports or declares. Methods aren't reached through paths, so calling one isn't an import.
"""

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from tests.repo.sources import rust_code

Module = tuple[str, ...]

_USE = re.compile(r"^[ \t]*(?:pub(?:\([^)]*\))? )?use (crate|super|self)::", re.MULTILINE)
_ROOTED = re.compile(r"(?<![:\w])(crate|super|self)::")
_RELATIVE = re.compile(r"(?<![:\w])(\w+)((?:::\w+)+)")
_DECLARED = re.compile(r"^[ \t]*(?:pub(?:\([^)]*\))? )?mod (\w+);", re.MULTILINE)


def modules(source: Path) -> dict[Module, Path]:
    """The modules of a crate and their files; the crate itself is the empty tuple."""
    found = {}
    for path in sorted(source.rglob("*.rs")):
        parts = path.relative_to(source).with_suffix("").parts
        found[parts[:-1] if parts[-1] in ("mod", "lib") else parts] = path
    return found


def arrows(source: Path) -> dict[tuple[Module, Module], set[str]]:
    """Which file names which: (file, other file) and the names used. A parent that declares a module doesn't count."""
    files = modules(source)
    found = defaultdict(set)
    for module, path in files.items():
        code = "\n".join(line for _, line in rust_code(path))
        for named in _paths(code, module, files):
            known = next((named[:end] for end in range(len(named), 0, -1) if named[:end] in files), None)
            if known and known != module:
                found[module, known].add("::".join(named[len(known) :]) or "*")
    return dict(found)


def circles(edges: dict[tuple[Module, Module], set[str]]) -> list[list[Module]]:
    """The sets of files in which each file leads to all the others."""
    following = defaultdict(set)
    for here, there in edges:
        following[here].add(there)
    reached = {module: _reached(module, following) for module in list(following)}
    found, placed = [], set()
    for module in sorted(reached):
        if module in reached[module] and module not in placed:
            circle = [other for other in reached[module] if module in reached.get(other, ())]
            placed |= set(circle)
            found.append(sorted(circle))
    return found


def _reached(start: Module, following: dict[Module, set[Module]]) -> set[Module]:
    found: set[Module] = set()
    waiting = [start]
    while waiting:
        for other in following.get(waiting.pop(), ()):
            if other not in found:
                found.add(other)
                waiting.append(other)
    return found


def _paths(code: str, module: Module, files: dict[Module, Path]) -> Iterator[Module]:
    known = {name: (*module, name) for name in _DECLARED.findall(code)}
    rest, end = [], 0
    for match in _USE.finditer(code):
        leaves, after = _leaves(code, *_root(code, match, module))
        for path, alias in leaves:
            yield path
            if path in files and path:
                known[alias or path[-1]] = path
        rest.append(code[end : match.start()])
        end = code.index(";", after)
    rest.append(code[end:])
    code = "\n".join(rest)
    for match in _ROOTED.finditer(code):
        start, prefix = _root(code, match, module)
        yield _leaves(code, start, prefix)[0][0][0]
    for match in _RELATIVE.finditer(code):
        if match[1] in known:
            yield known[match[1]] + tuple(match[2].split("::")[1:])


def _root(code: str, match: re.Match[str], module: Module) -> tuple[int, Module]:
    """Where the path continues after its `crate`, `self` or `super`s, and the module that these mean."""
    start = match.end()
    prefix = {"crate": (), "self": module, "super": module[:-1]}[match[1]]
    while code.startswith("super::", start):
        start, prefix = start + len("super::"), prefix[:-1]
    return start, prefix


def _leaves(code: str, start: int, prefix: Module) -> tuple[list[tuple[Module, str]], int]:
    """The paths of the `use` tree that begins at `start`, each with its alias, and where the tree ends."""
    if code[start] == "{":
        found, start = [], start + 1
        while True:
            start = re.compile(r"[\s,]*").match(code, start).end()
            if code[start] == "}":
                return found, start + 1
            more, start = _leaves(code, start, prefix)
            found += more
    word = re.compile(r"\*|\w+").match(code, start)
    if word is None:
        return [(prefix, "")], start
    if re.compile(r"::[\w{*]").match(code, word.end()):
        return _leaves(code, word.end() + 2, (*prefix, word[0]))
    path = prefix if word[0] == "self" else (*prefix, word[0])
    alias = re.compile(r" as (\w+)").match(code, word.end())
    return [(path, alias[1] if alias else "")], alias.end() if alias else word.end()
