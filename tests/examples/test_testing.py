"""examples/testing: pytest passes there, and its README says in how many runs each bug is found.

What `explore` finds is replayed a hundred times from the schedule in its note, and fails in the same way each time.
"""

import importlib.util
import re
import subprocess
import sys

import pytest
from tests.examples.conftest import EXAMPLES

from ferrio import testing

FOLDER = EXAMPLES / "testing"
_ROW = re.compile(r"^\| \[(?P<name>\w+\.py)\]\(\w+\.py\) \|.*\| `(?P<by>\w+)` \| (?P<runs>\d+) \|$", re.MULTILINE)
ROWS = {row["name"]: (row["by"], int(row["runs"])) for row in _ROW.finditer((FOLDER / "README.md").read_text())}


def load(name):
    spec = importlib.util.spec_from_file_location(f"example_{name[:-3]}", FOLDER / name)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def words_of(caught):
    """What was raised, without addresses and the numbers of tasks, which are counted for the whole process."""
    return re.sub(r"0x[0-9a-f]+|Task-\d+", "", str(caught.value))


def found_by(tool):
    return [name for name, (by, _runs) in ROWS.items() if by == tool]


def test_all_pass():
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", FOLDER]
    done = subprocess.run(command, cwd=EXAMPLES.parent, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not done.stderr


def test_the_readme_lists_all():
    assert sorted(ROWS) == sorted(path.name for path in FOLDER.glob("*.py"))


@pytest.mark.parametrize("name", found_by("explore"))
def test_it_is_found_in_so_many_runs_and_replayed(name):
    _by, runs = ROWS[name]
    broken = load(name).broken
    with pytest.raises(BaseException) as found:
        testing.explore(broken, runs=runs)
    [schedule] = re.findall(r"replay\(\.\.\., '(.*?)'\)", found.value.__notes__[0])
    for _ in range(100):
        with pytest.raises(type(found.value)) as again:
            testing.replay(broken, schedule)
        assert words_of(again) == words_of(found)


@pytest.mark.parametrize("name", found_by("cancel_everywhere"))
def test_it_is_found_in_so_many_cancellations(name):
    _by, runs = ROWS[name]
    module, ran = load(name), []

    def check():
        ran.append(None)
        module.check()

    with pytest.raises(AssertionError):
        testing.cancel_everywhere(module.broken, check)
    assert len(ran) <= runs
