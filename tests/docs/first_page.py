"""Follows the first page (docs/index.md): saves the files that it shows and pastes its commands in order.

By hand, on a clean clone, installing as the page says (takes minutes, and maturin needs the network):

    python tests/docs/first_page.py

The invariant: what runs is exactly what the page says; only `install` blocks may be left out.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from tests.docs.blocks import Block, blocks, matches, normal  # noqa: E402 - found by the line above

PAGE = ROOT / "docs" / "index.md"
# A line that the shell prints after each block, so that we can tell the blocks' outputs apart.
MARK = "==== end of block"


def follow(folder: Path, *, install: bool, environment: dict[str, str]) -> list[str]:
    """Follows the page in `folder`. Returns what went wrong: an empty list if everything went as the page says."""
    commands, expected = read(folder, install)
    script = "".join(f"{block.body}echo '{MARK}' $?\n" for block in commands)
    done = subprocess.run(
        ["bash"],
        input=script,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    printed = re.split(rf"^{MARK} (\d+)\n", done.stdout, flags=re.MULTILINE)
    wrong = []
    for block, output, text, status in zip(commands, expected, printed[::2], printed[1::2], strict=False):
        print(f"{block.body}{text}", flush=True)
        if status != "0":
            wrong.append(f"{block.name} ends with status {status}:\n{text}")
        elif output is not None and not matches(figures(normal(text, str(folder))), figures(output.body)):
            wrong.append(f"{block.name} prints:\n{text}\nthe page says:\n{output.body}")
    if len(printed) != 2 * len(commands) + 1:
        wrong.append(f"{len(commands)} blocks were pasted, {len(printed) // 2} ended:\n{done.stdout}")
    return wrong


def read(folder: Path, install: bool) -> tuple[list[Block], list[Block | None]]:
    """Saves the page's files. Returns its command blocks, and for each its output, if any."""
    commands: list[Block] = []
    expected: list[Block | None] = []
    for block in blocks(PAGE):
        if block.note.startswith("file:"):
            (folder / block.note.removeprefix("file:").strip()).write_text(block.body)
        elif block.kind == "sh" and (install or block.note != "install"):
            commands.append(block)
            expected.append(None)
        elif block.kind == "text" and commands:
            expected[-1] = block
    return commands, expected


def figures(text: str) -> str:
    """Replaces each measured time in a text, since these differ from machine to machine."""
    return re.sub(r"\d+\.\d+ s\b", "0.00 s", text)


def main() -> int:
    """Clones the repository into a temporary folder and follows the page there."""
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "ferrio"
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        environment = {name: value for name, value in os.environ.items() if name not in ("VIRTUAL_ENV", "PYTHONPATH")}
        wrong = follow(clone, install=True, environment=environment)
        shutil.rmtree(clone / "target", ignore_errors=True)
    print("\n\n".join(wrong) or "The first page's commands work as written.")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
