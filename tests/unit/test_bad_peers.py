"""A peer that misbehaves costs only its own connection: a good one beside it goes on."""

import asyncio
import socket
import struct

import pytest
from tests.unit.connections import open_sockets
from tests.unit.tls import client_context, server_context

WORDS = b"still here\n"


class Serving:
    """A server that echoes lines, a good client, and sockets of bad clients."""

    def __init__(self, aio, tls):
        self.aio = aio
        self.context = server_context() if tls else None
        self.ended = asyncio.Queue()

    async def handle(self, reader, writer):
        try:
            while line := await reader.readline():
                if line.startswith(b"flood"):
                    line = bytes(1 << 20)
                writer.write(line)
                await writer.drain()
        except (ConnectionError, ValueError) as error:
            self.ended.put_nowait(type(error))
        else:
            self.ended.put_nowait(None)
        finally:
            writer.close()

    async def __aenter__(self):
        self.server = await self.aio.start_server(self.handle, "127.0.0.1", 0, ssl=self.context)
        self.address = self.server.sockets[0].getsockname()
        options = {"ssl": client_context(), "server_hostname": "localhost"} if self.context else {}
        self.reader, self.writer = await self.aio.open_connection(*self.address, **options)
        await self.good()
        return self

    async def good(self):
        """Checks that the good client gets its answer."""
        self.writer.write(WORDS)
        assert await asyncio.wait_for(self.reader.readline(), 30) == WORDS

    def bad(self):
        """Returns a connected socket in blocking mode."""
        return socket.create_connection(self.address)

    async def __aexit__(self, *failure):
        self.writer.close()
        await self.writer.wait_closed()
        self.server.close()
        await asyncio.wait_for(self.server.wait_closed(), 30)


def reset(sock):
    """Closes the socket in a way that the peer sees a reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


@pytest.fixture(params=[False, True], ids=["plain", "tls"])
def tls(request):
    return request.param


@pytest.fixture(autouse=True)
def nothing_left_open(loop):
    before = open_sockets()
    yield
    for _ in range(3):
        loop.run_until_complete(asyncio.sleep(0))
    assert open_sockets() <= before


def test_peers_that_leave_at_once(aio, run, tls, problems):
    async def main():
        async with Serving(aio, tls) as serving:
            for number in range(20):
                sock = serving.bad()
                if number % 2:
                    reset(sock)
                sock.close()
            await serving.good()

    run(main())
    assert problems == []


def test_peer_that_resets_in_the_middle(aio, run, problems):
    async def main():
        async with Serving(aio, False) as serving:
            sock = serving.bad()
            sock.sendall(b"half a li")
            await serving.good()
            reset(sock)
            assert await asyncio.wait_for(serving.ended.get(), 30) is ConnectionResetError
            await serving.good()

    run(main())
    assert problems == []


def test_peer_that_half_closes_gets_its_answer(aio, run, problems):
    async def main():
        async with Serving(aio, False) as serving:
            with serving.bad() as sock:
                sock.sendall(b"a line\nand a half")
                sock.shutdown(socket.SHUT_WR)
                assert await asyncio.wait_for(serving.ended.get(), 30) is None
                sock.settimeout(30)
                # The server's end stays open until its writer is closed.
                assert (
                    await asyncio.get_running_loop().run_in_executor(None, receive_all, sock) == b"a line\nand a half"
                )
            await serving.good()

    run(main())
    assert problems == []


def test_peer_that_never_reads(aio, run, problems):
    async def main():
        async with Serving(aio, False) as serving:
            sock = serving.bad()
            sock.sendall(b"flood\n" * 20)
            for _ in range(50):
                await serving.good()
            reset(sock)
            assert issubclass(await asyncio.wait_for(serving.ended.get(), 30), ConnectionError)
            await serving.good()

    run(main())
    assert problems == []


def test_peer_that_sends_no_line_ends(aio, run, problems):
    async def main():
        async with Serving(aio, False) as serving:
            with serving.bad() as sock:
                sock.sendall(bytes(200_000))
                assert await asyncio.wait_for(serving.ended.get(), 30) is ValueError
            await serving.good()

    run(main())
    assert problems == []


@pytest.mark.parametrize(
    "garbage",
    [b"GET / HTTP/1.1\r\n\r\n", bytes(1000), b"\x16\x03\x01\xff\xff" + bytes(500), b"\x15\x03\x01\x00\x02\x02\x28"],
    ids=["http", "zeroes", "a record too long", "an alert"],
)
def test_garbage_instead_of_a_handshake(aio, run, problems, garbage):
    async def main():
        async with Serving(aio, True) as serving:
            with serving.bad() as sock:
                sock.sendall(garbage)
                sock.settimeout(30)
                await serving.good()
                closed = asyncio.get_running_loop().run_in_executor(None, receive_all, sock)
                if garbage.startswith(b"\x16"):
                    sock.shutdown(socket.SHUT_WR)  # otherwise the server waits for the rest of the record
                await asyncio.wait_for(closed, 30)
            await serving.good()

    run(main())
    assert problems == []


def receive_all(sock):
    """Receives everything up to the end or a reset."""
    received = bytearray()
    try:
        while chunk := sock.recv(65536):
            received += chunk
    except ConnectionResetError:
        pass
    return bytes(received)
