"""The agent: what it tells about a program, to whom, and that the program goes on and ends as without it."""

import contextlib
import errno
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading

import pytest
from tests.unit import seen
from tests.unit.programs import run_program

import ferrio
from ferrio import _ferrio
from ferrio.cli import programs
from ferrio.sight import agent, announced, meeting, snapshot

# Each test starts several Pythons, one after the other.
pytestmark = pytest.mark.timeout(180)


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """A place of this test's own, where programs meet."""
    directory = tmp_path / "run"
    directory.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(directory))
    return directory


@pytest.fixture
def here(monkeypatch):
    """An agent of this process."""
    made = agent.Agent()
    yield made
    made.stop()


def connection_to(made):
    return meeting.connect(os.path.dirname(made.path), os.geteuid(), os.getpid(), 30)


def ask(connection, text):
    """Sends a line as it is and returns the reply."""
    connection.sendall(text.encode() + b"\n")
    received = b""
    while not received.endswith(b"\n"):
        data = connection.recv(65536)
        assert data, "the agent hung up"
        received += data
    return json.loads(received)


# ---- the place


def test_the_directory_is_private(place):
    path = meeting.own_directory()
    assert path == f"{place}/ferrio"
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o700
    assert meeting.own_directory() == path, "it is used again"


def test_many_may_come_at_once(place):
    """Before the agent has accepted any."""
    path = meeting.own_directory()
    with contextlib.ExitStack() as opened:
        opened.enter_context(meeting.bind(path, os.getpid()))
        for _ in range(100):
            opened.enter_context(meeting.connect(path, os.geteuid(), os.getpid(), 30))


def test_an_agent_that_cannot_begin_leaves_nothing(place, monkeypatch):
    def start(self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    before = os.listdir("/proc/self/fd")
    with pytest.raises(RuntimeError, match="can't start"):
        agent.Agent()
    assert os.listdir(place / "ferrio") == []
    assert len(os.listdir("/proc/self/fd")) == len(before)


def test_no_descriptors_are_left(here, monkeypatch):
    """A reader that comes waits in the queue; the agent doesn't try again at once."""
    tried = threading.Semaphore(0)
    exhausted = [True]

    class Listener:
        def accept(self):
            tried.release()
            if exhausted:
                raise OSError(errno.EMFILE, "Too many open files")
            return listener.accept()

        def __getattr__(self, name):
            return getattr(listener, name)

    listener = here._listener
    waits = []
    monkeypatch.setattr(here._stopping, "wait", waits.append)
    here._listener = Listener()
    with connection_to(here) as connection:
        assert tried.acquire(timeout=30)
        assert tried.acquire(timeout=30)
        exhausted.clear()
        assert ask(connection, '{"do": "hello"}')["process"]["pid"] == os.getpid()
    assert set(waits) == {agent._PAUSE}


@pytest.mark.parametrize("mode", [0o755, 0o770, 0o701])
def test_a_directory_that_others_may_enter_is_refused(place, mode):
    (place / "ferrio").mkdir()
    (place / "ferrio").chmod(mode)
    with (
        pytest.raises(meeting.PlaceError, match="can be entered by others"),
        meeting.opened(f"{place}/ferrio", os.geteuid()),
    ):
        pass
    assert meeting.own_directory() != f"{place}/ferrio", "it takes another one"


def test_a_directory_of_another_user_is_refused(place):
    path = meeting.own_directory()
    with pytest.raises(meeting.PlaceError, match="belongs to the user"), meeting.opened(path, os.geteuid() + 1):
        pass
    assert meeting.files(path, os.geteuid() + 1) == []


def test_a_link_is_refused(place, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    (place / "ferrio").symlink_to(elsewhere)
    assert meeting.own_directory() != f"{place}/ferrio"
    with pytest.raises(OSError), meeting.opened(f"{place}/ferrio", os.geteuid()):
        pass


def test_a_runtime_directory_that_others_may_change_is_left_alone(place):
    place.chmod(0o777)
    assert not meeting.own_directory().startswith(str(place))
    assert not (place / "ferrio").exists()


def test_a_relative_runtime_directory_is_ignored(monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", "run")
    assert all(path.startswith("/") for path in meeting.directories(7))
    assert meeting.directories(7)[-1] == "/tmp/ferrio-7"


def test_sockets_of_ended_programs_are_swept(place):
    path = meeting.own_directory()
    meeting.bind(path, 123456).close()
    assert meeting.files(path, os.geteuid()) == [123456]
    assert meeting.connect(path, os.geteuid(), 123456, 1) is None
    assert meeting.files(path, os.geteuid()) == []


def test_nobody_sees_a_socket_that_does_not_listen_yet(place, monkeypatch):
    """A reader would be refused, and sweep it away."""
    directory, listened = meeting.own_directory(), []

    class Socket(socket.socket):
        def listen(self, backlog):
            listened.append(meeting.files(directory, os.geteuid()))
            super().listen(backlog)

    monkeypatch.setattr(meeting.socket, "socket", Socket)
    with meeting.bind(directory, 1):
        assert listened == [[]] and meeting.files(directory, os.geteuid()) == [1]


def test_a_long_path_is_no_obstacle(place, monkeypatch):
    deep = place / ("d" * 100) / ("e" * 100)
    deep.mkdir(parents=True, mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(deep))
    made = agent.Agent()
    try:
        with connection_to(made) as connection:
            assert ask(connection, '{"do": "hello"}')["process"]["pid"] == os.getpid()
    finally:
        made.stop()


# ---- who may ask, and what


def test_the_socket_is_private(here):
    assert stat.S_IMODE(os.stat(here.path).st_mode) == 0o600


@pytest.mark.parametrize("user, heard", [(0, True), (1, True), (2, False)])
def test_only_the_same_user_and_root_are_heard(here, monkeypatch, user, heard):
    here._user = 1
    monkeypatch.setattr(meeting, "peer", lambda connection: (0, user))
    client = socket.socket(socket.AF_UNIX)
    with client, meeting.opened(os.path.dirname(here.path), os.geteuid()) as path:
        client.settimeout(30)
        client.connect(f"{path}/{os.getpid()}.sock")
        if heard:
            assert "process" in ask(client, '{"do": "hello"}')
        else:
            assert client.recv(1) == b""


@pytest.mark.parametrize(
    "request_, problem",
    [
        ("nonsense", "JSONDecodeError"),
        ("[1, 2]", "TypeError"),
        ('{"do": "delete"}', "doesn't know the request 'delete'"),
        ("{}", "doesn't know the request None"),
        ('{"do": "tasks", "sort": "colour"}', "there is no column 'colour'"),
        ('{"do": "tasks", "limit": "many"}', "ValueError"),
        ('{"do": "stack", "loop": 1}', "gone"),
        ("\xff\x00", "Error"),
    ],
)
def test_requests_that_make_no_sense(here, request_, problem):
    with connection_to(here) as connection:
        reply = ask(connection, request_)
        assert reply["v"] == snapshot.VERSION
        assert problem in json.dumps(reply, ensure_ascii=False)
        assert "process" in ask(connection, '{"do": "hello"}'), "the agent goes on"


def test_an_endless_request_is_refused(here):
    with connection_to(here) as connection:
        with pytest.raises(OSError):
            while True:
                connection.sendall(b"x" * 65536)
    with connection_to(here) as connection:
        assert "process" in ask(connection, '{"do": "hello"}')


def test_several_requests_at_once(here):
    with connection_to(here) as connection:
        connection.sendall(b'{"do": "hello"}\n{"do": "hello"}\n{"do": "he')
        file = connection.makefile()
        assert json.loads(file.readline())["process"]["pid"] == json.loads(file.readline())["process"]["pid"]
        connection.sendall(b'llo"}\n')
        assert "loops" in json.loads(file.readline())


def test_the_agent_rests_after_a_table(here):
    with connection_to(here) as connection:
        assert "tasks" in ask(connection, '{"do": "tasks"}')
        here._rests_until += 1000
        assert 900 < ask(connection, '{"do": "tasks"}')["again_in"] < 1001
        assert "process" in ask(connection, '{"do": "hello"}')


def test_samples_are_taken_only_while_somebody_looks(here):
    async def main():
        loop = ferrio.get_running_loop()

        def sampled():
            return here._sampler.numbers(loop)["sampled"]

        with await ferrio.to_thread(connection_to, here) as connection:
            await ferrio.to_thread(ask, connection, '{"do": "tasks", "sample": true}')
            while sampled() == 0:
                await ferrio.sleep(0)
        while here._clients:
            await ferrio.sleep(0)
        with await ferrio.to_thread(connection_to, here) as connection:
            await ferrio.to_thread(ask, connection, '{"do": "hello"}')
            before = sampled()  # the agent's thread has nothing left to do for the first client
            await ferrio.to_thread(ask, connection, '{"do": "hello"}')
            assert sampled() == before

    ferrio.run(main())


def test_the_agents_thread_takes_no_signals(here):
    thread = here._thread.native_id
    with connection_to(here) as connection:
        ask(connection, '{"do": "hello"}')
    with open(f"/proc/self/task/{thread}/status") as file:
        blocked = next(int(line.split()[1], 16) for line in file if line.startswith("SigBlk"))
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGCHLD):
        assert blocked & 1 << (number - 1)


# ---- what it tells


@pytest.mark.parametrize("source", [seen.WAITS, seen.WAITS_OF_THE_STANDARD_LIBRARY], ids=["ferrio", "standard"])
def test_what_tasks_wait_for(source):
    with seen.program(source) as program:
        rows, reply = seen.look(program.pid)
        assert rows["waiter"]["waits"] == "async with"
        assert rows["waiter"]["on"] == "Lock, held by 'holder'"
        assert [each["name"] for each in rows["waiter"]["held_by"]] == ["holder"]
        assert (rows["consumer"]["waits"], rows["consumer"]["on"]) == ("Queue.get", "Queue with 0 of 3 items")
        assert rows["sleeper"]["waits"] == "sleep"
        if source is seen.WAITS:
            assert 900 < rows["sleeper"]["due_in"] < 1000
            assert "sleeper" in [each["name"] for each in rows["Task-1"]["awaits"]]
        assert rows["reader"]["waits"] == "StreamReader.readline"
        assert {row["state"] for row in rows.values()} <= {"waiting", "scheduled", "running"}
        assert rows["counter"]["polls"] >= rows["counter"]["wakes"]
        assert rows["holder"]["defined"] == "<string>:5"
        assert rows["holder"]["created"] is None
        assert reply["total"] == reply["matching"] == len(rows) == 8
        assert reply["process"]["pid"] == program.pid
        assert [loop["pending"] for loop in reply["loops"]] == [8]
        polls = rows["counter"]["polls"]
        while seen.look(program.pid)[0]["counter"]["polls"] == polls:
            pass


def test_where_tasks_were_made_is_known_in_debug_mode():
    # A busy machine makes slow callbacks.
    source = "import logging\nlogging.disable()\n" + seen.WAITS
    with seen.program(source, environment={"PYTHONASYNCIODEBUG": "1"}) as program:
        rows, _reply = seen.look(program.pid)
        assert rows["holder"]["created"].startswith("<string>:")


def test_sorting_filtering_and_limits():
    with seen.program(seen.WAITS) as program:
        by_name = list(seen.look(program.pid, sort="name")[0])
        assert by_name == sorted(by_name)
        assert list(seen.look(program.pid, sort="name", reverse=True)[0]) == by_name[::-1]
        rows, reply = seen.look(program.pid, sort="polls", reverse=True, limit=2)
        assert next(iter(rows)) == "counter"
        assert (len(rows), reply["total"], reply["matching"]) == (2, 8, 8)
        assert list(seen.look(program.pid, filter="QUEUE get")[0]) == ["consumer"]
        assert list(seen.look(program.pid, filter="nothing like it")[0]) == []
        for column in snapshot.COLUMNS:
            assert len(seen.look(program.pid, sort=column)[0]) == 8


def test_the_stack_of_a_task():
    with seen.program(seen.WAITS) as program:
        rows, _reply = seen.look(program.pid)
        looking = programs.open_program(program.pid)
        stack = looking.ask({"do": "stack", **{key: rows["consumer"][key] for key in ("loop", "id", "place")}})
        assert "Queue.get" in stack["waits"]
        assert [entry["function"] for entry in stack["stack"]] == ["consume", "get"][: len(stack["stack"])]
        assert "consumer" in stack["text"]
        gone = looking.ask({"do": "stack", "loop": 1, "id": 12345, "place": 0})
        assert gone == {"gone": True}
        looking.close()


def test_the_watchdogs_last_report():
    source = """
    import os, time, ferrio, logging
    from ferrio import sight

    logging.disable()

    async def main():
        reported = []
        with sight.watch(0.01, on_block=reported.append):
            while not reported:
                pass
        print(f"ready {os.getpid()}{os.linesep}", end="", flush=True)
        await ferrio.to_thread(input)

    ferrio.run(main())
    """
    with seen.program(source) as program:
        _rows, reply = seen.look(program.pid)
        assert "has blocked the loop" in reply["watchdog"]["text"] or "It took" in reply["watchdog"]["text"]
        assert reply["watchdog"]["ago"] >= 0
        program.stdin.write("\n")


def test_ten_thousand_tasks():
    source = """
    import os, ferrio

    async def main():
        tasks = [ferrio.create_task(ferrio.sleep(1000), name=f"sleeper {number}") for number in range(10_000)]
        await ferrio.sleep(0)
        print(f"ready {os.getpid()}{os.linesep}", end="", flush=True)
        await ferrio.to_thread(input)
        for task in tasks:
            task.cancel()
        await ferrio.wait(tasks)

    ferrio.run(main())
    """
    with seen.program(source) as program:
        # One request, because the agent rests after such a table.
        rows, reply = seen.look(program.pid, limit=5, sort="name", reverse=True, filter="sleeper 777")
        assert (len(rows), reply["total"], reply["matching"]) == (5, 10_001, 19)
        assert list(rows)[:2] == ["sleeper 9777", "sleeper 8777"]
        assert rows["sleeper 9777"]["waits"] == "sleep"
        program.stdin.write("\n")


def test_many_loops():
    source = """
    import os, threading, ferrio

    def other():
        async def main():
            ferrio.current_task().set_name("in a thread")
            started.set()
            await ferrio.to_thread(ended.wait)
        ferrio.run(main())

    started, ended = threading.Event(), threading.Event()
    thread = threading.Thread(target=other, name="other")
    thread.start()
    started.wait()

    async def main():
        print(f"ready {os.getpid()}{os.linesep}", end="", flush=True)
        await ferrio.to_thread(input)

    ferrio.run(main())
    ended.set()
    thread.join()
    """
    with seen.program(source) as program:
        rows, reply = seen.look(program.pid)
        assert {loop["thread"] for loop in reply["loops"]} == {"MainThread", "other"}
        assert len({loop["loop"] for loop in reply["loops"]}) == 2
        assert len({row["loop"] for row in rows.values()}) == 2 == len(rows)
        program.stdin.write("\n")


def test_without_the_interpreters_lock(here, monkeypatch):
    """Coroutines are looked at in the thread that runs them, if it has time."""
    looked_in = set()
    real = here._tables._look_at

    def look_at(*arguments):
        looked_in.add(threading.get_ident())
        real(*arguments)

    async def main():
        consumer = ferrio.create_task(ferrio.Queue().get(), name="consumer")
        with await ferrio.to_thread(connection_to, here) as connection:
            reply = await ferrio.to_thread(ask, connection, '{"do": "tasks"}')
            row = next(row for row in reply["tasks"] if row["name"] == "consumer")
            assert row["waits"] == "Queue.get"
            request = json.dumps({"do": "stack", **{key: row[key] for key in ("loop", "id", "place")}})
            assert "Queue.get" in (await ferrio.to_thread(ask, connection, request))["waits"]
            assert looked_in == {threading.get_ident()}
            here._rests_until = 0
            monkeypatch.setattr(snapshot, "_PATIENCE", 0.01)
            # Not awaited, so the loop is blocked meanwhile.
            reply = ask(connection, '{"do": "tasks"}')
            assert {row["waits"] for row in reply["tasks"]} == {""}
        consumer.cancel()

    monkeypatch.setattr(snapshot, "_has_lock", lambda: False)
    monkeypatch.setattr(here._tables, "_look_at", look_at)
    ferrio.run(main())


def test_an_odd_program():
    """Names, reprs and coroutines that are no help."""
    source = """
    import os, sys, ferrio

    class Odd(ferrio.Queue):
        def __repr__(self):
            raise ZeroDivisionError
        def qsize(self):
            raise ZeroDivisionError

    async def main():
        odd = ferrio.create_task(Odd().get(), name="\\x1b[31m\\n\\udc80")
        await ferrio.sleep(0)
        print(f"ready {os.getpid()}{os.linesep}", end="", flush=True)
        await ferrio.to_thread(input)
        odd.cancel()

    ferrio.run(main())
    """
    with seen.program(source) as program:
        rows, _reply = seen.look(program.pid)
        row = rows["\x1b[31m\n\udc80"]
        assert row["on"] == "Odd with ? items"
        program.stdin.write("\n")


# ---- the life of the program


def test_only_a_program_that_wants_it_has_an_agent(place):
    run_program(
        "import ferrio; ferrio.run(ferrio.sleep(0)); import sys; assert 'ferrio.sight.agent' not in sys.modules"
    )
    assert not (place / "ferrio").exists()


def test_a_program_that_calls_serve():
    source = """
    import os, ferrio
    from ferrio import sight

    path = sight.serve()
    assert sight.serve() == path and path.endswith(f"{os.getpid()}.sock")
    print(f"ready {os.getpid()}{os.linesep}", end="", flush=True)
    input()
    """
    with seen.program(source, opted_in=False) as program:
        _rows, reply = seen.look(program.pid)
        assert (reply["loops"], reply["total"]) == ([], 0)
        program.stdin.write("\n")


def test_serve_may_be_called_while_the_same_thread_is_inside_it():
    """By a signal's handler, or by code of `sys.remote_exec`, which `ferrio top` sends."""
    source = """
    import os, sys, ferrio
    from ferrio import sight

    paths = []

    def within(frame, event, argument):
        if frame.f_code.co_name == "__init__" and frame.f_globals["__name__"] == "ferrio.sight.agent" and not paths:
            paths.append(None)
            paths[0] = sight.serve()
            sys.settrace(None)

    sys.settrace(within)
    path = sight.serve()
    assert paths == [path], paths
    print(f"ready {os.getpid()}{os.linesep}", end="", flush=True)
    input()
    """
    with seen.program(source, opted_in=False) as program:
        _rows, reply = seen.look(program.pid)
        assert reply["total"] == 0
        program.stdin.write("\n")


def test_the_command_line_switch(tmp_path):
    path = tmp_path / "app.py"
    path.write_text(
        "import asyncio, os\n"
        "print('ready', os.getpid(), os.environ['FERRIO_SIGHT'], flush=True)\n"
        "await asyncio.to_thread(input)\n"
    )
    program = subprocess.Popen(
        [sys.executable, "-m", "ferrio", "--sight", path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with program:
        assert program.stdout.readline() == f"ready {program.pid} 1\n"
        assert seen.look(program.pid)[1]["process"]["argv"][-1] == str(path)
        program.communicate("\n")
    assert program.returncode == 0


@pytest.mark.parametrize(
    "end, status",
    [("pass", 0), ("raise SystemExit(7)", 7), ("1 / 0", 1), ("os.kill(os.getpid(), 9)", -9), ("os._exit(3)", 3)],
)
def test_the_program_ends_while_somebody_looks(place, end, status):
    source = f"""
    import os, ferrio

    async def main():
        print("ready", os.getpid(), flush=True)
        await ferrio.to_thread(input)
        {end}

    ferrio.run(main())
    """
    with seen.program(source) as program:
        looking = programs.open_program(program.pid)
        assert looking.ask({"do": "tasks", "sample": True})["total"] == 1
        program.stdin.write("\n")
        program.stdin.flush()
        assert program.wait(60) == status
        with pytest.raises(programs.Unseen, match=f"{program.pid} has ended"):
            looking.ask({"do": "hello"})
    assert ("ZeroDivisionError" in program.errors) == (status == 1)
    if status in (0, 1, 7):
        assert os.listdir(place / "ferrio") == [], "the socket is removed"


def test_a_client_that_doesnt_read_keeps_nobody_from_ending():
    with seen.program(seen.WAITS) as program:
        path = meeting.own_directory()
        with meeting.connect(path, os.geteuid(), program.pid, 30) as connection:
            with contextlib.suppress(OSError):  # it hangs up
                for _ in range(1000):
                    connection.sendall(b'{"do": "hello"}\n')
            program.stdin.write("\n")
            program.stdin.flush()
            program.wait(60)


def test_a_forked_child_gets_an_agent_of_its_own():
    source = """
    import os, sys, ferrio

    async def wait(name):
        ferrio.current_task().set_name(name)
        print(f"ready {os.getpid()}{os.linesep}", end="", flush=True)
        await ferrio.to_thread(sys.stdin.readline)

    async def main():
        print("ready", flush=True)
        child = await ferrio.to_thread(fork)
        await wait("parent")
        return child

    def fork():
        sys.stdin.readline()
        return os.fork()

    with ferrio.Runner() as runner:
        runner.get_loop()
    child = None
    ferrio.run(ferrio.sleep(0))
    print("ready", flush=True)
    sys.stdin.readline()
    child = os.fork()
    ferrio.run(wait("child" if child == 0 else "parent"))
    if child:
        assert os.waitpid(child, 0)[1] == 0
    """
    with seen.program(source, options=("-W", "ignore"), ready=0) as program:
        before = program.stdout.readline()
        assert before == "ready\n"
        looking = programs.open_program(program.pid)
        program.stdin.write("\n")
        program.stdin.flush()
        pids = {int(program.stdout.readline().split()[1]) for _ in range(2)}
        (child,) = pids - {program.pid}
        assert list(seen.look(program.pid)[0]) == ["parent"]
        assert list(seen.look(child)[0]) == ["child"]
        assert looking.ask({"do": "tasks"})["total"] == 1, "the parent's connection goes on"
        looking.close()
        program.stdin.write("\n\n")
        program.stdin.flush()


def test_an_agents_thread_wakes_no_loop():
    out = run_program(
        """
        import ferrio, os
        from ferrio import sight

        async def main():
            await ferrio.Queue().get()

        sight.serve()
        import logging, _thread
        class Stop(logging.Handler):
            def emit(self, record):
                print(record.getMessage())
                os._exit(0)
        logging.getLogger("asyncio").addHandler(Stop())
        ferrio.run(main(), debug=True)
        """
    )
    assert "Nothing can wake" in out


def test_threads_have_names_that_reports_know(here):
    assert announced.AGENT_THREAD in [thread.name for thread in threading.enumerate()]


def test_what_ends_while_a_table_is_made_dies_in_its_loops_thread():
    died_in = set()

    class Result:
        def __del__(self):
            died_in.add(threading.current_thread().name)

    async def work(lock):
        with contextlib.suppress(TimeoutError):
            await ferrio.wait_for(lock.acquire(), 0.001)
        return Result()

    def look(loop):
        sampler = _ferrio._Sampler()
        sampler.add(loop)
        tables = snapshot.Tables(sampler)
        for _ in range(50):
            row = tables.tasks({})["tasks"][-1]
            tables.stack(row)

    async def main():
        lock = ferrio.Lock()
        await lock.acquire()
        thread = threading.Thread(target=look, args=(ferrio.get_running_loop(),), name="agent")
        thread.start()
        while thread.is_alive():
            await ferrio.wait([ferrio.create_task(work(lock)) for _ in range(50)])
        thread.join()

    ferrio.run(main())
    assert died_in == {threading.current_thread().name}
