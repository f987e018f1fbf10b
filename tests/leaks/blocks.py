"""Counts what operations leave in Python's allocator: run by test_blocks.py in a process of its own.

Objects that the garbage collector doesn't know, such as integers, show only there. A soak found such a leak: two
integers for each slice of a buffer.
"""

import asyncio
import contextlib
import gc
import io
import itertools
import json
import socket
import ssl
import sys

import trustme

import ferrio

#: Each operation runs this often between two counts, after as many that fill caches and spare objects.
TIMES = 50
DATA = bytes(range(256)) * 1000


class Contexts:
    """The contexts of both sides."""

    def __init__(self):
        authority = trustme.CA()
        self.server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost").configure_cert(self.server)
        self.client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        authority.configure_trust(self.client)


async def sink(reader, writer):
    """Reads all, answers, and closes."""
    await reader.readexactly(len(DATA))
    writer.write(b"k")
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


async def by_streams(port, **tls):
    reader, writer = await asyncio.open_connection("127.0.0.1", port, **tls)
    writer.write(DATA)
    await reader.readexactly(1)
    writer.close()
    await writer.wait_closed()


async def by_file(port, **tls):
    """Sends what isn't a file of the system: it is sent in pieces."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, **tls)
    await asyncio.get_running_loop().sendfile(writer.transport, io.BytesIO(DATA), fallback=True)
    await reader.readexactly(1)
    writer.close()
    await writer.wait_closed()


class OwnSocket(socket.socket):
    """One whose methods aren't CPython's own."""

    def send(self, *arguments):
        return super().send(*arguments)


async def by_socket(port):
    """The loop's own methods for sockets; what is sent doesn't fit at once."""
    loop = asyncio.get_running_loop()

    with OwnSocket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        connection.setblocking(False)
        await loop.sock_connect(connection, ("127.0.0.1", port))
        await loop.sock_sendall(connection, DATA)
        await loop.sock_recv(connection, 1)


async def by_socket_and_file(port):
    loop = asyncio.get_running_loop()
    with socket.socket() as connection:
        connection.setblocking(False)
        await loop.sock_connect(connection, ("127.0.0.1", port))
        await loop.sock_sendfile(connection, io.BytesIO(DATA), fallback=True)
        await loop.sock_recv(connection, 1)


async def by_name(port):
    """Resolves a name."""
    loop = asyncio.get_running_loop()
    with socket.socket() as connection:
        connection.setblocking(False)
        await loop.sock_connect(connection, ("localhost", port))
        await loop.sock_sendall(connection, DATA)
        await loop.sock_recv(connection, 1)


async def main() -> dict[str, float]:
    """Returns for each operation how many blocks one of them leaves."""
    contexts = Contexts()
    tls = {"ssl": contexts.client, "server_hostname": "localhost"}
    left = {}
    plain = await asyncio.start_server(sink, "127.0.0.1", 0)
    secure = await asyncio.start_server(sink, "127.0.0.1", 0, ssl=contexts.server)
    ports = [server.sockets[0].getsockname()[1] for server in (plain, secure)]
    for name, operation in {
        "streams": lambda: by_streams(ports[0]),
        "TLS": lambda: by_streams(ports[1], **tls),
        "a file in pieces": lambda: by_file(ports[0]),
        "a file by TLS": lambda: by_file(ports[1], **tls),
        "sock_sendall": lambda: by_socket(ports[0]),
        "sock_sendfile": lambda: by_socket_and_file(ports[0]),
        "a name": lambda: by_name(ports[0]),
    }.items():
        counts = []
        for _ in range(5):
            for _ in range(TIMES):
                await operation()
            await asyncio.sleep(0)
            while gc.collect():
                pass
            counts.append(sys.getallocatedblocks())
        # A leak is in each round; what fills or empties meanwhile isn't.
        left[name] = min(later - earlier for earlier, later in itertools.pairwise(counts)) / TIMES
    for server in (plain, secure):
        server.close()
        await server.wait_closed()
    return left


if __name__ == "__main__":
    ferrio.install()
    print(json.dumps(asyncio.run(main())))
