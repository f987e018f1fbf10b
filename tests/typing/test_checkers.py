"""Type checkers say of a program on ferrio what they say of the same program on asyncio: nothing more, nothing less.

The programs are the examples; and one that names everything public, of which checkers must say nothing. A checker that
isn't installed is left out: mypy comes with `make lint`; pyright, which needs node, is `pip install pyright`.
"""

import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]

LEFT_OUT = {
    "fetch_many.py": "imports aiohttp",
    "many_files.py": "is about files, which asyncio doesn't have",
    "top_level_await.py": "awaits outside functions, which checkers refuse in a file",
}
REFERENCE = "\n".join(page.read_text() for page in (ROOT / "docs" / "reference").glob("*.md"))
IMPORT = "import ferrio as asyncio"
# asyncio has what this Python has, ferrio the newest on each: both are looked at as on the newest.
NEWEST = "3.15"
# So that a checker which knows nothing of ferrio, and takes everything of it for Any, is found out.
WRONG = f"""
{IMPORT}

text: str = asyncio.run(asyncio.sleep(0, 3))
asyncio.Queue[int]().put_nowait("text")
asyncio.create_task(asyncio.Lock().acquire)
asyncio.wait_for(asyncio.sleep(1), timeout="1")
"""


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A directory with each example twice: NAME.py on ferrio, and asyncio_NAME.py. And names.py, the public names."""
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
    """What a checker found, as (file, line, rule); two sets, of the programs on ferrio and of those on asyncio."""
    found = [match.groups() for match in re.finditer(pattern, output, re.MULTILINE)]
    ours = {item for item in found if not item[0].startswith("asyncio_")}
    theirs = {(item[0].removeprefix("asyncio_"), *item[1:]) for item in found if item[0].startswith("asyncio_")}
    return ours, theirs


def check(command: list[str], programs: pathlib.Path, pattern: str) -> tuple[Complaints, Complaints]:
    done = subprocess.run(command, cwd=programs, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return complaints(done.stdout, pattern)


@pytest.mark.timeout(600)
def test_mypy(programs: pathlib.Path) -> None:
    pytest.importorskip("mypy", reason="comes with `make lint`")
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
def test_pyright(programs: pathlib.Path) -> None:
    pytest.importorskip("pyright", reason="pip install pyright")
    command = [sys.executable, "-m", "pyright", "--pythonpath", sys.executable, "--pythonversion", NEWEST, "."]
    ours, theirs = check(command, programs, r"/(\w+\.py):(\d+):\d+ - error: (?:.|\n\s{4})*?\((report\w+)\)$")
    assert ours == theirs
    assert len({line for name, line, _ in ours if name == "wrong.py"}) == 4
