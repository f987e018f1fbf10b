"""What only the site can do with the pages of docs/; mkdocs calls it (see mkdocs.yml).

- The repository's pages outside docs/ (the map of the code, how to contribute) and the examples become pages of the
  site. Links to them lead there.
- `::: ferrio.gather` becomes an entry of the reference (tools/site_reference.py).
- A `<picture>` with a dark and a light variant follows the site's own switch, not only the system's.

Invariant: a link out of docs/ leads to a page of the site, or becomes plain text; a link to nothing fails the build.
"""

from __future__ import annotations

import ast
import os
import re
import sys
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "python")]
import site_reference  # noqa: E402 - found by the line above

ROOT = Path(__file__).resolve().parents[1]
# Pages of the repository and where they are on the site.
GUESTS = {
    "ARCHITECTURE.md": "architecture.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "benches/README.md": "benches.md",
    "benches/net/README.md": "benches-net.md",
}
# Where links to a folder of the repository lead.
FOLDERS = {"examples": "examples.md"}
_LINK = re.compile(r"(?P<opening>!?\[(?P<text>[^\[\]]*)\]\()(?P<target>[^)\s#]*)(?P<anchor>#[^)\s]*)?\)")
# The tests at the end of an entry of docs/differences.md.
_TESTS = re.compile(r"(?:,?\s*`(?:[\w/.]+::)?test_\w+`)+(?=\n\n|\n?\Z)")
_PICTURE = re.compile(
    r'<picture>\s*<source media="\(prefers-color-scheme: dark\)" srcset="(?P<dark>[^"]+)">\s*'
    r'<img src="(?P<light>[^"]+)" alt="(?P<alt>[^"]*)">\s*</picture>'
)


def on_config(config: Any) -> Any:
    """Drops pages that aren't written yet from the navigation."""
    config.nav = [each for each in map(_written, config.nav) if each]
    return config


def _written(entry: Any) -> Any:
    """Returns a navigation entry without the pages that don't exist; `None` if nothing is left."""
    if isinstance(entry, str):
        known = (*GUESTS.values(), "examples.md")
        return entry if entry in known or (ROOT / "docs" / entry).exists() else None
    ((title, below),) = entry.items()
    left = [each for each in map(_written, below) if each] if isinstance(below, list) else _written(below)
    return {title: left} if left else None


def on_files(files: Files, config: Any) -> Files:
    """Adds the pages that lie outside docs/."""
    for source, page in GUESTS.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text()))
    files.append(File.generated(config, "examples.md", content=examples()))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Returns a page as the site shows it."""
    path = page.file.src_uri
    source = next((source for source, guest in GUESTS.items() if guest == path), f"docs/{path}")
    if path.startswith("reference/"):
        try:
            markdown = site_reference.expand(markdown)
        except LookupError as error:
            raise PluginError(f"{path}: {error}") from None
    if path == "differences.md":
        markdown = _TESTS.sub(_small_tests, markdown)
    markdown = _PICTURE.sub(_two_images, markdown)
    pieces = re.split(r"(^```.*?^```$)", markdown, flags=re.MULTILINE | re.DOTALL)
    return "".join(
        piece if piece.startswith("```") else _LINK.sub(lambda found: _link(found, source, path), piece)
        for piece in pieces
    )


def _link(found: re.Match[str], source: str, page: str) -> str:
    """Returns a link as the site's page has it; `source` is the file in the repository that contains it."""
    target, anchor = found["target"], found["anchor"] or ""
    if not target or re.match(r"[a-z]+:", target):
        return found[0]
    whole = os.path.normpath(os.path.join(os.path.dirname(source), target))
    if whole.startswith("docs/"):
        there = whole.removeprefix("docs/")
    elif whole in GUESTS:
        there = GUESTS[whole]
    elif whole.split("/")[0] in FOLDERS:
        there, anchor = FOLDERS[whole.split("/")[0]], f"#{Path(whole).stem}" if "/" in whole else ""
    elif (ROOT / whole).exists():
        # The file isn't a page: the site shows only its name.
        return found["text"]
    else:
        raise PluginError(f"{source} links to {target}, which doesn't exist")
    return f"{found['opening']}{os.path.relpath(there, os.path.dirname(page) or '.')}{anchor})"


def _small_tests(found: re.Match[str]) -> str:
    """Puts the names of tests on their own line, without their files."""
    names = re.findall(r"test_\w+", found[0])
    tests = [name for name in names if f"::{name}" in found[0] or "::" not in found[0]]
    return f'\n<small class="tests">{", ".join(f"<code>{name}</code>" for name in tests)}</small>'


def _two_images(found: re.Match[str]) -> str:
    return f"![{found['alt']}]({found['light']}#only-light)\n![{found['alt']}]({found['dark']}#only-dark)"


def examples() -> str:
    """Returns the page with all programs of examples/."""
    lines = [
        "# Examples",
        "",
        "Short programs, each showing something that people do with asyncio. They are in the folder `examples`; "
        "`python -m ferrio examples/breakfast.py` runs one. Tests run them all and compare their output.",
        "",
    ]
    for path in sorted((ROOT / "examples").glob("*.py")):
        source = path.read_text()
        docstring = ast.get_docstring(ast.parse(source)) or ""
        code = source.split('"""', 2)[2].strip("\n")
        lines += [f"## {path.name} {{ #{path.stem} }}", "", docstring, "", "```python", code, "```", ""]
    return "\n".join(lines)
