"""Type checkers report for a program on ferrio exactly what they report for the same program on asyncio.

The programs are the examples, and one that names everything public, for which checkers must report nothing. A checker
that isn't installed is skipped: mypy comes with `make lint`; pyright needs node and is `pip install pyright`.
"""

import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]

LEFT_OUT = {
    "fetch_many.py": "imports aiohttp",
    "many_files.py": "uses files, which asyncio doesn't have",
    "top_level_await.py": "awaits outside functions, which checkers reject in a file",
}
REFERENCE = "\n".join(page.read_text() for page in (ROOT / "docs" / "reference").glob("*.md"))
IMPORT = "import ferrio as asyncio"
# asyncio has this Python's names and ferrio the newest on each, so both are checked as on the newest Python.
NEWEST = "3.15"
# This exposes a checker that doesn't know ferrio and takes everything in it for Any.
WRONG = f"""
{IMPORT}

text: str = asyncio.run(asyncio.sleep(0, 3))
asyncio.Queue[int]().put_nowait("text")
asyncio.create_task(asyncio.Lock().acquire)
asyncio.wait_for(asyncio.sleep(1), timeout="1")
"""


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Makes a directory with each example twice, as NAME.py and asyncio_NAME.py, and names.py with all public names."""
    folder = tmp_path_factory.mktemp("programs")
    sources = {path.name: path.read_text() for path in (ROOT / "examples").glob("*.py") if path.name not in LEFT_OUT}
    for name, source in {**sources, "wrong.py": WRONG}.items():
        assert IMPORT in source, name
        (folder / name).write_text(source)
        (folder / f"asyncio_{name}").write_text(source.replace(IMPORT, "import asyncio"))
    names = re.findall(r"^::: (ferrio\.[\w.]+)$", REFERENCE, re.MULTILINE)
    assert "ferrio.open" in names
    (folder / "names.py").write_text(
        "import ferrio\nimport ferrio.tempfile\n\n" + "".join(f"print({name})\n" for name in names)
    )
    return folder


Complaints = set[tuple[str, ...]]


def complaints(output: str, pattern: str) -> tuple[Complaints, Complaints]:
    """Returns a checker's reports as (file, line, rule), in two sets: programs on ferrio and on asyncio."""
    found = [match.groups() for match in re.finditer(pattern, output, re.MULTILINE)]
    ours = {item for item in found if not item[0].startswith("asyncio_")}
    theirs = {(item[0].removeprefix("asyncio_"), *item[1:]) for item in found if item[0].startswith("asyncio_")}
    return ours, theirs


def check(command: list[str], programs: pathlib.Path, pattern: str) -> tuple[Complaints, Complaints]:
    done = subprocess.run(command, cwd=programs, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return complaints(done.stdout, pattern)


@pytest.mark.timeout(600)
def test_mypy_sees_no_difference(programs: pathlib.Path) -> None:
    pytest.importorskip("mypy", reason="mypy comes with `make lint`")
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--python-executable",
        sys.executable,
        "--python-version",
        NEWEST,
        "--config-file",
        "",
        ".",
    ]
    ours, theirs = check(command, programs, r"^(\w+\.py):(\d+): error: .*\[([\w-]+)\]$")
    assert ours == theirs
    assert len({line for name, line, _ in ours if name == "wrong.py"}) == 4


@pytest.mark.timeout(600)
def test_pyright_sees_no_difference(programs: pathlib.Path) -> None:
    pytest.importorskip("pyright", reason="pip install pyright")
    command = [sys.executable, "-m", "pyright", "--pythonpath", sys.executable, "--pythonversion", NEWEST, "."]
    ours, theirs = check(command, programs, r"/(\w+\.py):(\d+):\d+ - error: (?:.|\n\s{4})*?\((report\w+)\)$")
    assert ours == theirs
    assert len({line for name, line, _ in ours if name == "wrong.py"}) == 4
