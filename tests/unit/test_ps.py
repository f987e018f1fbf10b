"""`ferrio ps` and `ferrio tree`: what they print about real programs, and what they say when that can't be done."""

import json
import os
import signal
import subprocess
import sys
import threading

import pytest
from tests.unit import seen

from ferrio.cli import attach, options, programs, tables
from ferrio.sight import meeting

# Each test starts several Pythons, one after the other.
pytestmark = pytest.mark.timeout(180)


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """A place of this test's own, where programs meet."""
    directory = tmp_path / "run"
    directory.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(directory))
    return directory


def ferrio_command(*arguments, directory=None, encoding="utf-8"):
    """Runs the command line and returns its status, output and errors."""
    done = subprocess.run(
        [sys.executable, "-m", "ferrio", *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding=encoding,
        errors="strict",
        cwd=directory,
        env={**os.environ, "PYTHONIOENCODING": encoding},
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def printed(*arguments, **keywords):
    status, out, errors = ferrio_command(*arguments, **keywords)
    assert (status, errors) == (0, "")
    return out


# ---- what is printed


def test_the_table():
    with seen.program(seen.WAITS) as program:
        heading, loop, titles, *lines = printed("ps", program.pid).splitlines()
        assert f"Process {program.pid}: " in heading
        assert "8 tasks" in loop
        assert titles.split() == ["ID", "NAME", "COROUTINE", "STATE", "AGE", "POLLS", "WAKES", "WAITS", "FOR"]
        column = titles.index("WAITS FOR")
        waits = {line.split()[1]: line[column:] for line in lines}
        assert waits["consumer"] == "Queue.get: Queue with 0 of 3 items"
        assert waits["waiter"] == "async with: Lock, held by 'holder'"
        assert len(lines) == 8


def test_json():
    with seen.program(seen.WAITS) as program:
        reply = json.loads(printed("ps", program.pid, "--json", "--filter", "queue"))
        assert [row["name"] for row in reply["tasks"]] == ["consumer"]
        assert reply["process"]["pid"] == program.pid


def test_samples():
    with seen.program(seen.WAITS) as program:
        out = printed("ps", program.pid, "--sample", "0.1", "--sort", "busy", "--limit", "3")
        assert out.splitlines()[2].split()[5:8] == ["BUSY", "SCHED", "IDLE"]
        assert len(out.splitlines()) == 7
        assert out.endswith("and 5 more; --limit shows more of them\n")


def test_the_tree():
    with seen.program(seen.WAITS) as program:
        lines = printed("tree", program.pid).splitlines()[2:]
        at = next(number for number, line in enumerate(lines) if "waiter (hold)" in line)
        assert lines[at + 1].endswith("holder (hold): " + lines[at + 1].rpartition("holder (hold): ")[2])
        assert "─ holder" in lines[at + 1]
        data = json.loads(printed("tree", program.pid, "--json"))["tree"]
        waiter = next(branch for branch in data if branch["name"] == "waiter")
        assert [child["name"] for child in waiter["children"]] == ["holder"]


def test_the_tree_without_unicode():
    with seen.program(seen.WAITS) as program:
        assert "`- holder (hold)" in printed("tree", program.pid, encoding="ascii")


def test_the_programs():
    with seen.program(seen.WAITS) as one, seen.program(seen.WAITS) as other:
        lines = printed("ps").splitlines()
        assert lines[0].split() == ["PID", "PROGRAM", "PYTHON", "FERRIO", "LOOPS", "TASKS", "UP"]
        assert {str(one.pid), str(other.pid)} <= {line.split()[0] for line in lines[1:]}
        listed = json.loads(printed("ps", "--json"))
        assert {one.pid, other.pid} <= {program["process"]["pid"] for program in listed}


def test_processes_of_one_program():
    source = """
    import subprocess, sys

    CHILD = '''
    import os, sys, ferrio
    async def main():
        print(f"ready {os.getpid()}{os.linesep}", end="", flush=True)
        await ferrio.to_thread(sys.stdin.read)
    ferrio.run(main())
    '''
    children = [subprocess.Popen([sys.executable, "-c", CHILD], stdin=subprocess.PIPE) for _ in range(2)]
    sys.stdin.read()
    for child in children:
        child.communicate()
    """
    with seen.program(source, ready=2) as program:
        listed = {each["process"]["pid"]: each for each in json.loads(printed("ps", "--json"))}
        belongs = {listed[pid]["belongs_to"] for pid in program.pids}
        assert len(belongs) == 1, "both belong to the program that started them, which has no loop"
        assert program.pid not in listed


# ---- what is said otherwise


def test_no_such_process():
    status, out, errors = ferrio_command("ps", 2**22)
    assert (status, out) == (1, "")
    assert errors == f"ferrio ps: There is no process {2**22}.\n"


def test_not_python():
    with subprocess.Popen(["sleep", "1000"]) as other:
        status, _out, errors = ferrio_command("tree", other.pid)
        other.kill()
    assert status == 1
    assert errors == f"ferrio tree: Process {other.pid} (sleep) isn't a Python program.\n"


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="from Python 3.14 on, a program needn't ask to be seen")
def test_a_program_that_didnt_ask_to_be_seen():
    with seen.program(seen.WAITS, opted_in=False) as program:
        status, _out, errors = ferrio_command("ps", program.pid)
        assert status == 1
        assert "didn't ask to be seen" in errors
        assert "FERRIO_SIGHT=1" in errors


def test_another_user(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: os.stat("/proc/self").st_uid + 1)
    with pytest.raises(programs.Unseen, match="belongs to the user"):
        programs.open_program(os.getpid())


def test_a_program_that_is_stopped(monkeypatch):
    with seen.program(seen.WAITS) as program:
        program.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, program.pid, os.WSTOPPED | os.WNOWAIT)
        monkeypatch.setattr(programs, "_PATIENCE", 0.1)
        with pytest.raises(programs.Unseen, match="doesn't answer"):
            programs.open_program(program.pid)
        program.send_signal(signal.SIGCONT)


@pytest.mark.parametrize("reply", [b"", b"{}\n", b"nonsense\n", b'{"v": 99}\n'])
def test_something_else_that_answers(reply):
    def answer():
        connection, _address = listener.accept()
        with connection:
            connection.recv(1000)
            connection.sendall(reply)

    with meeting.bind(meeting.own_directory(), os.getpid()) as listener:
        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(programs.Unseen):
            programs.open_program(os.getpid())
        thread.join()


@pytest.mark.parametrize("arguments", [["ps", "x"], ["ps", "--sort", "colour"], ["tree", "1", "2"], ["ps", "--what"]])
def test_wrong_command_lines(arguments):
    status, out, errors = ferrio_command(*arguments)
    assert (status, out) == (2, "")
    assert errors.startswith(f"usage: ferrio {arguments[0]}")


@pytest.mark.parametrize("command", options.COMMANDS)
def test_help(command):
    out = printed(command, "--help")
    assert f"usage: ferrio {command}" in out
    assert "Exit status" in out


def test_a_reader_that_stops_reading():
    with seen.program(seen.WAITS) as program:
        shell = f"{sys.executable} -m ferrio ps {program.pid} | true"
        done = subprocess.run(["sh", "-c", shell], capture_output=True, text=True, check=False)
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", options.COMMANDS)
def test_files_with_the_name_of_a_command(tmp_path, command):
    (tmp_path / command).write_text("print('the file')\n")
    assert printed("--", command, directory=tmp_path) == "the file\n"
    assert printed(f"./{command}", directory=tmp_path) == "the file\n"
    status, out, errors = ferrio_command(command, 2**22, directory=tmp_path)
    assert (status, out) == (1, "")
    assert f"`{command}` is a command, and a program here too. For the program, write `ferrio ./{command}`" in errors


# ---- attaching, from Python 3.14 on

attaches = pytest.mark.skipif(not hasattr(sys, "remote_exec"), reason="Python attaches to others from 3.14 on")


def may_attach():
    """Whether the system lets this process attach to its children."""
    try:
        with open("/proc/sys/kernel/yama/ptrace_scope") as file:
            return os.geteuid() == 0 or int(file.read()) <= 1
    except OSError:
        return True


@attaches
@pytest.mark.skipif(not may_attach(), reason="the system lets no process attach to another")
def test_attaching():
    with seen.program(seen.WAITS, opted_in=False) as program:
        out = printed("ps", program.pid)
        assert "Queue.get: Queue with 0 of 3 items" in out
        assert printed("tree", program.pid)
        assert [name for name in os.listdir(meeting.own_directory()) if not name.endswith(".sock")] == []


@attaches
def test_attaching_to_a_program_without_ferrio():
    with seen.program("import os; print('ready', os.getpid(), flush=True); input()", opted_in=False) as program:
        status, _out, errors = ferrio_command("ps", program.pid)
        assert status == 1
        assert errors == f"ferrio ps: Process {program.pid} doesn't use ferrio.\n"
        program.stdin.write("\n")


@attaches
@pytest.mark.skipif(not may_attach(), reason="the system lets no process attach to another")
def test_attaching_to_a_program_that_runs_no_python_code(monkeypatch):
    source = """
    import ferrio, os, time
    print(f"ready {os.getpid()}{os.linesep}", end="", flush=True)
    os.read(0, 1)
    for _ in range(1000):
        pass
    print(f"ready {os.getpid()}{os.linesep}", end="", flush=True)
    input()
    """
    monkeypatch.setattr(attach, "_PATIENCE", 0.2)
    with seen.program(source, opted_in=False) as program:
        with pytest.raises(programs.Unseen, match="hasn't run any Python code"):
            programs.open_program(program.pid)
        program.stdin.write("x")
        program.stdin.flush()
        program.stdout.readline()
        programs.open_program(program.pid).close()
        program.stdin.write("\n")


def test_a_version_that_differs(monkeypatch):
    monkeypatch.setattr(attach, "_version", lambda pid: (3, sys.version_info[1] + 20))
    monkeypatch.setattr(attach, "_uses_ferrio", lambda pid: True)
    with pytest.raises(programs.Unseen, match="Use a `ferrio` of that version"):
        attach.attach(os.getpid(), os.geteuid())


@pytest.mark.parametrize(
    "error, said",
    [
        (PermissionError(), "doesn't let this process attach"),
        (RuntimeError("remote debugging is disabled"), "remote debugging is disabled"),
        (OSError("no"), "can't attach to process"),
        (ProcessLookupError(), "There is no process"),
    ],
)
def test_what_python_refuses(monkeypatch, error, said):
    def refuse(pid, script):
        raise error

    monkeypatch.setattr(sys, "remote_exec", refuse, raising=False)
    with pytest.raises(programs.Unseen, match=said):
        attach._start(os.getpid(), os.geteuid())


# ---- pieces


@pytest.mark.parametrize(
    "seconds, text",
    [
        (None, "-"),
        (0, "0"),
        (0.0123, "12.3ms"),
        (4.5, "4.50s"),
        (200, "3m20s"),
        (18420, "5h07m"),
        (12 * 86400 + 3600, "12d01h"),
    ],
)
def test_times(seconds, text):
    assert tables.times(seconds) == text


def test_columns():
    assert tables.aligned([["A", "N"], ["long", "1"], ["x", "22"]], right=[1]) == ["A      N", "long   1", "x     22"]
    assert tables.aligned([["A"], ["abcdef"]], width=4) == ["A", "abc…"]
    assert tables.brief("a\nb\x1b[0m", None) == "a?b?[0m"


def test_circles_in_the_tree():
    def row(number, *awaited):
        return {"loop": 1, "id": number, "awaits": [{"loop": 1, "id": each} for each in awaited], "held_by": []}

    tree = tables.grown([row(1, 2), row(2, 3), row(3, 1), row(4, 2)])
    shown = [(before, branch.row["id"], branch.again) for before, branch in tables.branches(tree, True)]
    assert shown == [
        ("", 4, False),
        ("`- ", 2, False),
        ("   `- ", 3, False),
        ("      `- ", 1, False),
        ("         `- ", 2, True),
    ]
    alone = tables.grown([row(1, 2), row(2, 1)])
    assert [branch.row["id"] for _, branch in tables.branches(alone)] == [1, 2, 1]
    deep = tables.grown([row(number, number + 1) for number in range(5000)])
    assert sum(1 for _ in tables.branches(deep)) == 5000
    assert tables.aligned([["x"]])


@pytest.mark.parametrize(
    "argv, text",
    [
        (["python", "app.py", "--port", "1"], "app.py --port 1"),
        (["python", "-u", "-X", "dev", "-m", "ferrio", "--sight", "app.py"], "app.py"),
        (["python", "-m", "uvicorn", "app:app"], "-m uvicorn app:app"),
        (["python", "-c", "from multiprocessing.spawn import spawn_main; ..."], "a process of multiprocessing"),
        (["python"], "python"),
    ],
)
def test_titles(argv, text):
    assert programs.title({"process": {"argv": argv}}) == text
