"""docs/guide/uvloop.md is true of uvloop: each row of its tables, on uvloop and on ferrio.

uvloop's version is the one that the page names. Its programs run with those of the other pages (tests/docs).
"""

import asyncio
import gc
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import warnings

import pytest
from tests.docs.blocks import ROOT

import ferrio

PAGE = (ROOT / "docs" / "guide" / "uvloop.md").read_text()
uvloop = pytest.importorskip("uvloop", reason="uvloop has no wheel for this Python")


def on(factory, job):
    """Runs a coroutine function on a loop; returns its result."""
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(job())


def outcome(factory, job):
    """Returns the type of what a coroutine function raises on a loop, or its result."""
    try:
        return on(factory, job)
    except (TypeError, ValueError, RuntimeError, AttributeError) as error:
        return type(error)


def both(job):
    """Returns the outcomes of a coroutine function on uvloop and on ferrio."""
    return outcome(uvloop.new_event_loop, job), outcome(ferrio.new_event_loop, job)


def test_page_names_the_tested_version():
    assert set(re.findall(r"uvloop (\d+\.\d+)", PAGE)) == {uvloop.__version__.rpartition(".")[0]}


def test_lines_to_change():
    async def main():
        loop = asyncio.get_running_loop()
        return isinstance(loop, uvloop.Loop), isinstance(loop, ferrio.EventLoop), loop.get_debug()

    assert uvloop.run(main(), debug=True) == (True, False, True)
    assert ferrio.run(main(), debug=True) == (False, True, True)
    assert ferrio.run(main(), loop_factory=uvloop.new_event_loop) == (True, False, False)
    assert both(main) == ((True, False, False), (False, True, False))


def test_policies():
    async def main():
        return type(asyncio.get_running_loop())

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        for policy, loop in (uvloop.EventLoopPolicy(), uvloop.Loop), (ferrio.EventLoopPolicy(), ferrio.EventLoop):
            asyncio.set_event_loop_policy(policy)
            try:
                assert asyncio.run(main()) is loop
            finally:
                asyncio.set_event_loop_policy(None)


@pytest.mark.parametrize(("module", "warns"), [("uvloop", sys.version_info >= (3, 12)), ("ferrio", False)])
def test_install(module, warns):
    program = f"import asyncio, {module}; {module}.install(); l = asyncio.new_event_loop(); print(type(l)); l.close()"
    done = subprocess.run([sys.executable, "-Wd", "-c", program], capture_output=True, text=True, check=True)
    assert module in done.stdout
    assert ("DeprecationWarning" in done.stderr) is warns


def test_clock():
    async def thousandths():
        loop, times = asyncio.get_running_loop(), []
        for _ in range(20):
            time.sleep(0.0005)
            times.append(loop.time() * 1000)
        return all(abs(each - round(each)) < 0.0001 for each in times)

    assert both(thousandths) == (True, False)


def test_short_sleep():
    async def early():
        shortest = 1.0
        for _ in range(20):
            began = time.monotonic()
            await asyncio.sleep(0.0002)
            shortest = min(shortest, time.monotonic() - began)
        return shortest < 0.0002

    assert both(early) == (True, False)


def test_files_and_datagrams():
    async def sendfile():
        ours, theirs = socket.socketpair()
        with ours, theirs, tempfile.TemporaryFile() as file:
            ours.setblocking(False)
            file.write(b"whole")
            file.seek(0)
            return await asyncio.get_running_loop().sock_sendfile(ours, file)

    async def transport_sendfile():
        async def send(reader, writer):
            with tempfile.TemporaryFile() as file:
                file.write(b"whole")
                file.seek(0)
                try:
                    done.set_result(await asyncio.get_running_loop().sendfile(writer.transport, file))
                except RuntimeError as error:
                    done.set_exception(error)
            writer.close()

        done = asyncio.get_running_loop().create_future()
        async with await asyncio.start_server(send, "127.0.0.1", 0) as server:
            _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            try:
                return await done
            finally:
                writer.close()

    async def sendto():
        with socket.socket(type=socket.SOCK_DGRAM) as ours:
            ours.bind(("127.0.0.1", 0))
            ours.setblocking(False)
            return await asyncio.get_running_loop().sock_sendto(ours, b"whole", ours.getsockname())

    async def recvfrom():
        with socket.socket(type=socket.SOCK_DGRAM) as ours:
            ours.bind(("127.0.0.1", 0))
            ours.setblocking(False)
            ours.sendto(b"whole", ours.getsockname())
            return len((await asyncio.get_running_loop().sock_recvfrom(ours, 100))[0])

    for job in sendfile, transport_sendfile, sendto, recvfrom:
        assert both(job) == (NotImplementedError, 5), job.__name__


def test_arguments_of_connections_and_servers():
    async def happy_eyeballs():
        async with await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0) as server:
            address = server.sockets[0].getsockname()
            _, writer = await asyncio.open_connection(*address, happy_eyeballs_delay=0.1)
            writer.close()
            return "connected"

    async def keep_alive():
        loop = asyncio.get_running_loop()
        async with await loop.create_server(asyncio.Protocol, "127.0.0.1", 0, keep_alive=True):
            return "listening"

    async def close_clients():
        async with await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0) as server:
            server.close_clients()
            return "closed"

    assert both(happy_eyeballs) == (TypeError, "connected")
    assert both(keep_alive) == (TypeError, "listening")
    assert both(close_clients) == (AttributeError, "closed")


@pytest.mark.parametrize(
    "argument",
    [{"user": os.getuid()}, {"group": os.getgid()}, {"umask": 0o22}, {"process_group": 0}, {"pipesize": 8192}],
)
def test_arguments_of_subprocesses(argument):
    async def child():
        process = await asyncio.create_subprocess_exec("true", **argument)
        return await process.wait()

    if os.getuid() and argument.keys() & {"user", "group"}:
        pytest.skip("only root may choose the user of a child")
    assert both(child) == (ValueError, 0)


def test_subprocesses():
    async def kind():
        class Protocol(asyncio.SubprocessProtocol):
            def process_exited(self):
                exited.set_result(None)

        loop = asyncio.get_running_loop()
        exited = loop.create_future()
        transport, _ = await loop.subprocess_exec(Protocol, "true", stdin=None, stdout=None, stderr=None)
        await exited
        try:
            return type(transport.get_extra_info("subprocess"))
        finally:
            transport.close()

    async def names_the_program():
        try:
            await asyncio.create_subprocess_exec("no-such-program")
        except FileNotFoundError as error:
            return "no-such-program" in str(error)

    assert both(kind) == (type(None), subprocess.Popen)
    assert both(names_the_program) == (False, True)


def test_handler_of_the_childrens_signal():
    async def handler():
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGCHLD, print)
        return loop.remove_signal_handler(signal.SIGCHLD)

    assert both(handler) == (RuntimeError, True)


def test_transports():
    async def facts():
        async with await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0) as server:
            _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            writer.write(b"x")
            waiting = writer.transport.get_write_buffer_size()
            writer.close()
            return isinstance(writer.transport, asyncio.Transport), waiting

    assert both(facts) == ((False, 0), (True, 1))


def test_task_that_nobody_refers_to():
    async def kept():
        async def forgotten():
            await asyncio.get_running_loop().create_future()

        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda loop, context: None)  # asyncio reports a task that vanished
        loop.create_task(forgotten())
        await asyncio.sleep(0)
        gc.collect()
        return len(asyncio.all_tasks()) == 2

    assert both(kept) == (False, True)


def test_interrupt_cancels_the_main_task():
    async def main():
        asyncio.get_running_loop().call_soon(os.kill, os.getpid(), signal.SIGINT)
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    for run in uvloop.run, ferrio.run:
        cancelled = []
        with pytest.raises(KeyboardInterrupt):
            run(main())
        assert cancelled
