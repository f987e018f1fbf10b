"""One descriptor, or several of one file, watched more than once: by readers, writers, transports of pipes."""

import asyncio
import contextlib
import itertools
import os
import pty
import socket
import tty

import pytest
from tests.unit.implementations import since

import ferrio


@pytest.fixture
def terminal():
    """A terminal in raw mode: one end as a file object, the other end as a descriptor."""
    master, slave = pty.openpty()
    tty.setraw(slave)
    file = os.fdopen(master, "r+b", buffering=0)
    yield file, slave
    with contextlib.suppress(OSError):  # its transport has closed it
        file.close()
    os.close(slave)


class Reading(asyncio.Protocol):
    """Records what arrives."""

    def __init__(self):
        self.received = asyncio.Queue()
        self.lost = asyncio.get_running_loop().create_future()

    def data_received(self, data):
        self.received.put_nowait(data)

    def connection_lost(self, exc):
        self.lost.set_result(exc)


class Parties:
    """Things that may watch a descriptor, each with its start, a proof that it is served, and its end."""

    def __init__(self, loop, file, other_end):
        self.loop, self.file, self.other_end = loop, file, other_end
        self.received, self.transports, self.protocols = asyncio.Queue(), {}, {}

    def file_of_its_own(self, mode):
        """Returns a file object that leaves the descriptor open."""
        return open(self.file.fileno(), mode, buffering=0, closefd=False)

    async def begin(self, name):
        if name == "reader":
            self.loop.add_reader(self.file, lambda: self.received.put_nowait(os.read(self.file.fileno(), 100)))
        elif name == "writer":
            self.room = self.loop.create_future()
            self.loop.add_writer(self.file, lambda: self.room.done() or self.room.set_result(None))
        else:
            connect, mode = {
                "read pipe": (self.loop.connect_read_pipe, "rb"),
                "write pipe": (self.loop.connect_write_pipe, "wb"),
            }[name]
            self.transports[name], self.protocols[name] = await connect(Reading, self.file_of_its_own(mode))

    async def prove(self, name):
        if name == "reader":
            os.write(self.other_end, b"to the reader")
            assert await self.received.get() == b"to the reader"
        elif name == "read pipe":
            os.write(self.other_end, b"to the pipe")
            assert await self.protocols[name].received.get() == b"to the pipe"
        elif name == "writer":
            await self.room
        else:
            self.transports[name].write(b"from the pipe")
            assert os.read(self.other_end, 100) == b"from the pipe"

    async def end(self, name):
        if name == "reader":
            assert self.loop.remove_reader(self.file)
        elif name == "writer":
            assert self.loop.remove_writer(self.file)
        else:
            self.transports[name].close()
            await self.protocols[name].lost


def orders(*pairs):
    """Returns each pair of parties in each order of starting and ending."""
    return [
        pytest.param(first, last, id=f"{' then '.join(first)}, ends {' then '.join(last)}")
        for pair in pairs
        for first, last in itertools.product(itertools.permutations(pair), itertools.permutations(pair))
    ]


@pytest.mark.parametrize(
    ("beginnings", "ends"),
    orders(("reader", "write pipe"), ("read pipe", "write pipe"), ("read pipe", "writer"), ("reader", "writer")),
)
def test_both_are_served_and_one_goes_on_without_the_other(aio, terminal, beginnings, ends):
    if aio is asyncio and ends[0] == "write pipe":
        pytest.skip("at its end asyncio's write pipe removes the other party's reader")

    async def main():
        parties = Parties(aio.get_running_loop(), *terminal)
        for name in beginnings:
            await parties.begin(name)
        for name in beginnings:
            await parties.prove(name)
        await parties.end(ends[0])
        await parties.prove(ends[1])
        await parties.end(ends[1])

    aio.run(main())


@pytest.mark.parametrize(("first", "last"), [("reader", "read pipe"), ("read pipe", "reader")])
def test_last_registration_gets_the_direction(aio, terminal, first, last):
    async def main():
        parties = Parties(aio.get_running_loop(), *terminal)
        await parties.begin(first)
        await parties.begin(last)
        await parties.prove(last)
        await parties.end(last)
        if last == "reader":
            await parties.end(first)

    aio.run(main())


def test_resumed_pipe_gets_the_direction_back(aio, terminal):
    async def main():
        parties = Parties(aio.get_running_loop(), *terminal)
        await parties.begin("read pipe")
        parties.transports["read pipe"].pause_reading()
        await parties.begin("reader")
        await parties.prove("reader")
        parties.transports["read pipe"].resume_reading()
        await parties.prove("read pipe")
        await parties.end("read pipe")

    aio.run(main())


def test_two_descriptors_of_one_terminal(aio, terminal):
    file, slave = terminal

    async def main():
        loop = aio.get_running_loop()
        reads, reading = await loop.connect_read_pipe(Reading, os.fdopen(os.dup(file.fileno()), "rb", buffering=0))
        writes, writing = await loop.connect_write_pipe(Reading, file)
        os.write(slave, b"in")
        assert await reading.received.get() == b"in"
        writes.write(b"out")
        assert os.read(slave, 100) == b"out"
        writes.close()
        assert await writing.lost is None
        os.write(slave, b"more")
        assert await reading.received.get() == b"more"
        reads.close()
        await reading.lost

    aio.run(main())


def test_file_closed_by_its_transport_is_no_longer_watched(aio, terminal):
    file, _ = terminal

    async def main():
        loop = aio.get_running_loop()
        number = file.fileno()
        loop.add_reader(number, os.read, number, 100)
        transport, protocol = await loop.connect_write_pipe(Reading, file)
        transport.abort()
        await protocol.lost
        await asyncio.sleep(0)
        assert not loop.remove_reader(number)

    aio.run(main())


@pytest.fixture
def connected(aio, pair):
    """Makes a transport of one of two connected sockets, with a coroutine function and a protocol class."""

    async def connect(sock=None):
        return await aio.get_running_loop().create_connection(Reading, sock=sock or pair[0])

    return connect


def test_socket_transport_does_not_share_its_socket(aio, pair, connected):
    async def main():
        loop = aio.get_running_loop()
        transport, protocol = await connected()
        for method in (loop.add_reader, loop.add_writer):
            with pytest.raises(RuntimeError, match="is used by transport"):
                method(pair[0], print)
        for method in (loop.remove_reader, loop.remove_writer):
            with pytest.raises(RuntimeError, match="is used by transport"):
                method(pair[0])
        pair[1].send(b"data")
        assert await protocol.received.get() == b"data"
        transport.close()
        assert not loop.remove_reader(pair[0])
        await protocol.lost

    aio.run(main())


def test_second_transport_is_refused_and_the_first_goes_on(pair):
    """asyncio also refuses, but from 3.15 on it closes the socket of both."""

    async def main():
        loop = ferrio.get_running_loop()
        transport, protocol = await loop.create_connection(Reading, sock=pair[0])
        with pytest.raises(RuntimeError, match="is used by transport"):
            await loop.create_connection(Reading, sock=pair[0])
        pair[1].send(b"data")
        assert await protocol.received.get() == b"data"
        transport.close()
        await protocol.lost

    ferrio.run(main())


@since(3, 13)
def test_datagram_transport_does_not_share_its_socket(aio):
    left, right = socket.socket(type=socket.SOCK_DGRAM), socket.socket(type=socket.SOCK_DGRAM)
    right.bind(("127.0.0.1", 0))
    left.connect(right.getsockname())

    async def main():
        loop = aio.get_running_loop()
        lost = loop.create_future()

        class Protocol(asyncio.DatagramProtocol):
            def connection_lost(self, exc):
                lost.set_result(exc)

        transport, _ = await loop.create_datagram_endpoint(Protocol, sock=left)
        with pytest.raises(RuntimeError, match="is used by transport"):
            await loop.create_datagram_endpoint(asyncio.DatagramProtocol, sock=left)
        transport.sendto(b"data")
        assert right.recv(10) == b"data"
        transport.close()
        await lost

    with right:
        aio.run(main())
