"""What `ferrio ps`, `ferrio tree` and `ferrio top` print about tasks: numbers in words, columns, and the tree."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

__all__ = ("GREATEST_FIRST", "age", "aligned", "branches", "brief", "grown", "size", "times", "waits", "who")

# Columns that are sorted with the greatest value first.
GREATEST_FIRST = ("age", "busy", "scheduled", "idle", "polls", "wakes")

_Key = tuple[int, int]


def aligned(rows: Sequence[Sequence[str]], right: Iterable[int] = (), width: int | None = None) -> list[str]:
    """Returns `rows`, the first of which has the titles, as lines with columns. Lines longer than `width` are cut."""
    numbers = set(right)
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [
            cell.rjust(space) if at in numbers else cell.ljust(space)
            for at, (cell, space) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append(brief("  ".join(cells).rstrip(), width))
    return lines


def brief(text: str, width: int | None) -> str:
    """Returns `text` in at most `width` characters, and without line ends or control characters."""
    text = "".join(each if each.isprintable() else "?" for each in text)
    return text if width is None or len(text) <= width else text[: max(0, width - 1)] + "…"


def times(seconds: float | None) -> str:
    """Returns a time in few characters: "12.3ms", "4.56s", "3m20s", "5h07m", "12d03h"."""
    if seconds is None:
        return "-"
    if seconds < 1:
        return f"{seconds * 1000:.1f}ms" if seconds else "0"
    if seconds < 100:
        return f"{seconds:.2f}s"
    if seconds < 3600:
        return f"{int(seconds) // 60}m{int(seconds) % 60:02}s"
    if seconds < 86400:
        return f"{int(seconds) // 3600}h{int(seconds) // 60 % 60:02}m"
    return f"{int(seconds) // 86400}d{int(seconds) // 3600 % 24:02}h"


def size(count: int | None) -> str:
    """Returns a number of bytes in few characters."""
    if count is None:
        return "-"
    value = float(count)
    for unit in ("B", "kB", "MB"):
        if value < 1000:
            return f"{value:.0f} {unit}"
        value /= 1000
    return f"{value:.1f} GB"


def age(row: Mapping[str, Any]) -> str:
    """Returns a task's age. Before the agent began, only the least is known."""
    return (">" if row["age_is_least"] else "") + times(row["age"])


def waits(row: Mapping[str, Any]) -> str:
    """Returns what a task waits for."""
    name, about = row.get("waits") or "", row.get("on") or ""
    return f"{name}: {about}" if name and about else name or about


def who(row: Mapping[str, Any]) -> str:
    """Returns a task's name and coroutine."""
    return f"{row['name']} ({row['coroutine']})"


class Branch:
    """A task in the tree, and the tasks that it waits for."""

    def __init__(self, row: Mapping[str, Any], children: list[Branch], again: bool) -> None:
        self.row = row
        self.children = children
        self.again = again
        """Whether it stands in the tree already, so that its children aren't repeated."""

    def as_data(self) -> dict[str, Any]:
        """Returns it for JSON."""
        data = {**self.row, "again": True} if self.again else dict(self.row)
        data["children"] = [child.as_data() for child in self.children]
        return data


def grown(rows: Sequence[Mapping[str, Any]]) -> list[Branch]:
    """Returns the roots of the tree: the tasks for which no other task waits, and one of each circle.

    Below a task are those that it awaits, and those that hold the lock that it waits for.
    """
    by_key: dict[_Key, Mapping[str, Any]] = {_key(row): row for row in rows}
    edges = {key: list(dict.fromkeys(each for each in _edges(row) if each in by_key)) for key, row in by_key.items()}
    awaited = {each for targets in edges.values() for each in targets}
    placed: set[_Key] = set()

    def grow(start: _Key) -> Branch:
        # Not recursive: a chain of tasks may be longer than the stack.
        placed.add(start)
        root = Branch(by_key[start], [], False)
        stack = [(root, iter(edges[start]))]
        while stack:
            branch, rest = stack[-1]
            following = next(rest, None)
            if following is None:
                stack.pop()
                continue
            again = following in placed
            child = Branch(by_key[following], [], again)
            branch.children.append(child)
            if not again:
                placed.add(following)
                stack.append((child, iter(edges[following])))
        return root

    tree = [grow(key) for key in by_key if key not in awaited]
    return tree + [grow(key) for key in by_key if key not in placed]


def branches(tree: Sequence[Branch], plain: bool = False) -> Iterator[tuple[str, Branch]]:
    """Gives each branch of the tree from above, with the lines that lead to it."""
    fork, last, line, none = ("|- ", "`- ", "|  ", "   ") if plain else ("├─ ", "└─ ", "│  ", "   ")
    waiting = [("", "", branch) for branch in reversed(tree)]
    while waiting:
        before, below, branch = waiting.pop()
        yield before, branch
        count = len(branch.children)
        for at, child in reversed(list(enumerate(branch.children))):
            is_last = at == count - 1
            waiting.append((below + (last if is_last else fork), below + (none if is_last else line), child))


def _key(row: Mapping[str, Any]) -> _Key:
    return row["loop"], row["id"]


def _edges(row: Mapping[str, Any]) -> Iterator[_Key]:
    for each in (*row.get("awaits", ()), *row.get("held_by", ())):
        if each.get("id") is not None:
            yield each["loop"], each["id"]
