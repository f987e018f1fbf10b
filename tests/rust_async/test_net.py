"""Rust futures that use sockets which the loop watches (`ferrio_async::net`)."""

import asyncio
import gc
import socket

import pytest
from tests.rust_async.test_futures import parked


async def echo(reader, writer):
    while data := await reader.read(1000):
        writer.write(data)
    writer.close()


@pytest.fixture
def listener():
    """A socket that accepts connections, blocking, for a test that is its own server."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        yield listener


def port_of(listener):
    return listener.getsockname()[1]


async def accepted(listener):
    return (await asyncio.get_running_loop().sock_accept(listener))[0]


@pytest.mark.parametrize("size", [0, 1, 3_000_000])
def test_rust_client_of_a_python_server(run, probe, size):
    async def main():
        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            request = bytes(range(256)) * (size // 256) or b"x" * size
            assert await probe.reactor.ask("127.0.0.1", port, request) == request
            assert await probe.reactor.ask("localhost", port, b"by name") == b"by name"

    run(main())


def test_python_client_of_a_rust_server(run, probe):
    async def main():
        server = probe.reactor.Server()
        serving = asyncio.create_task(server.serve(2))
        for text in b"one", b"two" * 100_000:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port())
            writer.write(text)
            writer.write_eof()
            assert await reader.read() == text
            writer.close()
            await writer.wait_closed()
        await serving

    run(main())


def test_many_connections_at_once(run, probe):
    async def main():
        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            texts = [b"%d" % number * 1000 for number in range(60)]
            answers = await asyncio.gather(*(probe.reactor.ask("127.0.0.1", port, text) for text in texts))
            assert answers == texts

    run(main())


def test_unix_sockets(run, probe, tmp_path):
    async def main():
        path = str(tmp_path / "socket")
        serving = asyncio.create_task(probe.reactor.serve_unix(path))
        await asyncio.sleep(0)
        assert await probe.reactor.ask_unix(path, b"text" * 100_000) == b"text" * 100_000
        await serving
        assert await probe.reactor.flood(10_000_000) == 10_000_000
        with pytest.raises(FileNotFoundError):
            await probe.reactor.ask_unix(str(tmp_path / "nothing"), b"")

    run(main())


def test_datagrams(run, probe):
    async def main():
        assert await probe.reactor.datagrams(10) == [b"%d" % number for number in range(10)]

    run(main())


def test_errors_of_the_system(run, probe, listener):
    async def main():
        port = port_of(listener)
        listener.close()
        with pytest.raises(ConnectionRefusedError):
            await probe.reactor.ask("127.0.0.1", port, b"")
        with pytest.raises(OSError, match="gaierror"):
            await probe.reactor.ask("no.such.host.invalid", 1, b"")

    run(main())


def test_two_wait_on_one_side(run, probe, listener):
    async def main():
        task = asyncio.create_task(probe.reactor.two_readers(port_of(listener)))
        with await accepted(listener) as peer:
            await parked(task)
            peer.send(b"some text")
            await parked(task)
        assert sorted(await task) == [b"", b"some text"]

    run(main())


def test_cancelled_read_closes_the_connection(run, probe, listener):
    async def main():
        loop = asyncio.get_running_loop()
        task = asyncio.create_task(probe.reactor.read_goes_on_elsewhere(port_of(listener)))
        with await accepted(listener) as peer:
            peer.setblocking(False)
            await parked(task)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await loop.sock_recv(peer, 10) == b""

    run(main())


def test_connection_goes_on_in_another_thread(run, probe, listener):
    async def main():
        task = asyncio.create_task(probe.reactor.read_goes_on_elsewhere(port_of(listener)))
        with await accepted(listener) as peer:
            await parked(task)
            for _ in range(20):
                peer.send(b"x")
                await parked(task)
        assert await task == b"x" * 20

    run(main())


def test_connection_dropped_in_another_thread_is_closed(run, probe, listener):
    async def main():
        loop = asyncio.get_running_loop()
        task = asyncio.create_task(probe.reactor.connection_dropped_elsewhere(port_of(listener)))
        with await accepted(listener) as peer:
            peer.setblocking(False)
            await parked(task)
            peer.send(b"x")
            await task
            assert await loop.sock_recv(peer, 10) == b""

    run(main())


def test_socket_in_a_runtime_says_what_is_wrong(run, probe, listener):
    async def main():
        with pytest.raises(OSError, match="no event loop runs in this thread"):
            await probe.reactor.connect_in_tokio(port_of(listener))

    run(main())


def test_connection_of_a_closed_loop_is_closed(run, probe, listener):
    loop = run.loop_factory()
    loop.set_exception_handler(lambda loop, context: None)

    async def main():
        task = asyncio.create_task(probe.reactor.read_goes_on_elsewhere(port_of(listener)))
        peer = await accepted(listener)
        await parked(task)
        return task, peer

    task, peer = loop.run_until_complete(main())
    task._log_destroy_pending = False
    loop.close()
    del task
    gc.collect()
    with peer:
        peer.settimeout(20)
        assert peer.recv(10) == b""


def test_loop_closed_while_another_thread_reads(run, probe, listener):
    # The thread gets an error, or is ended with its runtime; nothing aborts and nothing is left.
    loop = run.loop_factory()
    loop.set_exception_handler(lambda loop, context: None)

    async def main():
        task = asyncio.create_task(probe.reactor.read_goes_on_elsewhere(port_of(listener)))
        peer = await accepted(listener)
        peer.send(b"x")
        await parked(task)
        return task, peer

    task, peer = loop.run_until_complete(main())
    task._log_destroy_pending = False
    loop.close()
    del task
    gc.collect()
    peer.close()
