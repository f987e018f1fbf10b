"""`--trace`, `FERRIO_TRACE` and `ferrio.sight.trace`: a file of the whole program, however that ends."""

import base64
import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import zlib

import pytest
from tests.unit import chrome_format
from tests.unit.programs import run_program

import ferrio
from ferrio import sight
from ferrio.sight import recorder

PROGRAM = """
import asyncio

async def child():
    await asyncio.sleep(0.001)

async def main():
    await asyncio.create_task(child(), name="the child")

asyncio.run(main())
"""


def names(path):
    """The names of the tasks in a trace, in either format."""
    if path.suffix == ".json":
        events = chrome_format.check(path.read_text())
        return [event["name"] for event in events if event.get("cat") == "task"]
    text = path.read_text(encoding="ascii")
    packed = re.search(r'"packed":"([^"]*)"', text)[1]
    rest = json.loads(zlib.decompress(base64.b64decode(packed)))
    return [row["name"] for row in rest["rows"] if row["kind"] == "task"]


def traced(tmp_path, source, *options, name="out.json", status=0, **keywords):
    """Runs a program with --trace, and returns the names of the tasks in the file."""
    program, out = tmp_path / "app.py", tmp_path / name
    program.write_text(textwrap.dedent(source))
    command = [sys.executable, "-m", "ferrio", f"--trace={out}", *options, program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, **keywords)
    assert done.returncode == status, done.stderr
    return names(out)


@pytest.mark.parametrize("name", ["out.json", "out.html"])
def test_the_command_line(tmp_path, name):
    assert "the child" in traced(tmp_path, PROGRAM, name=name)


@pytest.mark.parametrize("name", ["out.json", "out.html"])
def test_the_environment(tmp_path, name):
    out = tmp_path / name
    run_program(PROGRAM.replace("asyncio", "ferrio"), env=os.environ | {"FERRIO_TRACE": str(out)})
    assert "the child" in names(out)


@pytest.mark.parametrize("name", ["out.json", "out.html"])
def test_a_block_of_a_program(tmp_path, name):
    async def main():
        with sight.trace(tmp_path / name) as recording:
            await ferrio.create_task(ferrio.sleep(0), name="inside")
        ferrio.create_task(ferrio.sleep(0), name="outside")
        await ferrio.sleep(0)
        return recording

    recording = ferrio.run(main())
    assert recording.files == [str(tmp_path / name)]
    found = names(tmp_path / name)
    assert "inside" in found and "outside" not in found


ENDS = {
    "exception": ("raise ValueError", 1),
    "exit": ("sys.exit(3)", 3),
    "exit in a task": ("asyncio.run(leave())", 4),
    "Ctrl-C": ("os.kill(os.getpid(), signal.SIGINT); time.sleep(60)", -signal.SIGINT),
    "Ctrl-C in the loop": ("asyncio.run(interrupted())", -signal.SIGINT),
    "a thread": ("threading.Thread(target=lambda: asyncio.run(late())).start()", 0),
}


@pytest.mark.parametrize("how", ENDS)
def test_the_file_is_written_however_the_program_ends(tmp_path, how):
    source = """
    import asyncio, os, signal, sys, threading, time

    async def leave():
        sys.exit(4)

    async def interrupted():
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.sleep(60)

    async def late():
        await asyncio.create_task(asyncio.sleep(0.01), name="late")

    async def main():
        asyncio.current_task().set_name("the main task")

    asyncio.run(main())
    """
    end, status = ENDS[how]
    found = traced(tmp_path, textwrap.dedent(source) + end, status=status)
    assert "the main task" in found
    assert ("late" in found) == (how == "a thread")


def test_a_path_that_cannot_be_written_is_refused_at_the_start(tmp_path):
    program = tmp_path / "app.py"
    program.write_text("print('it runs')")
    for path in ("nowhere/out.html", "out.txt", ""):
        command = [sys.executable, "-m", "ferrio", f"--trace={path}", program]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path)
        assert (done.returncode, done.stdout) == (2, ""), path
        assert f"--trace={path}: " in done.stderr
    with pytest.raises(FileNotFoundError):
        sight.trace(tmp_path / "nowhere" / "out.html")
    with pytest.raises(ValueError, match=r"\.html or \.json"):
        sight.trace(tmp_path / "out")
    assert [each.name for each in tmp_path.iterdir()] == ["app.py"]


def test_the_environments_path_is_reported_and_ignored(tmp_path):
    said = run_program("import ferrio; print('it runs')", env=os.environ | {"FERRIO_TRACE": "out.txt"}, cwd=tmp_path)
    assert "FERRIO_TRACE=out.txt: " in said and "it runs" in said


def test_one_recording_at_a_time(tmp_path):
    with sight.trace(tmp_path / "one.json"), pytest.raises(RuntimeError, match="recorded already"):
        sight.trace(tmp_path / "two.json")
    with sight.trace(tmp_path / "two.json"):
        pass


def test_a_program_that_changes_its_directory(tmp_path):
    source = "import os; os.chdir('/')\n" + PROGRAM
    program = tmp_path / "app.py"
    program.write_text(source)
    command = [sys.executable, "-m", "ferrio", "--trace=out.json", program]
    subprocess.run(command, timeout=60, check=True, cwd=tmp_path)
    assert "the child" in names(tmp_path / "out.json")


CHILDREN = {
    "fork": "child = os.fork()\nif child == 0: child_main(); sys.exit()\nos.waitpid(child, 0)",
    "fork and no loop": "child = os.fork()\nif child == 0: sys.exit()\nos.waitpid(child, 0)",
    "subprocess": "subprocess.run([sys.executable, '-m', 'ferrio', sys.argv[1]], check=True)",
    "multiprocessing fork": "multiprocess('fork')",
    "multiprocessing spawn": "multiprocess('spawn')",
    "multiprocessing forkserver": "multiprocess('forkserver')",
}


@pytest.mark.parametrize("how", CHILDREN)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_child_process_writes_a_file_of_its_own(tmp_path, how):
    other = tmp_path / "other.py"
    other.write_text("import asyncio; asyncio.run(asyncio.wait_for(asyncio.sleep(0, 'child'), 9))")
    source = """
    import asyncio, multiprocessing, os, subprocess, sys

    async def named(name):
        asyncio.current_task().set_name(name)

    def child_main():
        asyncio.run(named("a child's task"))

    def multiprocess(method):
        process = multiprocessing.get_context(method).Process(target=child_main)
        process.start()
        process.join()
        assert process.exitcode == 0

    if __name__ == "__main__":
        asyncio.run(named("a parent's task"))
    """
    body = textwrap.indent(CHILDREN[how], "    ")
    program = tmp_path / "app.py"
    program.write_text(textwrap.dedent(source) + body)
    out = tmp_path / "out.json"
    command = [sys.executable, "-W", "ignore", "-m", "ferrio", f"--trace={out}", program, other]
    subprocess.run(command, timeout=60, check=True)
    assert "a parent's task" in names(out)
    others = list(tmp_path.glob("out-*.json"))
    assert all(re.fullmatch(r"out-\d+\.json", path.name) for path in others)
    assert len(others) == (0 if how == "fork and no loop" else 1)
    for path in others:
        found = names(path)
        assert found and "a parent's task" not in found
        assert how == "subprocess" or found[0] == "a child's task"


def test_a_forked_child_of_a_running_loop(tmp_path):
    source = """
    import asyncio, os, sys

    async def main():
        asyncio.current_task().set_name("a parent's task")
        child = os.fork()
        if child == 0:
            asyncio._set_running_loop(None)
            asyncio.run(named("a child's task"))
            sys.exit()
        os.waitpid(child, 0)

    async def named(name):
        asyncio.current_task().set_name(name)

    asyncio.run(main())
    """
    found = traced(tmp_path, source, env=os.environ | {"PYTHONWARNINGS": "ignore"})
    [path] = tmp_path.glob("out-*.json")
    assert "a child's task" in names(path) and "a child's task" not in found


def test_names_are_harmless_in_the_page(tmp_path):
    out = tmp_path / "out.html"

    async def main():
        await ferrio.create_task(ferrio.sleep(0), name="</script><b>")

    with sight.trace(out):
        ferrio.run(main())
    assert "</script><b>" in names(out)
    assert "</script><b>" not in out.read_text()


@pytest.mark.parametrize("suffix", ["html", "json"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt(), MemoryError()])
def test_no_half_file_is_left(tmp_path, monkeypatch, suffix, error):
    """A full disk, or Ctrl-C, in the middle of the file."""

    class Full:
        def __init__(self, *arguments, **keywords):
            self.file = open(*arguments, **keywords)  # noqa: SIM115

        def __enter__(self):
            return self

        def __exit__(self, *exception):
            self.file.close()

        def write(self, text):
            self.file.write(text[:1])
            raise error

    path = tmp_path / f"out.{suffix}"
    recording = sight.trace(path)
    monkeypatch.setattr(recorder, "open", Full, raising=False)
    with pytest.raises(type(error)):
        recording.write()
    assert not path.exists()
    monkeypatch.undo()
    recording.stop()
    assert path.exists()


def test_ctrl_c_while_the_trace_is_written_is_said(tmp_path):
    source = """
    import asyncio, atexit, os, signal
    from ferrio.sight import picture

    class Interrupted(picture.Trace):
        def __init__(self, *arguments, **keywords):
            signal.raise_signal(signal.SIGINT)

    picture.Trace = Interrupted
    asyncio.run(asyncio.sleep(0))
    """
    path = tmp_path / "out.html"
    text = run_program(source, options=("-m", "ferrio", f"--trace={path}"))
    assert text == "ferrio: the trace wasn't written, because of Ctrl-C\n"
    assert not path.exists()
