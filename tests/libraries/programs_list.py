"""The programs of `programs/`: what the head of each says about it, read without importing it. Runs nothing.

A head is a docstring whose first paragraph is "DISTRIBUTIONS: what is run.", distributions by their names in the
package index, separated by commas. A line "Needs: NAME." asks for the fixture `NAME_server`.
"""

import ast
import dataclasses
import pathlib
import re

HERE = pathlib.Path(__file__).parent
PREFIX = "with_"


@dataclasses.dataclass(frozen=True)
class Program:
    """`name`: the file's, without prefix and ending. `distributions`: the main one first. `needs`: names of servers."""

    name: str
    path: pathlib.Path
    distributions: tuple[str, ...]
    what: str
    needs: tuple[str, ...]


def programs() -> list[Program]:
    """All programs, in the order of their names. Raises `ValueError` if a head is not of the form above."""
    return [_read(path) for path in sorted((HERE / "programs").glob(f"{PREFIX}*.py"))]


def _read(path: pathlib.Path) -> Program:
    head = ast.get_docstring(ast.parse(path.read_text())) or ""
    found = re.match(r"([\w.,\s-]+): (.+?)(?:\n\n|\Z)", head, re.DOTALL)
    if found is None:
        raise ValueError(f"{path.name} does not open with a docstring of the form 'distribution: what is run.'")
    distributions = tuple(part.strip() for part in found[1].split(","))
    what = " ".join(found[2].split()).rstrip(".")
    needs = tuple(re.findall(r"^Needs: (\w+)\.$", head, re.MULTILINE))
    return Program(path.stem.removeprefix(PREFIX), path, distributions, what, needs)
