"""Starting a child without making the loop wait, and its exits: errors, cancellation, and starting through `Popen`."""

import asyncio
import ctypes
import fcntl
import gc
import os
import shutil
import signal
import subprocess
import sys
import threading
import warnings

import pytest
from tests.unit.implementations import in_a_fork, is_gone
from tests.unit.programs import run_program

import ferrio
from ferrio import _launch

PIPE = subprocess.PIPE


@pytest.fixture(params=["launched", "by Popen", "by the switch"])
def way(request, monkeypatch):
    """How children start: through ferrio, or through `Popen` where the system or the program requires that."""
    if request.param == "by Popen":
        monkeypatch.setattr(subprocess, "_USE_VFORK", False, raising=False)
    elif request.param == "by the switch":
        monkeypatch.setenv("FERRIO_SPAWN", "popen")
    assert _launch._may_launch() == (request.param == "launched")
    return request.param


@pytest.fixture
def started(monkeypatch):
    """Returns the process ids of all children that were started, even of those that nothing else reports."""
    pids = []

    class Watched(_launch._Launched):
        def _execute_child(self, *args):
            super()._execute_child(*args)
            pids.append(self.pid)

    monkeypatch.setattr(_launch, "_Launched", Watched)
    return pids


class Slow:
    """A program that can't be opened before `release()` is called, as on a file system that doesn't respond."""

    def __init__(self, folder):
        self.path = str(folder / "slow")
        shutil.copy(shutil.which("true"), self.path)
        self.fd = os.open(self.path, os.O_RDONLY)
        # Opening the file waits for the holder of the lease, which is sent a signal: one that nothing handles.
        fcntl.fcntl(self.fd, fcntl.F_SETSIG, signal.SIGURG)
        try:
            fcntl.fcntl(self.fd, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        except OSError as failure:
            os.close(self.fd)
            pytest.skip(f"the file system of {folder} has no leases: {failure}")

    def release(self):
        fcntl.fcntl(self.fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        os.close(self.fd)


@pytest.fixture
def slow(tmp_path):
    return Slow(tmp_path)


def test_loop_goes_on_while_the_program_is_opened(slow):
    async def main():
        task = ferrio.create_task(ferrio.create_subprocess_exec(slow.path))
        for _ in range(1000):
            await ferrio.sleep(0)
        assert not task.done()
        slow.release()
        child = await task
        assert await child.wait() == 0

    ferrio.run(main())


def test_many_programs_are_opened_at_once(slow):
    async def main():
        tasks = [ferrio.create_task(ferrio.create_subprocess_exec(slow.path)) for _ in range(20)]
        await ferrio.sleep(0)
        # Other children needn't wait for these.
        child = await ferrio.create_subprocess_exec("true")
        assert await child.wait() == 0
        assert not any(task.done() for task in tasks)
        slow.release()
        assert [await (await task).wait() for task in tasks] == [0] * 20

    ferrio.run(main())


def test_cancelled_while_the_program_is_opened(slow, started):
    async def main():
        task = ferrio.create_task(ferrio.create_subprocess_exec(slow.path, stdin=PIPE, stdout=PIPE))
        await ferrio.sleep(0)
        assert not is_gone(started[0])
        before = len(os.listdir("/proc/self/fd"))
        task.cancel("enough")
        with pytest.raises(asyncio.CancelledError, match="enough"):
            await task
        assert is_gone(started[0])
        # Two pipes, the child's own descriptor, and that of its report.
        assert len(os.listdir("/proc/self/fd")) <= before - 4

    ferrio.run(main())
    slow.release()


def test_cancelled_twice(slow, started):
    async def main():
        task = ferrio.create_task(ferrio.create_subprocess_exec(slow.path))
        await ferrio.sleep(0)
        task.cancel()
        ferrio.get_running_loop().call_soon(task.cancel)
        with pytest.raises(asyncio.CancelledError):
            await task
        assert is_gone(started[0])

    ferrio.run(main())
    slow.release()


def test_coroutine_closed_while_the_program_is_opened(slow, started):
    async def main():
        starting = ferrio.create_subprocess_exec(slow.path)
        starting.send(None)
        starting.close()

    ferrio.run(main())
    # Nobody waited for the child, so a thread does.
    while not is_gone(started[0]):
        os.sched_yield()
    slow.release()


def test_loop_closed_while_the_program_is_opened(slow, started):
    loop = ferrio.new_event_loop()
    task = loop.create_task(ferrio.create_subprocess_exec(slow.path))
    loop.call_soon(loop.stop)
    loop.run_forever()
    loop.set_exception_handler(lambda loop, context: None)
    loop.close()
    del task
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        gc.collect()
    while not is_gone(started[0]):
        os.sched_yield()
    slow.release()


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_fork_while_the_program_is_opened(slow, started):
    # A fork of this process that gives up the start leaves the child to its parent.
    async def main():
        starting = ferrio.create_subprocess_exec(slow.path)
        task = ferrio.create_task(starting)
        await ferrio.sleep(0)
        in_a_fork(starting.close)
        assert not is_gone(started[0])
        slow.release()
        child = await task
        assert await child.wait() == 0

    ferrio.run(main())


def test_subprocess_is_a_popen(way):
    async def main():
        child = await ferrio.create_subprocess_exec("cat", stdin=PIPE, stdout=PIPE)
        popen = child._transport.get_extra_info("subprocess")
        assert type(popen) is subprocess.Popen
        assert popen.pid == child.pid
        assert popen.args == ("cat",)
        with subprocess.Popen(("cat",), stdin=PIPE, stdout=PIPE, bufsize=0) as other:
            # Code that looks into it finds what it expects.
            assert vars(popen).keys() == vars(other).keys()
            assert {name: type(value) for name, value in vars(popen).items()} == {
                name: type(value) for name, value in vars(other).items()
            }
            other.stdin.close()
        assert repr(popen) == "<Popen: returncode: None args: ('cat',)>"
        await child.communicate(b"x")
        assert popen.returncode == 0
        return popen

    popen = ferrio.run(main())
    assert popen.wait() == 0


def test_errors_are_popens(way, tmp_path):
    plain = tmp_path / "plain"
    plain.write_bytes(b"no program")

    def error_of_popen(*args, **keywords):
        try:
            subprocess.Popen(args, bufsize=0, **keywords).wait()
        except (OSError, ValueError, TypeError, LookupError, OverflowError) as failure:
            return failure
        raise AssertionError(f"no error of {args}, {keywords}")

    async def of_ferrio(*args, **keywords):
        child = await ferrio.create_subprocess_exec(*args, **keywords)
        await child.wait()

    async def main():
        for args, keywords in [
            (("/nowhere/at/all",), {}),
            (("no-such-program",), {}),
            (("no-such-program",), {"env": {"PATH": "/nowhere"}}),
            (("no-such-program",), {"env": {}}),
            ((str(plain),), {}),
            ((str(plain / "below"),), {}),
            ((str(tmp_path),), {}),
            (("true",), {"cwd": str(tmp_path / "nowhere")}),
            (("true",), {"cwd": plain}),
            (("true",), {"executable": "/nowhere/true"}),
            (("true",), {"process_group": 1}),
            (("true", "a\0b"), {}),
            (("true",), {"cwd": "a\0b"}),
            (("true",), {"env": {"A=B": "c"}}),
            (("true",), {"env": {"A": "b\0"}}),
            (("true", 7), {}),
            (("true",), {"pass_fds": [-1]}),
            (("true",), {"pass_fds": [1_000_000]}),
            (("true",), {"stdin": 1_000_000}),
            (("true",), {"user": "nobody at all"}),
            (("true",), {"user": 2**40}),
            (("true",), {"user": -1}),
            (("true",), {"nonsense": 1}),
        ]:
            expected = error_of_popen(*args, **keywords)
            with pytest.raises(type(expected)) as caught:
                await of_ferrio(*args, **keywords)
            assert type(caught.value) is type(expected), (args, keywords)
            # If a number is too large, Popen's message says that it is too small.
            if type(expected) is not OverflowError:
                assert str(caught.value) == str(expected), (args, keywords)
            assert getattr(caught.value, "filename", None) == getattr(expected, "filename", None)

    ferrio.run(main())


def test_audit_event_is_popens(way):
    events = []
    active = True

    def hook(event, args):
        if active and event == "subprocess.Popen":
            events.append(args)

    sys.addaudithook(hook)

    async def main():
        await (await ferrio.create_subprocess_exec("true", "x", cwd="/", env={"A": "b", "PATH": os.defpath})).wait()
        await (await ferrio.create_subprocess_shell("true")).wait()

    ferrio.run(main())
    active = False
    assert [(executable, list(args), cwd, env) for executable, args, cwd, env in events] == [
        ("true", ["true", "x"], "/", {"A": "b", "PATH": os.defpath}),
        ("/bin/sh", ["/bin/sh", "-c", "true"], None, None),
    ]


def test_signals_of_the_child_are_popens(way):
    script = "import signal; print(sorted(map(int, signal.pthread_sigmask(signal.SIG_BLOCK, [])))," + (
        "[n for n in range(1, 65) if n not in (32, 33) and signal.getsignal(n) == signal.SIG_IGN])"
    )
    args = (sys.executable, "-I", "-S", "-c", script)

    async def output(**keywords):
        child = await ferrio.create_subprocess_exec(*args, stdout=PIPE, **keywords)
        return (await child.communicate())[0]

    async def main():
        old = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
        handlers = {signal.SIGUSR2: signal.SIG_IGN, signal.SIGWINCH: lambda *_: None}
        handlers = {number: signal.signal(number, handler) for number, handler in handlers.items()}
        try:
            for keywords in [{}, {"restore_signals": False}]:
                expected = subprocess.run(args, stdout=PIPE, check=True, **keywords).stdout
                assert await output(**keywords) == expected
            assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == {signal.SIGUSR1, *old}
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, old)
            for number, handler in handlers.items():
                signal.signal(number, handler)

    ferrio.run(main())


def test_descriptors_of_the_child_are_popens(way):
    # The child must have only the descriptors that it should have. `ls` has one more, the folder that it reads.
    async def output(**keywords):
        child = await ferrio.create_subprocess_exec("ls", "/proc/self/fd", stdout=PIPE, **keywords)
        return (await child.communicate())[0].split()

    async def main():
        pipe = os.pipe()
        kept = os.dup(pipe[0])
        os.set_inheritable(kept, True)
        assert await output() == [b"0", b"1", b"2", b"3"]
        assert str(pipe[0]).encode() in await output(pass_fds=[pipe[0]])
        inherited = await output(close_fds=False)
        assert str(kept).encode() in inherited
        assert str(pipe[0]).encode() not in inherited
        # One of our ends has the child's number, and the child's end another one's.
        child = await ferrio.create_subprocess_exec("sh", "-c", "echo out; echo err >&2", stdout=2, stderr=PIPE)
        assert await child.communicate() == (None, b"err\n")
        for fd in (*pipe, kept):
            os.close(fd)

    ferrio.run(main())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may start children of other users")
def test_children_of_another_user(way):
    is_dumpable = ctypes.CDLL(None).prctl
    get_dumpable = 3

    async def main():
        before = is_dumpable(get_dumpable)
        children = [
            await ferrio.create_subprocess_exec(
                "sh", "-c", "id -u; id -g; id -G", stdout=PIPE, user=65534, group=65533, extra_groups=[65532]
            )
            for _ in range(5)
        ]
        for child in children:
            assert await child.communicate() == (b"65534\n65533\n65533 65532\n", None)
        # The kernel forbids other processes to look into one that shares its memory with such a child.
        assert is_dumpable(get_dumpable) == before

    ferrio.run(main())


def test_program_under_valgrind_starts_children_through_popen():
    # valgrind kills a program that has such a child. We recognise it by what it preloads; here that file doesn't exist.
    source = """
        from ferrio import _ferrio
        order = [b"true"], [b"true"], None, None, (-1, -1, -1), True, [], -1, True, False, -1, None, None, None
        print(_ferrio.Launch.start(*order))
        """
    output = run_program(source, env=os.environ | {"LD_PRELOAD": "/nowhere/vgpreload_core.so"})
    assert output.splitlines()[-1] == "None"


def test_replaced_popen_is_used(monkeypatch):
    # A program or library that replaces the class has it called.
    made = []

    class Other(subprocess.Popen):
        def __init__(self, *args, **keywords):
            made.append(keywords.get("cwd"))
            super().__init__(*args, **keywords)

    monkeypatch.setattr(subprocess, "Popen", Other)

    async def main():
        child = await ferrio.create_subprocess_exec("true", cwd="/")
        assert isinstance(child._transport.get_extra_info("subprocess"), Other)
        assert await child.wait() == 0

    ferrio.run(main())
    assert made == ["/"]


def test_current_environment_is_used(way, monkeypatch):
    async def main():
        monkeypatch.setenv("FERRIO_TEST_WORD", "one")
        first = await ferrio.create_subprocess_exec("sh", "-c", "echo $FERRIO_TEST_WORD", stdout=PIPE)
        monkeypatch.setenv("FERRIO_TEST_WORD", "two")
        second = await ferrio.create_subprocess_exec("sh", "-c", "echo $FERRIO_TEST_WORD", stdout=PIPE)
        assert [(await first.communicate())[0], (await second.communicate())[0]] == [b"one\n", b"two\n"]

    ferrio.run(main())


@pytest.mark.parametrize("has_gil", [True, False])
def test_inherited_environment_is_whole(has_gil, monkeypatch):
    monkeypatch.setattr(_launch, "_has_gil", lambda: has_gil)
    monkeypatch.setenv("FERRIO_TEST_WORD", "\udcff of no encoding")

    async def main():
        child = await ferrio.create_subprocess_exec("env", "-0", stdout=PIPE)
        return (await child.communicate())[0]

    inherited = dict(line.split(b"=", 1) for line in ferrio.run(main()).split(b"\0") if line)
    assert inherited == dict(os.environb)


def test_environment_that_other_threads_change_is_inherited(monkeypatch):
    """Every child sees a variable that stays, while two threads set and remove others."""
    monkeypatch.setenv("FERRIO_TEST_WORD", "stays")
    done = threading.Event()

    def change(number):
        names = [f"FERRIO_TEST_{number}_{each}" for each in range(50)]
        while not done.is_set():
            for size, name in enumerate(names):
                os.environ[name] = "x" * size * 7
            for name in names:
                del os.environ[name]

    async def main():
        for _ in range(30):
            child = await ferrio.create_subprocess_exec("sh", "-c", "echo $FERRIO_TEST_WORD", stdout=PIPE)
            assert (await child.communicate())[0] == b"stays\n"

    threads = [threading.Thread(target=change, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    try:
        ferrio.run(main())
    finally:
        done.set()
        for thread in threads:
            thread.join()
