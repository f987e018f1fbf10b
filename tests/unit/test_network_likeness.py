"""The simulated network behaves like a real one: the same programs log the same on both.

Each program runs on the real loopback interface and on `ferrio.testing.Network`. Each side logs its protocol's calls
and what the program sees. How bytes are cut isn't logged: the system may cut them anywhere.
"""

import asyncio
import contextlib
import errno
import logging
import socket
import ssl
import struct
import tempfile
import warnings

import pytest
from tests.unit.tls import client_context, server_context

import ferrio
from ferrio import testing


class Log:
    """What one side has seen. Data that comes in pieces is one entry."""

    def __init__(self):
        self.entries = []

    def __call__(self, what, *details):
        if what == "data" and self.entries and self.entries[-1][0] == "data":
            self.entries[-1][1].extend(details[0])
        else:
            self.entries.append((what, *details))


def shown(error):
    """An exception without what differs by the machine."""
    return None if error is None else (type(error).__name__, getattr(error, "errno", None))


class Logged(asyncio.Protocol):
    """Logs all that it is told. Its future `lost` is done at the end."""

    keep_open = None

    def __init__(self, log):
        self.log = log
        self.made = asyncio.get_running_loop().create_future()
        self.lost = asyncio.get_running_loop().create_future()
        self.arrived = asyncio.Event()
        self.size = 0

    def connection_made(self, transport):
        self.transport = transport
        self.log("made", transport.is_closing(), transport.is_reading(), transport.can_write_eof())
        self.made.set_result(None)

    def data_received(self, data):
        self.log("data", bytearray(data))
        self.size += len(data)
        self.arrived.set()

    def eof_received(self):
        self.log("eof")
        self.arrived.set()
        return self.keep_open

    def pause_writing(self):
        self.log("pause")

    def resume_writing(self):
        self.log("resume")

    def connection_lost(self, error):
        self.log("lost", shown(error), self.transport.is_closing())
        self.arrived.set()
        self.lost.set_result(None)

    async def received(self, size):
        while self.size < size:
            self.arrived.clear()
            await self.arrived.wait()


class Filled(Logged, asyncio.BufferedProtocol):
    """As a buffered protocol, with a small buffer."""

    def get_buffer(self, sizehint):
        self.buffer = bytearray(7)
        return self.buffer

    def buffer_updated(self, count):
        self.data_received(self.buffer[:count])


class Sides:
    """A client and a server with one connection."""

    def __init__(self):
        self.client_log, self.server_log = Log(), Log()

    @contextlib.asynccontextmanager
    async def joined(self, client=Logged, server=Logged, **options):
        """Connects; gives the two protocols."""
        loop = asyncio.get_running_loop()
        accepted = loop.create_future()

        def factory():
            protocol = server(self.server_log)
            accepted.set_result(protocol)
            return protocol

        self.server = await loop.create_server(factory, "127.0.0.1", 0, ssl=options.pop("server_ssl", None))
        self.port = self.server.sockets[0].getsockname()[1]
        self.factory = lambda: client(self.client_log)
        _, protocol = await loop.create_connection(self.factory, "127.0.0.1", self.port, **options)
        await (await accepted).made
        yield protocol, await accepted
        self.server.close()
        await self.server.wait_closed()


async def echo(sides):
    async with sides.joined() as (client, server):
        for size in (1, 1000, 100_000):
            client.transport.write(b"x" * size)
        await server.received(101_001)
        server.transport.writelines([b"one", b"", bytearray(b"two"), memoryview(b"three")])
        await client.received(11)
        server.transport.close()
        await client.lost
        await server.lost


async def half_close(sides):
    class Patient(Logged):
        keep_open = True

    async with sides.joined(server=Patient) as (client, server):
        client.transport.write(b"question")
        client.transport.write_eof()
        client.transport.write_eof()
        sides.client_log("after eof", failing(client.transport.write, b"more"))
        await server.received(8)
        while ("eof",) not in sides.server_log.entries:
            server.arrived.clear()
            await server.arrived.wait()
        sides.server_log("open", server.transport.is_closing(), server.transport.is_reading())
        server.transport.write(b"answer")
        await client.received(6)
        server.transport.close()
        await client.lost
        await server.lost


async def end_closes(sides):
    async with sides.joined() as (client, server):
        client.transport.write_eof()
        await server.lost
        await client.lost


async def buffered(sides):
    async with sides.joined(client=Filled, server=Filled) as (client, server):
        client.transport.write(b"0123456789" * 3)
        await server.received(30)
        server.transport.write(b"abc")
        server.transport.close()
        await client.lost
        await server.lost


async def write_limits(sides):
    async with sides.joined() as (client, server):
        transport = client.transport
        server.transport.pause_reading()
        sides.client_log("limits", transport.get_write_buffer_limits(), transport.get_write_buffer_size())
        transport.set_write_buffer_limits(high=1 << 20, low=1 << 10)
        sides.client_log("limits", transport.get_write_buffer_limits())
        sides.client_log("wrong", failing(transport.set_write_buffer_limits, high=1, low=2))
        transport.write(b"y" * (16 << 20))
        sides.client_log("waits", transport.get_write_buffer_size() > 1 << 20, transport.is_closing())
        server.transport.resume_reading()
        await server.received(16 << 20)
        sides.client_log("sent", transport.get_write_buffer_size())
        transport.set_write_buffer_limits(0)
        sides.client_log("limits", transport.get_write_buffer_limits())
        server.transport.pause_reading()
        transport.write(b"y" * (16 << 20))
        transport.close()
        sides.client_log("closing", transport.is_closing(), transport.is_reading())
        server.transport.resume_reading()
        await server.lost
        await client.lost


async def paused_reading(sides):
    async with sides.joined() as (client, server):
        server.transport.pause_reading()
        server.transport.pause_reading()
        sides.server_log("reading", server.transport.is_reading())
        client.transport.write(b"held back")
        client.transport.close()
        await client.lost
        sides.server_log("nothing yet")
        server.transport.resume_reading()
        server.transport.resume_reading()
        await server.lost


async def abort(sides):
    async with sides.joined() as (client, server):
        client.transport.write(b"last words")
        client.transport.abort()
        client.transport.abort()
        await client.lost
        await server.lost


async def no_linger_resets(sides):
    async with sides.joined() as (client, server):
        client.transport.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
        )
        client.transport.close()
        await client.lost
        await server.lost


async def sent_file(sides):
    with tempfile.TemporaryFile() as file:
        file.write(b"0123456789" * 10_000)
        file.flush()
        async with sides.joined() as (client, server):
            client.transport.write(b"before")
            sides.client_log("sent", await asyncio.get_running_loop().sendfile(client.transport, file, 5, 50_000))
            client.transport.write(b"after")
            await server.received(50_011)
            client.transport.close()
            await client.lost
            await server.lost


async def unread_data_resets(sides):
    async with sides.joined() as (client, server):
        server.transport.pause_reading()
        client.transport.write(b"unread")
        # On the loopback interface it has arrived already. The simulated one takes a turn.
        for _ in range(5):
            await asyncio.sleep(0)
        server.transport.close()
        await server.lost
        await client.lost


async def writes_after_the_end(sides):
    async with sides.joined() as (client, server):
        server.transport.close()
        await client.lost
        await server.lost
        for _ in range(7):
            client.transport.write(b"into the void")
        sides.client_log("wrong", failing(client.transport.write, "text"))
        client.transport.close()
        client.transport.abort()


async def failing_protocol(sides):
    class Failing(Logged):
        def data_received(self, data):
            super().data_received(data)
            raise LookupError("a fault of the program")

    contexts = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: contexts.append(context))
    async with sides.joined(server=Failing) as (client, server):
        client.transport.write(b"x")
        await server.lost
        await client.lost
    [context] = contexts
    sides.server_log("handler", context["message"], shown(context["exception"]), sorted(context))


async def other_protocol(sides):
    async with sides.joined() as (client, server):
        other = Logged(Log())
        other.transport = server.transport
        server.transport.set_protocol(other)
        sides.server_log("other", server.transport.get_protocol() is other)
        client.transport.write(b"for the other")
        await other.received(13)
        client.transport.close()
        await client.lost
        await other.lost
        sides.server_log("got", other.log.entries)


async def extra_info(sides):
    async with sides.joined() as (client, server):
        for mine, its, log in ((client, server, sides.client_log), (server, client, sides.server_log)):
            transport, sock = mine.transport, mine.transport.get_extra_info("socket")
            log("peer", transport.get_extra_info("peername") == its.transport.get_extra_info("sockname"))
            log("socket", type(sock).__name__, sock.family, sock.type, sock.proto)
            log("addresses", sock.getsockname() == transport.get_extra_info("sockname"))
            log("addresses", sock.getpeername() == transport.get_extra_info("peername"))
            log("options", sock.getsockopt(6, 1), sock.gettimeout(), transport.get_extra_info("nothing", 5))
            log("blocking", failing(sock.setblocking, True))
        log("sockets", len(sides.server.sockets), type(sides.server.sockets).__name__)
        client.transport.close()
        await client.lost
        await server.lost
        sides.client_log("afterwards", client.transport.get_extra_info("peername")[0])


async def refused(sides):
    async with sides.joined() as (client, server):
        sides.server.close()
        sides.server_log("serving", sides.server.is_serving(), sides.server.sockets)
        client.transport.close()
        await client.lost
        await server.lost
    loop = asyncio.get_running_loop()
    for options in ({}, {"all_errors": True}):
        try:
            await loop.create_connection(sides.factory, "127.0.0.1", sides.port, **options)
        except Exception as error:
            sides.client_log("error", shown(error), [shown(each) for each in getattr(error, "exceptions", ())])


async def servers(sides):
    loop, log = asyncio.get_running_loop(), sides.server_log
    async with sides.joined() as (client, server):
        log("taken", await failing_later(loop.create_server(Logged, "127.0.0.1", sides.port)))
        sides.server.close()
        sides.server.close()
        waiting = asyncio.create_task(sides.server.wait_closed())
        await asyncio.sleep(0)
        log("waits for connections", waiting.done())
        sides.server.close_clients()
        await client.lost
        await server.lost
        await waiting
    visitors = []
    idle = await loop.create_server(
        lambda: visitors.append(Logged(log)) or visitors[0], "127.0.0.1", 0, start_serving=False
    )
    port = idle.sockets[0].getsockname()[1]
    log("idle", idle.is_serving())
    log("idle", await failing_later(loop.create_connection(asyncio.Protocol, "127.0.0.1", port)))
    async with idle:
        forever = asyncio.create_task(idle.serve_forever())
        await asyncio.sleep(0)
        transport, _ = await loop.create_connection(asyncio.Protocol, "127.0.0.1", port)
        while not visitors:
            await asyncio.sleep(0)
        await visitors[0].made
        log("serving", idle.is_serving(), await failing_later(idle.serve_forever()))
        forever.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await forever
        log("cancelled", forever.cancelled(), idle.is_serving(), idle.sockets)
        transport.close()
    log("closed", await failing_later(idle.serve_forever()))
    log("closed", await failing_later(idle.start_serving()))


async def aborted_clients(sides):
    async with sides.joined() as (client, server):
        sides.server.abort_clients()
        await client.lost
        await server.lost


async def wrong_arguments(sides):
    loop, log = asyncio.get_running_loop(), sides.client_log
    factory = asyncio.Protocol
    log(await failing_later(loop.create_connection(factory)))
    log(await failing_later(loop.create_connection(factory, "127.0.0.1", 1, server_hostname="x")))
    log(await failing_later(loop.create_connection(factory, "127.0.0.1", 1, ssl_handshake_timeout=1)))
    log(await failing_later(loop.create_server(factory)))
    log(await failing_later(loop.create_server(factory, "127.0.0.1", 0, ssl=True)))
    log(await failing_later(loop.create_datagram_endpoint(factory)))
    log(await failing_later(loop.create_datagram_endpoint(factory, "127.0.0.1")))


async def streams(sides):
    async def handle(reader, writer):
        async with contextlib.aclosing(lines(reader)) as found:
            async for line in found:
                sides.server_log("line", line)
                writer.write(line.upper())
                await writer.drain()
        sides.server_log("end", reader.at_eof())
        writer.close()
        await writer.wait_closed()
        done.set()

    async def lines(reader):
        while line := await reader.readline():
            yield line

    done = asyncio.Event()
    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.sockets[0].getsockname()[1])
        writer.write(b"one\ntwo\nwithout end")
        writer.write_eof()
        sides.client_log("answer", await reader.read())
        writer.close()
        await writer.wait_closed()
        sides.client_log("closing", writer.is_closing())
        await done.wait()


async def slow_reader(sides):
    async def handle(reader, writer):
        sides.server_log("size", len(await reader.readexactly(8 << 20)))
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0, limit=1024)
    async with server:
        _, writer = await asyncio.open_connection("127.0.0.1", server.sockets[0].getsockname()[1])
        writer.write(b"z" * (16 << 20))
        writer.transport.set_write_buffer_limits(0)
        try:
            await writer.drain()
            sides.client_log("drained")
        except ConnectionError as error:
            # The rest was unread when the server closed.
            sides.client_log("error", isinstance(error, ConnectionResetError | BrokenPipeError))
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def tls(sides):
    options = {"server_ssl": server_context(), "ssl": client_context(), "server_hostname": "localhost"}
    async with sides.joined(**options) as (client, server):
        for protocol, log in ((client, sides.client_log), (server, sides.server_log)):
            transport = protocol.transport
            log("cipher", transport.get_extra_info("cipher"), type(transport).__name__)
            log("peer", transport.get_extra_info("peername")[0], transport.get_extra_info("ssl_object").version())
        client.transport.write(b"question")
        await server.received(8)
        server.transport.write(b"a" * 300_000)
        await client.received(300_000)
        client.transport.close()
        await client.lost
        await server.lost


async def start_tls(sides):
    loop = asyncio.get_running_loop()
    async with sides.joined() as (client, server):
        upgrades = [
            loop.start_tls(server.transport, server, server_context(), server_side=True),
            loop.start_tls(client.transport, client, client_context(), server_hostname="localhost"),
        ]
        server.transport, client.transport = await asyncio.gather(*upgrades)
        client.transport.write(b"secret")
        await server.received(6)
        server.transport.close()
        await client.lost
        await server.lost


async def failed_handshake(sides):

    async def handle(reader, writer):
        await reader.read(10)
        writer.write(b"this isn't TLS at all")
        writer.close()

    loop = asyncio.get_running_loop()
    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        connecting = loop.create_connection(asyncio.Protocol, "127.0.0.1", port, ssl=client_context())
        try:
            await connecting
        except (ssl.SSLError, ConnectionError) as error:
            sides.client_log("error", type(error).__name__)


async def datagrams(sides):
    class Datagrams(asyncio.DatagramProtocol):
        def __init__(self, log):
            self.log, self.arrived, self.lost = log, asyncio.Queue(), loop.create_future()

        def connection_made(self, transport):
            self.transport = transport
            self.log("made", transport.is_closing(), transport.get_write_buffer_size())

        def datagram_received(self, data, address):
            self.log("datagram", data, address[0])
            self.arrived.put_nowait((data, address))

        def error_received(self, error):
            self.log("error", shown(error))
            self.arrived.put_nowait(error)

        def connection_lost(self, error):
            self.log("lost", shown(error))
            self.lost.set_result(None)

    loop = asyncio.get_running_loop()
    _, server = await loop.create_datagram_endpoint(lambda: Datagrams(sides.server_log), ("127.0.0.1", 0))
    address = server.transport.get_extra_info("sockname")
    _, client = await loop.create_datagram_endpoint(lambda: Datagrams(sides.client_log), remote_addr=address)
    sides.client_log("peer", client.transport.get_extra_info("peername") == address)
    sides.server_log("peer", server.transport.get_extra_info("peername"))
    for data in (b"one", bytearray(b"two"), b"x" * 60_000):
        client.transport.sendto(data)
    for _ in range(3):
        _, source = await server.arrived.get()
    server.transport.sendto(b"answer", source)
    await client.arrived.get()
    client.transport.sendto(b"x" * 70_000)
    sides.client_log("too large", shown(await client.arrived.get()))
    kind, text = failing(client.transport.sendto, b"x", ("127.0.0.1", 1))
    sides.client_log("wrong", kind, text.replace(repr(address), "its address"))
    sides.client_log("wrong", failing(client.transport.sendto, "text"))
    server.transport.close()
    await server.lost
    client.transport.sendto(b"is anybody there?")
    await client.arrived.get()
    client.transport.abort()
    await client.lost
    for _ in range(7):
        client.transport.sendto(b"into the void")


def failing(function, *arguments, **options):
    """The exception that a call raises, in words."""
    with pytest.raises(Exception) as caught:
        function(*arguments, **options)
    return type(caught.value).__name__, str(caught.value).partition("0x")[0]


async def failing_later(awaitable):
    """The kind of exception that awaiting raises, and its error number."""
    try:
        await awaitable
    except Exception as error:
        return type(error).__name__, getattr(error, "errno", None), errno.errorcode.get(getattr(error, "errno", 0))
    return None


PROGRAMS = [
    echo,
    half_close,
    end_closes,
    buffered,
    write_limits,
    paused_reading,
    abort,
    no_linger_resets,
    sent_file,
    unread_data_resets,
    writes_after_the_end,
    failing_protocol,
    other_protocol,
    extra_info,
    refused,
    servers,
    aborted_clients,
    wrong_arguments,
    streams,
    slow_reader,
    tls,
    start_tls,
    failed_handshake,
    datagrams,
]


def entries(program, caplog, **options):
    """Runs a program; returns what each side has logged, and what asyncio has."""
    sides = Sides()
    caplog.clear()

    async def main():
        async with asyncio.timeout(20):
            await program(sides)

    ferrio.run(main(), **options)
    said = [record.getMessage() for record in caplog.records if record.name == "asyncio"]
    return {"client": sides.client_log.entries, "server": sides.server_log.entries, "logged": said}


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_programs_log_the_same(program, caplog):
    caplog.set_level(logging.WARNING, "asyncio")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        real = entries(program, caplog)
        with testing.virtual_time(), testing.Network():
            simulated = entries(program, caplog)
    assert real["client"] or real["server"]
    assert simulated == real


@pytest.mark.parametrize(
    "program", [echo, half_close, buffered, streams, tls, start_tls], ids=lambda each: each.__name__
)
@pytest.mark.parametrize("conditions", [{"latency": 0.01}, {"segment": 1000}, {"segment": "random"}, {"loss": 0.2}])
def test_links_change_only_the_time(program, conditions, caplog):
    with testing.virtual_time(), testing.Network():
        plain = entries(program, caplog)
    with testing.virtual_time(), testing.Network(**conditions):
        assert entries(program, caplog) == plain
