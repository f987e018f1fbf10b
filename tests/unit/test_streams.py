"""`open_connection`, `start_server` and the Unix pair over real sockets: one body on asyncio and on ferrio."""

import asyncio
import itertools
import socket

import pytest

import ferrio


@pytest.fixture(params=["tcp", "unix"])
def connections(request, aio, tmp_path):
    """Returns a function that starts a server, and one that connects to it."""
    if request.param == "tcp":

        async def start(callback, **keywords):
            return await aio.start_server(callback, "127.0.0.1", 0, **keywords)

        async def connect(server, **keywords):
            return await aio.open_connection(*server.sockets[0].getsockname(), **keywords)
    else:

        async def start(callback, **keywords):
            return await aio.start_unix_server(callback, str(tmp_path / "socket"), **keywords)

        async def connect(server, **keywords):
            return await aio.open_unix_connection(str(tmp_path / "socket"), **keywords)

    return start, connect


async def echo(reader, writer):
    while data := await reader.read(1000):
        writer.write(data)
        await writer.drain()
    writer.close()
    await writer.wait_closed()


async def finish(aio, server, *writers):
    """Closes connections and their server, and waits until nothing of them is left."""
    for writer in writers:
        writer.close()
        await writer.wait_closed()
    server.close()
    await server.wait_closed()
    # Up to Python 3.11 asyncio's server doesn't wait for its connections.
    others = aio.all_tasks() - {aio.current_task()}
    if others:
        await aio.wait(others)
    for _ in range(5):
        await aio.sleep(0)


def test_echo(aio, run, connections):
    start, connect = connections

    async def main():
        server = await start(echo)
        reader, writer = await connect(server)
        lines = []
        for number in range(20):
            writer.write(b"line %d\n" % number)
            await writer.drain()
            lines.append(await reader.readline())
        writer.write(b"0123456789" * 30_000)
        body = await reader.readexactly(300_000)
        writer.write_eof()
        rest = await reader.read()
        await finish(aio, server, writer)
        return lines, body, rest

    lines, body, rest = run(main())
    assert lines == [b"line %d\n" % number for number in range(20)]
    assert body == b"0123456789" * 30_000
    assert rest == b""


def test_limit_applies_to_both_sides(aio, run, connections):
    start, connect = connections
    limits = []

    async def callback(reader, writer):
        limits.append(reader._limit)
        writer.close()

    async def main():
        server = await start(callback, limit=100)
        reader, writer = await connect(server, limit=200)
        limits.append(reader._limit)
        assert await reader.read() == b""
        await finish(aio, server, writer)

    run(main())
    assert sorted(limits) == [100, 200]


def test_slow_reader_holds_up_the_writer(aio, run, connections):
    """Nobody reads, so the writer's drain waits and the reader's buffer stays bounded. Then everything arrives."""
    start, connect = connections
    size = 20_000_000
    accepted = []

    async def main():
        connected = aio.Event()

        def callback(reader, writer):
            accepted.append((reader, writer))
            connected.set()

        server = await start(callback)
        reader, writer = await connect(server)
        await connected.wait()
        there, back = accepted[0]
        writer.write(b"x" * size)
        drain = aio.create_task(writer.drain())
        while not there._paused:
            await aio.sleep(0)
        assert not drain.done()
        assert len(there._buffer) < size // 4
        assert len(await there.readexactly(size)) == size
        await drain
        back.close()
        await finish(aio, server, writer)
        assert await reader.read() == b""

    run(main())


def test_many_messages_of_all_sizes(aio, run, connections):
    start, connect = connections
    sizes = [1, 2, 3, 100, 1000, 65_536, 65_537, 200_000]

    async def main():
        server = await start(echo)
        reader, writer = await connect(server)

        async def send():
            for size in sizes * 3:
                writer.write(size.to_bytes(4) + b"x" * size)
                await writer.drain()

        sending = aio.create_task(send())
        received = []
        for _ in range(3 * len(sizes)):
            size = int.from_bytes(await reader.readexactly(4))
            assert await reader.readexactly(size) == b"x" * size
            received.append(size)
        await sending
        await finish(aio, server, writer)
        return received

    assert run(main()) == sizes * 3


def test_reset_by_the_peer_is_raised_by_reads(aio, run):
    async def main():
        async def callback(reader, writer):
            await reader.readexactly(1)
            writer.transport.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0"
            )
            writer.transport.abort()

        server = await aio.start_server(callback, "127.0.0.1", 0)
        reader, writer = await aio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"x")
        with pytest.raises(ConnectionResetError):
            await reader.read()
        assert isinstance(reader.exception(), ConnectionResetError)
        writer.close()
        with pytest.raises(ConnectionResetError):
            await writer.wait_closed()
        await finish(aio, server)

    run(main())


def test_repeated_writes_learn_that_the_peer_has_gone(aio, run):
    async def main():
        async def callback(reader, writer):
            writer.transport.abort()

        server = await aio.start_server(callback, "127.0.0.1", 0)
        _reader, writer = await aio.open_connection(*server.sockets[0].getsockname())
        with pytest.raises(ConnectionError):
            while True:
                writer.write(b"x" * 1000)
                await writer.drain()
        await finish(aio, server)

    run(main())


def test_nobody_listens(aio, run):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(ConnectionRefusedError):
            run(aio.open_connection(*unused.getsockname()))


def test_several_callbacks_wait_at_once(aio, run, connections):
    start, connect = connections

    async def main():
        server = await start(echo)
        pairs = [await connect(server) for _ in range(20)]
        answers = [aio.create_task(reader.readline()) for reader, _ in pairs]
        for number, (_, writer) in enumerate(pairs):
            writer.write(b"%d\n" % number)
        assert await aio.gather(*answers) == [b"%d\n" % number for number in range(20)]
        await finish(aio, server, *(writer for _, writer in pairs))

    run(main())


def test_much_data_on_many_connections_at_once(aio, run, connections):
    """More than a loop passes to its streams in one turn: the rest comes in the next turns, and then the end."""
    start, connect = connections
    body = b"0123456789" * 20_000

    async def main():
        server = await start(echo)
        pairs = [await connect(server) for _ in range(20)]
        for _, writer in pairs:
            writer.write(body)
            writer.write_eof()
        answers = await aio.gather(*(reader.read() for reader, _ in pairs))
        await finish(aio, server, *(writer for _, writer in pairs))
        return answers

    assert run(main()) == [body] * 20


@pytest.mark.parametrize(("aio", "at_once"), [(asyncio, 5), (ferrio, 3)], ids=["asyncio", "ferrio"])
def test_streams_take_turns_after_256_kib(aio, at_once):
    """Five connections have 100 KiB each: how many are received from in one turn of the loop?"""
    body = bytes(100 * 1024)

    async def main():
        ends, streams = [], []
        for _ in range(5):
            ours, theirs = socket.socketpair()
            # What the kernel grants holds the whole body.
            theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * len(body))
            ends.append(theirs)
            streams.append(await aio.open_connection(sock=ours, limit=2**20))
        await aio.sleep(0)
        for theirs in ends:
            theirs.sendall(body)
        filled = [0]
        while filled[-1] < 5:
            await aio.sleep(0)
            filled.append(sum(bool(reader._buffer) for reader, _ in streams))
        assert [await reader.readexactly(len(body)) for reader, _ in streams] == [body] * 5
        for theirs, (_, writer) in zip(ends, streams, strict=True):
            theirs.close()
            writer.close()
            await writer.wait_closed()
        return max(after - before for before, after in itertools.pairwise(filled))

    assert aio.run(main()) == at_once


def test_our_streams_on_a_standard_loop():
    """ferrio's functions make ferrio's streams, whichever loop runs."""

    async def main():
        server = await ferrio.start_server(echo, "127.0.0.1", 0)
        reader, writer = await ferrio.open_connection(*server.sockets[0].getsockname())
        assert type(reader) is ferrio.StreamReader
        writer.write(b"line\n")
        await writer.drain()
        line = await reader.readline()
        await finish(asyncio, server, writer)
        return line

    assert asyncio.run(main()) == b"line\n"
