"""The programs of `programs/` and what the head of each says, read without importing it. Runs nothing.

A head is a docstring whose first paragraph is "DISTRIBUTIONS: what is run.", naming distributions as the package
index does, separated by commas. A line "Needs: NAME." asks for the fixture `NAME_server`. A paragraph "Not on the loop
alone: REASON." leaves out that way, for programs that can't be told which loop to use.
"""

import ast
import dataclasses
import pathlib
import re

HERE = pathlib.Path(__file__).parent
PREFIX = "with_"


@dataclasses.dataclass(frozen=True)
class Program:
    """One program. `name` is the file's, without prefix and ending; `distributions` has the main one first; `needs`
    names servers.

    `not_on_loop` says why it isn't run on the loop alone, or is `None`.
    """

    name: str
    path: pathlib.Path
    distributions: tuple[str, ...]
    what: str
    needs: tuple[str, ...]
    not_on_loop: str | None

    @property
    def ways(self) -> tuple[str, ...]:
        """The ways in which it runs, besides asyncio."""
        return ("install",) if self.not_on_loop else ("loop", "install")


def programs() -> list[Program]:
    """Returns all programs, sorted by name. Raises `ValueError` if a head doesn't have the form above."""
    return [_read(path) for path in sorted((HERE / "programs").glob(f"{PREFIX}*.py"))]


def _read(path: pathlib.Path) -> Program:
    head = ast.get_docstring(ast.parse(path.read_text())) or ""
    found = re.match(r"([\w.,\s-]+): (.+?)(?:\n\n|\Z)", head, re.DOTALL)
    if found is None:
        raise ValueError(f"{path.name} does not open with a docstring of the form 'distribution: what is run.'")
    distributions = tuple(part.strip() for part in found[1].split(","))
    what = " ".join(found[2].split()).rstrip(".")
    needs = tuple(re.findall(r"^Needs: (\w+)\.$", head, re.MULTILINE))
    reason = re.search(r"^Not on the loop alone: (.+?)\.$", head, re.MULTILINE | re.DOTALL)
    not_on_loop = " ".join(reason[1].split()) if reason else None
    return Program(path.stem.removeprefix(PREFIX), path, distributions, what, needs, not_on_loop)
