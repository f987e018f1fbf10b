"""Children: streams, transports, ends, signals, arguments. One body on asyncio and on ferrio."""

import asyncio
import errno
import os
import pty
import signal
import subprocess
import sys
import threading

import pytest

import ferrio

PIPE = subprocess.PIPE


def script(text):
    """Returns the arguments of a child that runs a Python script and starts quickly."""
    return sys.executable, "-I", "-S", "-c", text


@pytest.fixture
def run(aio):
    """Returns a function that runs a coroutine the usual way, because the tested code calls `get_running_loop()`."""
    return aio.run


class Recorder(asyncio.SubprocessProtocol):
    """Records what it is told."""

    def __init__(self):
        self.calls = []
        self.data = {1: b"", 2: b""}
        self.lost = asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        self.calls.append("made")

    def pipe_data_received(self, fd, data):
        self.data[fd] += data

    def pipe_connection_lost(self, fd, exc):
        self.calls.append(("pipe", fd, exc))

    def process_exited(self):
        self.calls.append("exited")

    def connection_lost(self, exc):
        self.calls.append(("lost", exc))
        self.lost.set_result(None)


def test_communicate_feeds_and_collects(run, aio):
    async def main():
        child = await aio.create_subprocess_exec("cat", stdin=PIPE, stdout=PIPE, stderr=PIPE)
        assert child.pid > 0
        assert child.returncode is None
        data = b"0123456789" * 100_000
        assert await child.communicate(data) == (data, b"")
        assert child.returncode == 0
        child = await aio.create_subprocess_exec("true")
        assert await child.communicate() == (None, None)

    run(main())


def test_streams_are_readers_and_writers(run, aio):
    async def main():
        child = await aio.create_subprocess_exec("cat", stdin=PIPE, stdout=PIPE)
        assert isinstance(child.stdin, asyncio.StreamWriter)
        assert isinstance(child.stdout, asyncio.StreamReader)
        assert child.stderr is None
        child.stdin.write(b"first\nsecond\n")
        await child.stdin.drain()
        assert await child.stdout.readline() == b"first\n"
        assert await child.stdout.readexactly(3) == b"sec"
        child.stdin.write_eof()
        assert await child.stdout.read() == b"ond\n"
        assert await child.stdout.read() == b""
        assert await child.wait() == 0
        await child.stdin.wait_closed()

    run(main())


def test_limit_is_passed_to_the_reader(run, aio):
    async def main():
        child = await aio.create_subprocess_exec("echo", "too long", stdout=PIPE, limit=3)
        with pytest.raises(ValueError, match="limit"):
            await child.stdout.readline()
        await child.communicate()

    run(main())


def test_shell_commands(run, aio):
    async def main():
        child = await aio.create_subprocess_shell("echo out; echo err >&2; exit 7", stdout=PIPE, stderr=PIPE)
        assert await child.communicate() == (b"out\n", b"err\n")
        assert child.returncode == 7
        child = await aio.create_subprocess_shell(b"echo both; echo of them >&2", stdout=PIPE, stderr=subprocess.STDOUT)
        assert await child.communicate() == (b"both\nof them\n", None)

    run(main())


@pytest.mark.parametrize("how", ["terminate", "kill", "send_signal"])
def test_signals(run, aio, how):
    async def main():
        child = await aio.create_subprocess_exec("sleep", "1000")
        number = {"terminate": signal.SIGTERM, "kill": signal.SIGKILL, "send_signal": signal.SIGINT}[how]
        getattr(child, how)(*([number] if how == "send_signal" else []))
        assert await child.wait() == -number
        assert child.returncode == -number

    run(main())


def test_stopped_child_has_not_ended(run, aio):
    async def main():
        child = await aio.create_subprocess_exec("cat", stdin=PIPE, stdout=PIPE)
        child.send_signal(signal.SIGSTOP)
        waiting = asyncio.ensure_future(child.wait()) if aio is asyncio else aio.ensure_future(child.wait())
        child.stdin.write(b"later")
        child.stdin.close()
        os.waitid(os.P_PID, child.pid, os.WSTOPPED | os.WNOWAIT)
        await aio.sleep(0)
        assert not waiting.done()
        child.send_signal(signal.SIGCONT)
        assert await child.stdout.read() == b"later"
        assert await waiting == 0

    run(main())


def test_several_wait_and_one_gives_up(run, aio):
    async def main():
        child = await aio.create_subprocess_exec("cat", stdin=PIPE)
        tasks = [aio.create_task(wait_for(child)) for _ in range(3)]
        await aio.sleep(0)
        tasks[1].cancel()
        with pytest.raises(asyncio.CancelledError):
            await tasks[1]
        child.stdin.close()
        assert [await tasks[0], await tasks[2], await child.wait()] == [0, 0, 0]

    async def wait_for(child):
        return await child.wait()

    run(main())


def test_protocol_is_told_everything_in_order(run, aio):
    async def main():
        loop = aio.get_running_loop()
        transport, protocol = await loop.subprocess_exec(Recorder, "sh", "-c", "cat; echo problem >&2; exit 3")
        assert isinstance(transport, asyncio.SubprocessTransport)
        assert protocol.calls == ["made"]
        assert transport.get_pid() == transport.get_extra_info("subprocess").pid
        assert transport.get_returncode() is None
        assert "running" in repr(transport)
        assert transport.get_pipe_transport(7) is None
        stdin = transport.get_pipe_transport(0)
        stdin.write(b"input")
        stdin.close()
        await protocol.lost
        assert protocol.data == {1: b"input", 2: b"problem\n"}
        assert transport.get_returncode() == 3
        assert "returncode=3" in repr(transport)
        assert transport.get_extra_info("subprocess").returncode == 3
        assert transport.get_extra_info("nothing", 7) == 7
        assert protocol.calls[0] == "made"
        assert protocol.calls[-1] == ("lost", None)
        assert set(protocol.calls[1:-1]) == {"exited", *(("pipe", fd, None) for fd in range(3))}
        assert len(protocol.calls) == 6
        with pytest.raises(ProcessLookupError):
            transport.kill()
        transport.close()

    run(main())


def test_signal_to_a_child_that_has_ended_is_refused(run, aio):
    async def main():
        child = await aio.create_subprocess_exec("true")
        await child.wait()
        # asyncio's transport drops the process in one of the next turns.
        with pytest.raises(ProcessLookupError):
            while True:
                child.kill()
                await aio.sleep(0)
        for send in (child.kill, child.terminate, lambda: child.send_signal(signal.SIGINT)):
            with pytest.raises(ProcessLookupError):
                send()

    run(main())


def test_closing_kills(run, aio):
    async def main():
        loop = aio.get_running_loop()
        transport, protocol = await loop.subprocess_exec(Recorder, "sleep", "1000")
        transport.close()
        transport.close()
        assert transport.is_closing()
        assert "closed" in repr(transport)
        await protocol.lost
        assert transport.get_returncode() == -signal.SIGKILL

    run(main())


def test_unsupported_arguments_are_refused(run, aio):
    async def main():
        loop = aio.get_running_loop()
        for keywords, text in [
            ({"universal_newlines": True}, "universal_newlines must be False"),
            ({"text": True}, "text must be False"),
            ({"bufsize": 4096}, "bufsize must be 0"),
            ({"encoding": "utf-8"}, "encoding must be None"),
            ({"errors": "strict"}, "errors must be None"),
        ]:
            with pytest.raises(ValueError, match=text):
                await aio.create_subprocess_exec("true", **keywords)
            with pytest.raises(ValueError, match=text):
                await aio.create_subprocess_shell("true", **keywords)
        with pytest.raises(ValueError, match="shell must be False"):
            await loop.subprocess_exec(Recorder, "true", shell=True)
        with pytest.raises(ValueError, match="shell must be True"):
            await loop.subprocess_shell(Recorder, "true", shell=False)
        with pytest.raises(ValueError, match="cmd must be a string"):
            await loop.subprocess_shell(Recorder, ["true"])
        with pytest.raises(TypeError):
            await aio.create_subprocess_exec("true", nonsense=1)

    run(main())


def test_arguments_of_popen(run, aio, tmp_path):
    async def output(*args, **keywords):
        child = await aio.create_subprocess_exec(*args, stdout=PIPE, **keywords)
        return (await child.communicate())[0]

    async def main():
        assert await output("pwd", cwd=tmp_path) == os.fsencode(tmp_path) + b"\n"
        assert await output("sh", "-c", "echo $WORD", env={"WORD": "given"}) == b"given\n"
        reader, writer = os.pipe()
        os.write(writer, b"passed")
        os.close(writer)
        assert await output("cat", f"/dev/fd/{reader}", pass_fds=[reader]) == b"passed"
        os.close(reader)
        assert await output("sh", "-c", "umask", umask=0o27) == b"0027\n"
        ids = script("import os; print(os.getpid() == os.getsid(0), os.getpid() == os.getpgid(0))")
        assert await output(*ids, start_new_session=True) == b"True True\n"
        assert await output(*ids, process_group=0) == b"False True\n"
        assert await output("sh", "-c", "echo x >&2", stderr=subprocess.STDOUT) == b"x\n"
        assert await output("cat", stdin=subprocess.DEVNULL) == b""
        assert await output("pwd", preexec_fn=lambda: os.chdir("/")) == b"/\n"
        with (tmp_path / "file").open("w+b") as file:
            child = await aio.create_subprocess_exec("echo", "to the file", stdout=file)
            await child.wait()
            file.seek(0)
            assert file.read() == b"to the file\n"

    run(main())


def test_terminal_may_be_the_childs_streams(run, aio):
    async def main():
        ours, theirs = pty.openpty()
        child = await aio.create_subprocess_exec("sh", "-c", "test -t 0 && test -t 1", stdin=theirs, stdout=theirs)
        os.close(theirs)
        assert await child.wait() == 0
        os.close(ours)

    run(main())


def test_child_may_have_its_own_terminal(run, aio):
    # What is written to the terminal is the child's input, and what the child prints comes back from it.
    class Screen(asyncio.Protocol):
        def __init__(self):
            self.shown = b""
            self.lost = aio.get_running_loop().create_future()

        def data_received(self, data):
            self.shown += data

        def connection_lost(self, exc):
            self.lost.set_result(exc)

    async def main():
        loop = aio.get_running_loop()
        ours, theirs = pty.openpty()
        child = await aio.create_subprocess_exec(
            *script("import os, sys; print(os.isatty(0), os.isatty(2), input('say: '), os.getsid(0) == os.getpid())"),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        screen = Screen()
        with os.fdopen(os.dup(ours), "rb", 0) as reading, os.fdopen(ours, "wb", 0) as writing:
            reader, _ = await loop.connect_read_pipe(lambda: screen, reading)
            writer, _ = await loop.connect_write_pipe(asyncio.BaseProtocol, writing)
            writer.write(b"hello\n")
            assert await child.wait() == 0
            # A terminal reports this way that nobody has it open any more.
            failure = await screen.lost
            assert failure is None or failure.errno == errno.EIO
            assert screen.shown.replace(b"\r\n", b"\n").endswith(b"True True hello True\n")
            reader.close()
            writer.abort()
            await aio.sleep(0)

    run(main())


def test_child_of_a_loop_in_another_thread(aio):
    outcome = []

    async def main():
        child = await aio.create_subprocess_exec("sh", "-c", "exit 5")
        outcome.append(await child.wait())

    thread = threading.Thread(target=lambda: aio.run(main()))
    thread.start()
    thread.join()
    assert outcome == [5]


def test_many_at_once(run, aio):
    async def one(number):
        child = await aio.create_subprocess_exec("sh", "-c", f"echo {number}; exit {number % 100}", stdout=PIPE)
        return await child.communicate(), child.returncode

    async def main():
        outcomes = await aio.gather(*(one(number) for number in range(60)))
        assert outcomes == [((b"%d\n" % number, None), number % 100) for number in range(60)]

    run(main())


def test_exception_of_a_protocol_is_reported_and_the_rest_goes_on(run, aio):
    reports = []

    class Clumsy(Recorder):
        def connection_made(self, transport):
            raise RuntimeError("made")

        def pipe_data_received(self, fd, data):
            raise RuntimeError("data")

        def process_exited(self):
            raise RuntimeError("exited")

    async def main():
        loop = aio.get_running_loop()
        loop.set_exception_handler(lambda loop, context: reports.append(str(context["exception"])))
        transport, protocol = await loop.subprocess_exec(Clumsy, "echo", "x", stdin=None, stderr=None)
        await protocol.lost
        assert transport.get_returncode() == 0
        transport.close()

    run(main())
    assert sorted(reports) == ["data", "exited", "made"]


def test_stream_protocol_can_be_subclassed(run):
    seen = []

    class Watching(ferrio.subprocess.SubprocessStreamProtocol):
        def pipe_data_received(self, fd, data):
            seen.append((fd, data))
            super().pipe_data_received(fd, data)

    async def main():
        loop = ferrio.get_running_loop()
        transport, protocol = await loop.subprocess_exec(
            lambda: Watching(2**16, loop), "echo", "watched", stdin=None, stderr=None
        )
        child = ferrio.subprocess.Process(transport, protocol, loop)
        assert "Watching stdout=<StreamReader" in repr(protocol)
        assert await child.communicate() == (b"watched\n", None)

    ferrio.run(main())
    assert seen == [(1, b"watched\n")]
