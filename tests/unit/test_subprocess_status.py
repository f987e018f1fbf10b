"""Who gets a child's end: SIGCHLD and `os.waitpid` belong to the program, yet the loop still gets the status."""

import asyncio
import os
import signal
import subprocess
import sys

import pytest
from tests.unit.implementations import in_a_fork, since

import ferrio

PIPE = subprocess.PIPE

FERRIO_ONLY = pytest.mark.parametrize("aio", [ferrio], ids=["ferrio"])


@pytest.fixture
def sigchld():
    """Restores the program's handling of SIGCHLD."""
    old = signal.getsignal(signal.SIGCHLD)
    yield
    signal.signal(signal.SIGCHLD, old)


@since(3, 12)
def test_programs_own_handler_is_called(aio, sigchld):
    calls = []
    signal.signal(signal.SIGCHLD, lambda number, frame: calls.append(number))

    async def main():
        child = await aio.create_subprocess_exec("sh", "-c", "exit 3")
        assert await child.wait() == 3
        # It may arrive right after the end.
        while not calls:
            await aio.sleep(0)

    aio.run(main())
    assert set(calls) == {signal.SIGCHLD}
    assert signal.getsignal(signal.SIGCHLD) not in (signal.SIG_DFL, signal.SIG_IGN)


@since(3, 12)
def test_handler_of_the_loop_is_called(aio, sigchld):
    async def main():
        came = aio.Event()
        loop = aio.get_running_loop()
        loop.add_signal_handler(signal.SIGCHLD, came.set)
        child = await aio.create_subprocess_exec("sh", "-c", "exit 4")
        assert await child.wait() == 4
        await came.wait()
        assert loop.remove_signal_handler(signal.SIGCHLD)

    aio.run(main())


@since(3, 12)
def test_sigchld_handler_is_left_alone(aio, sigchld):
    async def main():
        before = signal.getsignal(signal.SIGCHLD)
        child = await aio.create_subprocess_exec("true")
        assert signal.getsignal(signal.SIGCHLD) == before
        await child.wait()

    aio.run(main())


# asyncio may then find no process to wait for, and leaves the transport to the collector (3.13.0).
@FERRIO_ONLY
def test_program_may_ignore_the_signal(aio, sigchld, caplog):
    # The kernel then discards each status, but Linux 6.15 and later still tell it.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)

    async def main():
        for status in (0, 6):
            child = await aio.create_subprocess_exec("sh", "-c", f"echo out; exit {status}", stdout=PIPE)
            output, _ = await child.communicate()
            assert output == b"out\n"
            assert child.returncode == status or (child.returncode == 255 and "exit status already read" in caplog.text)

    aio.run(main())


@FERRIO_ONLY
def test_failing_start_is_reported_although_the_signal_is_ignored(aio, sigchld):
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)

    async def main():
        with pytest.raises(FileNotFoundError):
            await aio.create_subprocess_exec("/nowhere/at/all")

    aio.run(main())


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@FERRIO_ONLY
def test_program_may_wait_for_every_child(aio, caplog):
    # The program is quicker than the loop. Only a kernel that reports twice (Linux 6.15) reveals the status it took.
    async def main():
        reader, writer = os.pipe()
        children = [
            await aio.create_subprocess_exec("sh", "-c", f"read line; exit {number}", stdin=reader)
            for number in range(1, 6)
        ]
        os.write(writer, b"\n" * 5)
        taken = {}
        while len(taken) < len(children):
            pid, status = os.waitpid(-1, 0)
            taken[pid] = os.waitstatus_to_exitcode(status)
        assert taken == {child.pid: number for number, child in enumerate(children, 1)}
        codes = [await child.wait() for child in children]
        assert codes in ([1, 2, 3, 4, 5], [255] * 5)
        if codes[0] == 255:
            assert caplog.text.count("exit status already read") == 5

    in_a_fork(lambda: aio.run(main()))


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@FERRIO_ONLY
def test_program_that_waits_for_every_child_breaks_no_start(aio, sigchld):
    # It may even reap the child that could not run its program.
    def reap(number, frame):
        while True:
            try:
                if os.waitpid(-1, os.WNOHANG)[0] == 0:
                    return
            except ChildProcessError:
                return

    async def main():
        signal.signal(signal.SIGCHLD, reap)
        for _ in range(10):
            with pytest.raises(FileNotFoundError):
                await aio.create_subprocess_exec("/nowhere/at/all", stdin=PIPE, stdout=PIPE)
            child = await aio.create_subprocess_exec("cat", stdin=PIPE, stdout=PIPE)
            assert await child.communicate(b"x") == (b"x", None)
            assert child.returncode in (0, 255)

    in_a_fork(lambda: aio.run(main()))


@pytest.mark.parametrize("aio", [asyncio, ferrio], ids=["asyncio", "ferrio"])
def test_program_may_use_popen_beside_it(aio):
    async def main():
        own = subprocess.Popen([sys.executable, "-I", "-S", "-c", "input(); raise SystemExit(7)"], stdin=PIPE)
        child = await aio.create_subprocess_exec("sh", "-c", "exit 8")
        assert await child.wait() == 8
        assert own.poll() is None
        own.communicate(b"\n")
        assert own.returncode == 7

    aio.run(main())
