"""Children that go wrong, and programs that mistreat them; on asyncio too where it copes."""

import asyncio
import errno
import gc
import os
import resource
import signal
import subprocess
import warnings

import pytest
from tests.unit.implementations import is_gone

import ferrio

PIPE = subprocess.PIPE

FERRIO_ONLY = pytest.mark.parametrize("aio", [ferrio], ids=["ferrio"])


@pytest.fixture
def run(aio):
    """Returns a function that runs a coroutine the usual way."""
    return aio.run


def test_program_that_is_missing_or_not_executable(run, aio, tmp_path):
    async def main():
        before = len(os.listdir("/proc/self/fd"))
        with pytest.raises(FileNotFoundError) as caught:
            await aio.create_subprocess_exec(str(tmp_path / "missing"), stdin=PIPE, stdout=PIPE)
        assert caught.value.filename == str(tmp_path / "missing")
        plain = tmp_path / "plain"
        plain.write_bytes(b"no program")
        with pytest.raises(PermissionError):
            await aio.create_subprocess_exec(str(plain))
        plain.chmod(0o755)
        with pytest.raises(OSError) as caught:
            await aio.create_subprocess_exec(str(plain))
        assert caught.value.errno == errno.ENOEXEC
        with pytest.raises(FileNotFoundError):
            await aio.create_subprocess_exec("true", cwd=str(tmp_path / "nowhere"))
        assert len(os.listdir("/proc/self/fd")) <= before

    run(main())


def test_child_that_closes_its_output_early(run, aio):
    async def main():
        child = await aio.create_subprocess_exec("sh", "-c", "exec >&-; read line; exit 4", stdin=PIPE, stdout=PIPE)
        assert await child.stdout.read() == b""
        assert child.returncode is None
        child.stdin.write(b"line\n")
        assert await child.wait() == 4
        child.stdin.close()

    run(main())


def test_child_that_closes_its_input_early(run, aio):
    async def main():
        child = await aio.create_subprocess_exec(
            "sh", "-c", "exec <&-; echo closed; exec sleep 1000", stdin=PIPE, stdout=PIPE
        )
        assert await child.stdout.readline() == b"closed\n"
        # It isn't an error that the child doesn't want its input.
        task = aio.create_task(child._feed_stdin(b"x" * 1_000_000))
        await task
        child.kill()
        await child.communicate()
        assert child.returncode == -signal.SIGKILL

    run(main())


def test_child_that_never_reads_its_input(run, aio):
    async def main():
        child = await aio.create_subprocess_exec("sleep", "1000", stdin=PIPE)
        child.stdin.write(b"x" * 1_000_000)
        drain = aio.create_task(coroutine(child.stdin.drain()))
        await aio.sleep(0)
        assert not drain.done()
        child.kill()
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            await drain
        assert await child.wait() == -signal.SIGKILL

    async def coroutine(awaitable):
        return await awaitable

    run(main())


def test_child_that_is_killed_while_it_is_fed(run, aio):
    async def main():
        child = await aio.create_subprocess_exec("cat", stdin=PIPE, stdout=PIPE)
        task = aio.create_task(child.communicate(b"x" * 10_000_000))
        await aio.sleep(0)
        child.kill()
        output, errors = await task
        assert errors is None
        assert len(output) < 10_000_000
        assert child.returncode == -signal.SIGKILL

    run(main())


def test_child_that_writes_a_lot(run, aio):
    async def main():
        child = await aio.create_subprocess_exec("head", "-c", "100000000", "/dev/zero", stdout=PIPE)
        output, _ = await child.communicate()
        assert len(output) == 100_000_000
        assert output.count(0) == len(output)
        assert child.returncode == 0

    run(main())


def test_child_that_writes_a_lot_and_is_read_slowly(run, aio):
    async def main():
        child = await aio.create_subprocess_exec("head", "-c", "3000000", "/dev/zero", stdout=PIPE, limit=1000)
        size = 0
        while piece := await child.stdout.read(10_000):
            size += len(piece)
            # The pipe is paused while too much is unread.
            assert len(child.stdout._buffer) < 1_000_000
            await aio.sleep(0)
        assert size == 3_000_000
        assert await child.wait() == 0

    run(main())


def test_grandchild_that_keeps_the_pipe_open(run, aio):
    async def main():
        child = await aio.create_subprocess_exec("sh", "-c", "(read line <&3) 3<&0 & exit 6", stdin=PIPE, stdout=PIPE)
        # The child's end is known although its output is still open.
        assert await child.wait() == 6
        child.stdin.close()
        assert await child.stdout.read() == b""

    run(main())


@FERRIO_ONLY
def test_program_may_wait_for_the_child_itself(run, caplog):
    async def main():
        reader, writer = os.pipe()
        child = await ferrio.create_subprocess_exec("sh", "-c", "read line; exit 9", stdin=reader)
        os.write(writer, b"now\n")
        _, status = os.waitpid(child.pid, 0)
        os.close(reader)
        os.close(writer)
        assert os.waitstatus_to_exitcode(status) == 9
        code = await child.wait()
        # From Linux 6.15 on the kernel reports the status.
        assert code == 9 or (code == 255 and "exit status already read" in caplog.text)

    run(main())


@FERRIO_ONLY
def test_program_may_poll_the_childs_popen(run, caplog):
    async def main():
        loop = ferrio.get_running_loop()
        reader, writer = os.pipe()
        transport, _ = await loop.subprocess_exec(
            asyncio.SubprocessProtocol, "sh", "-c", "read line; exit 8", stdin=reader
        )
        os.write(writer, b"now\n")
        transport.get_extra_info("subprocess").wait()
        os.close(reader)
        os.close(writer)
        assert await transport._wait() == 8
        transport.close()
        assert caplog.text == ""

    run(main())


def test_no_descriptors_left(run, aio):
    async def main():
        loop = aio.get_running_loop()
        await loop.run_in_executor(None, int)
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        used = max(int(name) for name in os.listdir("/proc/self/fd"))
        # Enough for the pipes of some children, not of all.
        for spare in range(1, 14):
            resource.setrlimit(resource.RLIMIT_NOFILE, (used + spare, limits[1]))
            try:
                child = await aio.create_subprocess_exec("cat", stdin=PIPE, stdout=PIPE)
            except OSError as failure:
                assert failure.errno == errno.EMFILE
                continue
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, limits)
            assert await child.communicate(b"x") == (b"x", None)
        assert subprocess._active == []

    run(main())


def test_cancelled_while_it_starts(run, aio):
    started = []

    class Started(asyncio.SubprocessProtocol):
        def connection_made(self, transport):
            started.append(transport.get_pid())

    async def main():
        loop = aio.get_running_loop()
        task = aio.create_task(loop.subprocess_exec(Started, "sleep", "1000"))
        loop.call_soon(task.cancel)
        with pytest.raises(asyncio.CancelledError):
            await task

    run(main())
    assert all(is_gone(pid) for pid in started)


# On 3.13.0 asyncio's pipes raise RuntimeError in between, and the child lives on (CPython gh-114177).
@FERRIO_ONLY
def test_loop_closed_with_a_child_alive(aio):
    loop = aio.new_event_loop()

    async def main():
        transport, _ = await loop.subprocess_exec(asyncio.SubprocessProtocol, "sleep", "1000")
        return transport

    transport = loop.run_until_complete(main())
    pid = transport.get_pid()
    popen = transport.get_extra_info("subprocess")
    loop.close()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        del transport
        gc.collect()
    assert any("unclosed transport" in str(warning.message) for warning in caught)
    # It was killed and left to its Popen.
    assert popen.wait() == -signal.SIGKILL
    assert is_gone(pid)


# For the same reason.
@FERRIO_ONLY
def test_closing_a_transport_after_its_loop(aio):
    loop = aio.new_event_loop()

    async def main():
        transport, _ = await loop.subprocess_exec(asyncio.SubprocessProtocol, "sleep", "1000", stdout=None)
        return transport

    transport = loop.run_until_complete(main())
    popen = transport.get_extra_info("subprocess")
    loop.close()
    transport.close()
    assert popen.wait() == -signal.SIGKILL
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        del transport
        gc.collect()


@FERRIO_ONLY
def test_kernel_without_process_descriptors(run, monkeypatch):
    # Then a thread waits, and reports the end to the loop through `_ended`.
    async def main():
        loop = ferrio.get_running_loop()
        child = await ferrio.create_subprocess_exec("sleep", "1000")
        ferrio._process.wait_in_thread(loop, child._transport)
        child.kill()
        assert await child.wait() == -signal.SIGKILL

    run(main())


def test_fork_of_the_whole_program_leaves_the_child_alone(run, aio):
    async def main():
        child = await aio.create_subprocess_exec("cat", stdin=PIPE, stdout=PIPE)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            pid = os.fork()
        if pid == 0:
            # In another process the child isn't its own, and stays alive.
            os._exit(0)
        os.waitpid(pid, 0)
        assert await child.communicate(b"still there") == (b"still there", None)
        assert child.returncode == 0

    run(main())
