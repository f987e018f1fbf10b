"""The servers that are compared, each written as a program would write it.

A server is a coroutine function. It takes the namespace (`asyncio`, or what `import ferrio as asyncio` gives) and a
`Place` where it listens. It calls `place.listens(port)` as soon as clients may connect, and then serves until the
process is ended. `server.py` starts the servers, `cells.py` says which load each gets, and `echo.c` does the same in C.

Invariant: one body for every implementation; nothing here asks which loop it runs on.
"""

import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass

import cells

BACKLOG = 1024
CHUNK = 256 * 1024
"""The most that one read asks for, in bytes: the same as asyncio's own transports."""


@dataclass(frozen=True)
class Place:
    """Where a server listens: a Unix path, or a free port of the loopback interface."""

    listens: Callable[[int], None]
    """Tells the harness the port (0 for a path), and that clients may connect."""
    path: str | None = None
    context: ssl.SSLContext | None = None
    """For a server that speaks TLS."""

    def listen(self):
        """Return a bound, listening, non-blocking socket, for servers that handle their sockets themselves."""
        if self.path:
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            sock.bind(self.path)
        else:
            # Without the protocol's number, asyncio wouldn't set TCP_NODELAY on accepted sockets.
            sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
            sock.bind((cells.HOST, 0))
        sock.listen(BACKLOG)
        sock.setblocking(False)
        return sock


def port_of(sock) -> int:
    """Return the port of a bound socket, 0 if it has a path instead."""
    return 0 if sock.family == socket.AF_UNIX else sock.getsockname()[1]


async def serve_protocol(aio, place, factory):
    """Serve with a protocol factory, for ever."""
    loop = aio.get_running_loop()
    if place.path:
        server = await loop.create_unix_server(factory, place.path, backlog=BACKLOG, ssl=place.context)
    else:
        server = await loop.create_server(factory, cells.HOST, 0, backlog=BACKLOG, ssl=place.context)
    await serve_on(aio, server, place)


async def serve_streams(aio, place, handle, **options):
    """Serve with a stream handler, for ever."""
    if place.path:
        server = await aio.start_unix_server(handle, place.path, backlog=BACKLOG, ssl=place.context, **options)
    else:
        server = await aio.start_server(handle, cells.HOST, 0, backlog=BACKLOG, ssl=place.context, **options)
    await serve_on(aio, server, place)


async def serve_on(aio, server, place):
    """Report where the server listens, and let it serve."""
    place.listens(port_of(server.sockets[0]))
    # A started server serves already; rloop's `serve_forever` would close its sockets.
    await aio.get_running_loop().create_future()


async def protocol(aio, place):
    """Echo with a Protocol."""

    class Echo(aio.Protocol):
        def connection_made(self, transport):
            self.transport = transport

        def data_received(self, data):
            self.transport.write(data)

    await serve_protocol(aio, place, Echo)


async def buffered(aio, place):
    """Echo with a BufferedProtocol."""
    # One buffer for all connections: a message is copied out of it before the next is read.
    buffer = memoryview(bytearray(CHUNK))

    class Echo(aio.BufferedProtocol):
        def connection_made(self, transport):
            self.transport = transport

        def get_buffer(self, sizehint):
            return buffer

        def buffer_updated(self, length):
            self.transport.write(bytes(buffer[:length]))

    await serve_protocol(aio, place, Echo)


async def streams(aio, place):
    """Echo with streams, with the drain that a program needs."""

    async def echo(reader, writer):
        while data := await reader.read(CHUNK):
            writer.write(data)
            await writer.drain()
        writer.close()

    await serve_streams(aio, place, echo)


async def sockets(aio, place):
    """Echo with the loop's sock_ methods."""
    loop = aio.get_running_loop()

    async def echo(sock):
        with sock:
            if sock.family == socket.AF_INET:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while data := await loop.sock_recv(sock, CHUNK):
                await loop.sock_sendall(sock, data)

    listener = place.listen()
    place.listens(port_of(listener))
    running = set()
    while True:
        sock, _ = await loop.sock_accept(listener)
        task = aio.create_task(echo(sock))
        running.add(task)
        task.add_done_callback(running.discard)


async def datagrams(aio, place):
    """Echo of datagrams."""

    class Echo(aio.DatagramProtocol):
        def connection_made(self, transport):
            self.transport = transport

        def datagram_received(self, data, address):
            self.transport.sendto(data, address)

    loop = aio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(Echo, local_addr=(cells.HOST, 0))
    place.listens(transport.get_extra_info("sockname")[1])
    await loop.create_future()


async def lines(aio, place):
    """Read lines; answer every hundredth."""

    async def count(reader, writer):
        seen = 0
        while await reader.readline():
            seen += 1
            if seen % cells.BATCH == 0:
                writer.write(cells.ANSWER)
                await writer.drain()
        writer.close()

    await serve_streams(aio, place, count)


async def exactly(aio, place):
    """Read records of sixteen bytes; answer every hundredth."""

    async def count(reader, writer):
        seen = 0
        while True:
            try:
                await reader.readexactly(cells.RECORD)
            except aio.IncompleteReadError:
                break
            seen += 1
            if seen % cells.BATCH == 0:
                writer.write(cells.ANSWER)
                await writer.drain()
        writer.close()

    await serve_streams(aio, place, count)


def responder(aio, parts):
    """Return a Protocol that answers each request of a fixed length with `parts`, one write for each."""

    class Respond(aio.Protocol):
        def connection_made(self, transport):
            self.transport = transport
            self.missing = cells.REQUEST

        def data_received(self, data):
            self.missing -= len(data)
            if self.missing == 0:
                self.missing = cells.REQUEST
                for part in parts:
                    self.transport.write(part)

    return Respond


def stream_responder(parts):
    """Return a stream handler that answers each request of a fixed length with `parts`, one write for each."""

    async def respond(reader, writer):
        while len(await reader.read(cells.REQUEST)) == cells.REQUEST:
            for part in parts:
                writer.write(part)
            await writer.drain()
        writer.close()

    return respond


async def one_write(aio, place):
    """Answer each request in one write, with a Protocol."""
    await serve_protocol(aio, place, responder(aio, [cells.HEADER + cells.BODY]))


async def two_writes(aio, place):
    """Answer each request in two writes, header and body, with a Protocol."""
    await serve_protocol(aio, place, responder(aio, [cells.HEADER, cells.BODY]))


async def streams_one_write(aio, place):
    """Answer each request in one write, with streams."""
    await serve_streams(aio, place, stream_responder([cells.HEADER + cells.BODY]))


async def streams_two_writes(aio, place):
    """Answer each request in two writes, header and body, with streams."""
    await serve_streams(aio, place, stream_responder([cells.HEADER, cells.BODY]))


async def uvicorn(aio, place):
    """Hello world with uvicorn and httptools."""
    import uvicorn

    body = cells.HELLO
    headers = [(b"content-type", b"text/plain"), (b"content-length", str(len(body)).encode())]

    async def application(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    config = uvicorn.Config(application, http="httptools", lifespan="off", access_log=False, log_level="warning")
    listener = place.listen()
    place.listens(port_of(listener))
    await uvicorn.Server(config).serve(sockets=[listener])


async def aiohttp(aio, place):
    """Hello world with aiohttp's server."""
    from aiohttp import web

    async def hello(request):
        return web.Response(body=cells.HELLO, content_type="text/plain")

    application = web.Application()
    application.router.add_get("/", hello)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, cells.HOST, 0, backlog=BACKLOG).start()
    place.listens(runner.addresses[0][1])
    await aio.get_running_loop().create_future()


SERVERS = {
    each.__name__.replace("_", "-"): each
    for each in (
        protocol,
        buffered,
        streams,
        sockets,
        datagrams,
        lines,
        exactly,
        one_write,
        two_writes,
        streams_one_write,
        streams_two_writes,
        uvicorn,
        aiohttp,
    )
}
