"""Finds the programs and commands on a page, and the output that the page shows for them.

A Python block is a program, and the next text block is its output, errors included. A comment right above a block
says how to run it:

    <!-- run: --debug -->          pass these options to `python -m ferrio` instead of --virtual-time
    <!-- run: python -->           run it with Python itself, not with `python -m ferrio`
    <!-- run: --debug; exit 1 -->  expect this exit status instead of 0
    <!-- part -->                  only a part of a program: just compile it
    <!-- file: race.py -->         a file that the reader saves, for the commands that follow

In an output, a line `...` stands for any lines, and `...` within a line for anything. Addresses, folders, the
durations of slow callbacks and the marks below a traceback's lines don't count.
"""

import ast
import re
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [
        *(ROOT / "docs" / name for name in ("index.md", "moving.md", "sight.md")),
        *(ROOT / "docs" / "guide").glob("*.md"),
    ],
    key=lambda path: path.as_posix(),
)
_FENCE = re.compile(r"(?:^<!-- (?P<note>.*?) -->\n+)?^```(?P<kind>\w*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass
class Block:
    """One code block of a page."""

    page: Path
    line: int
    kind: str
    body: str
    note: str = ""

    @property
    def name(self) -> str:
        """Where the block is, for use in a test's name."""
        return f"{self.page.relative_to(ROOT).as_posix()}:{self.line}"


@dataclass
class Program:
    """A program, how to run it, and what it prints."""

    block: Block
    output: str
    command: list[str] = field(default_factory=lambda: ["-m", "ferrio", "--virtual-time"])
    status: int = 0


def blocks(page: Path) -> list[Block]:
    """Returns a page's code blocks in order."""
    text = page.read_text()
    return [
        Block(page, text.count("\n", 0, found.start("kind")) + 1, found["kind"], found["body"], found["note"] or "")
        for found in _FENCE.finditer(text)
    ]


def programs(page: Path) -> list[Program]:
    """Returns a page's programs. Raises `ValueError` for a Python block without output that isn't marked as a part."""
    found = []
    every = blocks(page)
    for block, following in zip(every, [*every[1:], None], strict=False):
        if block.kind != "python" or block.note == "part" or block.note.startswith("file:"):
            continue
        if following is None or following.kind != "text":
            raise ValueError(f"{block.name} has no output: show it, or write <!-- part --> above it")
        program = Program(block, following.body)
        if block.note:
            options = block.note.removeprefix("run:")
            if status := re.search(r";?\s*exit (\d+)$", options):
                program.status = int(status[1])
                options = options[: status.start()]
            if options.strip():
                program.command = [] if options.strip() == "python" else ["-m", "ferrio", *options.split()]
        found.append(program)
    return found


def parts(page: Path) -> list[Block]:
    """Returns the Python blocks that are only compiled."""
    return [block for block in blocks(page) if block.kind == "python" and block.note == "part"]


def check_compiles(block: Block) -> None:
    """Compiles a block, allowing `await` outside functions. Raises `SyntaxError`."""
    compile(block.body, block.name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


def normal(printed: str, folder: str) -> str:
    """Returns what was printed, without what differs between runs and between Pythons."""
    printed = printed.replace(f"{folder}/", "")
    # On a busy machine even ordinary steps are slow: only tasks with a name count.
    printed = re.sub(r"^Executing (?!.*name='(?!Task-)).*\n", "", printed, flags=re.MULTILINE)
    printed = re.sub(r"0x[0-9a-f]+", "0x...", printed)
    return re.sub(r"^ +[~^]+\n", "", printed, flags=re.MULTILINE)


def matches(printed: str, shown: str) -> bool:
    """Whether a page shows what was printed; `...` stands for anything."""
    shown, printed = (re.sub(r"took [\d.]+ seconds", "took some seconds", text) for text in (shown, printed))
    lines = [
        r"(?:.*\n)*?" if line == "..." else re.escape(line).replace(r"\.\.\.", ".*?") + r"\n"
        for line in shown.strip().splitlines()
    ]
    return re.fullmatch("".join(lines), printed.strip() + "\n") is not None
