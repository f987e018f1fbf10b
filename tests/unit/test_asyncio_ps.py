"""`python -m asyncio ps PID` and `pstree PID` show a program's tasks on ferrio as they show them on asyncio.

They read the other process's memory. The program is `task_tree.py`; `many_tasks.py` changes its tasks while it is
looked at, and more often so if it is run by hand.
"""

import ast
import contextlib
import os
import pathlib
import re
import subprocess
import sys

import pytest
from tests.unit.many_tasks import compare

pytestmark = [
    pytest.mark.skipif(sys.version_info < (3, 14), reason="asyncio has these commands from Python 3.14 on"),
    pytest.mark.timeout(200),
]

HERE = pathlib.Path(__file__).parent
TREE = str(HERE / "task_tree.py")
FUNCTIONS = {node.name for node in ast.walk(ast.parse(pathlib.Path(TREE).read_text())) if hasattr(node, "name")}
ON_ASYNCIO = [TREE, "asyncio"]
WAYS = {
    "import ferrio as asyncio": [TREE, "ferrio"],
    "python -m ferrio": ["-m", "ferrio", TREE, "asyncio"],
}


@contextlib.contextmanager
def running(arguments, **environment):
    """Yields the PID of a program whose tasks all wait."""
    with subprocess.Popen(
        [sys.executable, *arguments], stdout=subprocess.PIPE, text=True, env=os.environ | environment
    ) as process:
        try:
            assert process.stdout.readline() == "ready\n"
            yield process.pid
        finally:
            process.kill()


def ask(command, pid):
    """Returns what the command prints about the process."""
    done = subprocess.run(
        [sys.executable, "-m", "asyncio", command, str(pid)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if "insufficient permissions" in done.stdout:
        pytest.skip("this system doesn't let a process read the memory of another")
    assert done.returncode == 0, done.stdout
    return done.stdout


def everything(name):
    return True


def rows(pid, keep=everything):
    """Returns the sorted rows of `ps` without threads and addresses. Of the stacks, `keep` chooses the functions."""
    header, _, *lines = ask("ps", pid).splitlines()
    assert header.split("  ")[0] == "tid"
    found = []
    for line in lines:
        # No name has a space in it. Without an awaiter two columns are empty.
        _, address, name, stack, *chain, waiting = line.replace(" -> ", "->").split()
        assert re.fullmatch("0x[0-9a-f]+", address) and re.fullmatch("0x[0-9a-f]+", waiting)
        columns = [re.split("->", names) for names in (stack, *chain[:-1])]
        kept = [" -> ".join(filter(keep, names)) for names in columns]
        found.append(" | ".join([name, *kept, *chain[-1:]]))
    return sorted(found)


def tree(pid, keep=everything):
    """Returns the lines of `pstree`: each task and coroutine with all that it is under, sorted."""
    path, found = [], []
    for line in ask("pstree", pid).splitlines():
        indent = re.match(r"[ │├└─]*", line)[0]
        depth = len(indent) // 4
        path[depth - 1 :] = [line[len(indent) :].strip()]
        kept = [node for node in path if node.startswith("(T)") or keep(node.split()[0])]
        if path[-1] in kept:
            found.append(" > ".join(re.sub("^.*/", "", node) for node in kept))
    return sorted(found)


@pytest.fixture(scope="module")
def on_asyncio():
    """Returns functions of the rows and the tree of the program on asyncio, each of which takes `keep`."""
    with running(ON_ASYNCIO) as pid:
        yield lambda keep: (rows(pid, keep), tree(pid, keep))


@pytest.mark.parametrize("arguments", WAYS.values(), ids=WAYS)
def test_rows_and_tree_of_an_observed_program_are_those_of_asyncio(on_asyncio, arguments):
    with running(arguments, FERRIO_OBSERVE="1") as pid:
        shown = rows(pid), tree(pid)
    for ours, theirs in zip(shown, on_asyncio(everything), strict=True):
        assert "\n".join(ours) == "\n".join(theirs)


@pytest.mark.parametrize("arguments", WAYS.values(), ids=WAYS)
def test_rows_and_tree_are_those_of_asyncio_but_for_its_own_functions(on_asyncio, arguments):
    # The stacks of a program that isn't observed end in its own functions. Nobody sees what `wait_for` waits for.
    own = FUNCTIONS - {"forever"}
    with running(arguments) as pid:
        shown = rows(pid, own.__contains__), tree(pid, own.__contains__)
    for ours, theirs in zip(shown, on_asyncio(own.__contains__), strict=True):
        assert "\n".join(ours) == "\n".join(theirs)


def test_a_busy_program_survives_its_readers():
    for seen, alive in compare(tasks=50, looks=8).values():
        assert alive
        assert seen["whole"], seen
