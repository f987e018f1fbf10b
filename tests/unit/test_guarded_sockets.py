"""Sockets whose methods aren't the standard library's: patched by a test suite, overridden, or seen by audit hooks.

ferrio then calls what asyncio calls on a socket. For plain sockets nobody can tell, so it uses system calls.
"""

import asyncio
import errno
import json
import socket

import pytest
from tests.unit import tls
from tests.unit.programs import run_program

import ferrio

METHODS = [
    "connect",
    "bind",
    "listen",
    "accept",
    "recv",
    "recv_into",
    "recvfrom",
    "send",
    "sendto",
    "shutdown",
    "close",
]


class Blocked(RuntimeError):
    """What a guard raises."""


async def echo(reader, writer):
    while data := await reader.read(100):
        writer.write(data)
    writer.write_eof()
    writer.close()


async def talk(aio, **where):
    """Sends a word to an echo server and returns the answer."""
    reader, writer = await aio.open_connection(**where)
    writer.write(b"word")
    assert await reader.readexactly(4) == b"word"
    writer.write_eof()
    assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()


@pytest.fixture
def replaced(monkeypatch):
    """Returns a function that replaces a method of `socket.socket`."""

    def replace(name, function):
        monkeypatch.setattr(socket.socket, name, function)

    return replace


@pytest.mark.parametrize("name", ["connect", "bind", "accept", "recv", "send"])
def test_replaced_method_is_called(aio, replaced, name):
    original, calls = getattr(socket.socket, name), []

    def noting(self, *arguments):
        calls.append(arguments)
        return original(self, *arguments)

    async def main():
        replaced(name, noting)
        server = await aio.start_server(echo, "127.0.0.1", 0)
        await talk(aio, host="127.0.0.1", port=server.sockets[0].getsockname()[1])
        server.close()

    aio.run(main())
    assert calls


@pytest.mark.parametrize("happy_eyeballs_delay", [None, 1])
def test_guard_of_connect_refuses(aio, replaced, happy_eyeballs_delay):
    def guarded(self, address):
        raise PermissionError(errno.EPERM, "no network in tests")

    async def main():
        server = await aio.start_server(echo, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        replaced("connect", guarded)
        with pytest.raises(PermissionError, match="no network in tests"):
            await aio.open_connection("127.0.0.1", port, happy_eyeballs_delay=happy_eyeballs_delay)
        server.close()

    aio.run(main())


def test_guard_with_an_exception_of_its_own_refuses(aio, replaced):
    def guarded(self, address):
        raise Blocked

    async def main():
        replaced("connect", guarded)
        with pytest.raises(Blocked):
            await aio.open_connection("127.0.0.1", 9)
        with pytest.raises(Blocked):
            await aio.open_unix_connection("\0no such name")
        create = aio.get_running_loop().create_datagram_endpoint
        with pytest.raises(Blocked):
            await create(asyncio.DatagramProtocol, remote_addr=("127.0.0.1", 9))

    aio.run(main())


def test_method_may_be_replaced_and_restored(aio, monkeypatch):
    """A guard ends with its test; one installed while a connection is open is called from then on."""
    calls = []
    send, recv = socket.socket.send, socket.socket.recv

    def noting_send(self, *arguments):
        calls.append("send")
        return send(self, *arguments)

    def noting_recv(self, *arguments):
        calls.append("recv")
        return recv(self, *arguments)

    async def main():
        server = await aio.start_server(echo, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        reader, writer = await aio.open_connection("127.0.0.1", port)
        for guarded in (False, True, False, True):
            with monkeypatch.context() as patch:
                if guarded:
                    patch.setattr(socket.socket, "send", noting_send)
                    patch.setattr(socket.socket, "recv", noting_recv)
                calls.clear()
                writer.write(b"word")
                assert await reader.readexactly(4) == b"word"
                assert set(calls) == ({"send", "recv"} if guarded else set())
        writer.close()
        await writer.wait_closed()
        server.close()

    aio.run(main())


@pytest.mark.parametrize("failure", [ConnectionResetError(errno.ECONNRESET, "injected"), Blocked("injected")])
@pytest.mark.parametrize("method", ["send", "recv"])
def test_injected_failure_ends_the_connection(aio, replaced, method, failure):
    send = socket.socket.send

    def failing(self, *arguments):
        raise failure

    async def main():
        loop = aio.get_running_loop()
        loop.set_exception_handler(lambda loop, context: None)

        class Greeting(asyncio.Protocol):
            def connection_made(self, transport):
                self.transport = transport
                send(transport.get_extra_info("socket")._sock, b"hello")

        server = await loop.create_server(Greeting, "127.0.0.1", 0)
        lost = loop.create_future()

        class Protocol(asyncio.Protocol):
            def connection_lost(self, exc):
                lost.set_result(exc)

        transport, _ = await loop.create_connection(Protocol, *server.sockets[0].getsockname())
        replaced(method, failing)
        transport.write(b"word")
        assert await lost is failure
        server.close()

    aio.run(main())


@pytest.fixture
def class_replaced(monkeypatch):
    """Returns a function that makes it impossible to create sockets."""

    class Guarded(socket.socket):
        def __new__(cls, *args, **kwargs):
            raise Blocked

    return lambda: monkeypatch.setattr(socket, "socket", Guarded)


def test_replaced_socket_class_is_called(aio, class_replaced):
    async def main():
        loop = aio.get_running_loop()
        class_replaced()
        for call in (
            aio.open_connection("127.0.0.1", 9),
            aio.open_unix_connection("\0no such name"),
            aio.start_server(echo, "127.0.0.1", 0),
            aio.start_unix_server(echo, "\0no such name"),
            loop.create_datagram_endpoint(asyncio.DatagramProtocol, remote_addr=("127.0.0.1", 9)),
        ):
            with pytest.raises(Blocked):
                await call

    aio.run(main())


def test_replaced_socket_class_is_called_for_accepted_sockets(aio, class_replaced):
    """A server that was already there accepts no connections."""

    async def main():
        loop = aio.get_running_loop()
        reported = loop.create_future()
        loop.set_exception_handler(lambda loop, context: reported.done() or reported.set_result(context))
        server = await aio.start_server(echo, "127.0.0.1", 0)
        client = socket.create_connection(server.sockets[0].getsockname())
        class_replaced()
        assert isinstance((await reported)["exception"], Blocked)
        server.close()
        client.close()

    aio.run(main())


def test_replaced_getaddrinfo_is_called(aio, monkeypatch):
    async def main():
        server = await aio.start_server(echo, "127.0.0.1", 0)
        address = server.sockets[0].getsockname()
        found = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", address)
        monkeypatch.setattr(socket, "getaddrinfo", lambda *arguments, **keywords: [found])
        await talk(aio, host="name.example", port=9)
        server.close()

    aio.run(main())


@pytest.mark.parametrize("way", ["instance", "subclass"])
def test_sock_connect_of_the_loop_is_called(aio, monkeypatch, way):
    addresses = []

    async def refusing(sock, address):
        addresses.append(address)
        raise Blocked

    async def main():
        with pytest.raises(Blocked):
            await aio.open_connection("127.0.0.1", 9)
        with pytest.raises(Blocked):
            await aio.open_unix_connection("\0no such name")
        assert addresses == [("127.0.0.1", 9), "\0no such name"]

    base = aio.SelectorEventLoop if aio is asyncio else ferrio.EventLoop
    if way == "subclass":
        loop = type("Loop", (base,), {"sock_connect": lambda self, sock, address: refusing(sock, address)})()
    else:
        loop = base()
        monkeypatch.setattr(loop, "sock_connect", refusing)
    try:
        loop.run_until_complete(main())
    finally:
        loop.close()


class Shifting(socket.socket):
    """Adds one to each byte sent and subtracts one from each byte received, in every method that exists."""

    def send(self, data, *flags):
        return super().send(bytes((byte + 1) % 256 for byte in bytes(data)), *flags)

    def sendmsg(self, buffers, *more):
        return self.send(b"".join(buffers))

    def sendto(self, data, *more):
        return super().sendto(bytes((byte + 1) % 256 for byte in bytes(data)), *more)

    def recv(self, *arguments):
        return bytes((byte - 1) % 256 for byte in super().recv(*arguments))

    def recv_into(self, buffer, *arguments):
        count = super().recv_into(buffer, *arguments)
        view = memoryview(buffer)
        view[:count] = bytes((byte - 1) % 256 for byte in view[:count])
        return count

    def recvfrom(self, *arguments):
        data, address = super().recvfrom(*arguments)
        return bytes((byte - 1) % 256 for byte in data), address

    def shutdown(self, how):
        super().send(b"." if how == socket.SHUT_WR else b"?")
        super().shutdown(how)


@pytest.fixture
def shifting(pair):
    """Returns a socket of the subclass, and the plain one at the other end."""
    ours, theirs = pair
    with Shifting(fileno=ours.detach()) as sock:
        sock.setblocking(False)
        theirs.setblocking(True)
        yield sock, theirs


def test_subclass_methods_are_called_by_streams(aio, shifting):
    sock, other_end = shifting

    async def main():
        reader, writer = await aio.open_connection(sock=sock)
        writer.write(b"abc")
        writer.writelines([b"d", b"e"])
        await writer.drain()
        assert other_end.recv(100, socket.MSG_WAITALL | socket.MSG_DONTWAIT) == b"bcdef"
        other_end.send(b"bcd")
        assert await reader.readexactly(3) == b"abc"
        writer.write_eof()
        await asyncio.sleep(0)
        assert other_end.recv(100) == b"."
        writer.close()
        await writer.wait_closed()

    aio.run(main())


def test_subclass_methods_are_called_for_a_buffered_protocol(aio, shifting):
    sock, other_end = shifting

    async def main():
        loop = aio.get_running_loop()
        received = loop.create_future()

        class Protocol(asyncio.BufferedProtocol):
            buffer = bytearray(100)

            def get_buffer(self, sizehint):
                return self.buffer

            def buffer_updated(self, nbytes):
                received.set_result(bytes(self.buffer[:nbytes]))

        transport, _ = await loop.create_connection(Protocol, sock=sock)
        other_end.send(b"bcd")
        assert await received == b"abc"
        transport.abort()
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    aio.run(main())


def test_subclass_methods_are_called_for_queued_data(aio, shifting):
    """What doesn't fit into the socket waits, and then also goes through the methods."""
    sock, other_end = shifting
    data = bytes(range(200)) * 10_000

    async def main():
        _, writer = await aio.open_connection(sock=sock)
        writer.write(data[:1_000_000])
        writer.write(bytearray(data[1_000_000:]))

        def receive():
            received = bytearray()
            while len(received) < len(data):
                received += other_end.recv(1 << 20)
            return bytes(received)

        assert await aio.to_thread(receive) == bytes((byte + 1) % 256 for byte in data)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    aio.run(main())


def test_subclass_methods_are_called_by_the_sock_functions(aio, shifting):
    sock, other_end = shifting

    async def main():
        loop = aio.get_running_loop()
        await loop.sock_sendall(sock, b"abc")
        assert other_end.recv(100) == b"bcd"
        waiting = asyncio.ensure_future(loop.sock_recv(sock, 100))
        await asyncio.sleep(0)
        other_end.send(b"bcd")
        assert await waiting == b"abc"
        other_end.send(b"bcd")
        buffer = bytearray(10)
        assert await loop.sock_recv_into(sock, buffer) == 3
        assert buffer[:3] == b"abc"

    aio.run(main())


def test_subclass_methods_are_called_for_datagrams(aio):
    async def main():
        loop = aio.get_running_loop()
        received = loop.create_future()

        class Protocol(asyncio.DatagramProtocol):
            def datagram_received(self, data, addr):
                received.set_result((data, addr))

        with socket.socket(type=socket.SOCK_DGRAM) as other_end:
            other_end.bind(("127.0.0.1", 0))
            sock = Shifting(type=socket.SOCK_DGRAM)
            sock.bind(("127.0.0.1", 0))
            transport, _ = await loop.create_datagram_endpoint(Protocol, sock=sock)
            transport.sendto(b"abc", other_end.getsockname())
            assert other_end.recv(100) == b"bcd"
            other_end.sendto(b"bcd", sock.getsockname())
            assert await received == (b"abc", other_end.getsockname())
            transport.abort()
            await asyncio.sleep(0)

    aio.run(main())


def test_subclass_methods_are_called_under_tls(aio, shifting):
    """The peer shifts too, so that the handshake succeeds."""
    sock, other_end = shifting
    peer = Shifting(fileno=other_end.detach())

    async def main():
        loop = aio.get_running_loop()
        server = asyncio.ensure_future(loop.connect_accepted_socket(asyncio.Protocol, peer, ssl=tls.server_context()))
        reader, writer = await aio.open_connection(sock=sock, ssl=tls.client_context(), server_hostname="localhost")
        transport, _ = await server
        transport.write(b"word")
        assert await reader.readexactly(4) == b"word"
        writer.close()
        await writer.wait_closed()
        transport.abort()

    aio.run(main())


def test_subclass_accept_is_called(aio):
    accepted = []

    class Listening(socket.socket):
        def accept(self):
            made = super().accept()
            accepted.append(made[1])
            return made

    async def main():
        sock = Listening()
        sock.bind(("127.0.0.1", 0))
        server = await aio.start_server(echo, sock=sock)
        await talk(aio, host="127.0.0.1", port=sock.getsockname()[1])
        server.close()

    aio.run(main())
    assert len(accepted) == 1


@pytest.mark.parametrize("failure", [OSError(errno.EMFILE, "Too many open files"), Blocked("no more")])
def test_failing_accept_is_reported(aio, failure):
    class Listening(socket.socket):
        def accept(self):
            raise failure

    async def main():
        loop = aio.get_running_loop()
        reported = loop.create_future()
        loop.set_exception_handler(lambda loop, context: reported.done() or reported.set_result(context))
        sock = Listening()
        sock.bind(("127.0.0.1", 0))
        server = await aio.start_server(echo, sock=sock)
        with socket.create_connection(sock.getsockname()):
            assert (await reported)["exception"] is failure
        server.close()

    aio.run(main())


def test_overridden_close_is_called_once(aio, pair):
    """The program's own `close` is called, once."""
    closed = []

    class Kept(socket.socket):
        def close(self):
            closed.append(self)

    async def main():
        _, writer = await aio.open_connection(sock=Kept(fileno=pair[0].detach()))
        writer.close()
        await writer.wait_closed()

    aio.run(main())
    assert len(closed) == 1
    socket.socket.close(closed[0])


AUDITED = """
import sys, socket
import MODULE as aio

async def echo(reader, writer):
    writer.write(await reader.read(4))
    writer.close()

class Protocol(aio.DatagramProtocol):
    pass

async def main():
    loop = aio.get_running_loop()
    events = []
    def hook(name, arguments):
        if name.startswith(("socket.", "subprocess.")):
            events.append([name, *(repr(a) for a in arguments if not isinstance(a, socket.socket) and a != port)])
    port = None
    sys.addaudithook(hook)
    server = await aio.start_server(echo, "127.0.0.1", 0)
    address = server.sockets[0].getsockname()
    socket_pair = []
    reader, writer = await aio.open_connection(*address)
    writer.write(b"word")
    await reader.read()
    writer.close()
    await writer.wait_closed()
    endpoint, _ = await loop.create_datagram_endpoint(Protocol, local_addr=("127.0.0.1", 0))
    endpoint.sendto(b"data", ("127.0.0.1", 9))
    endpoint.close()
    endpoint, _ = await loop.create_datagram_endpoint(Protocol, remote_addr=("127.0.0.1", 9))
    endpoint.sendto(b"data")
    endpoint.close()
    await loop.getaddrinfo("localhost", 80)
    await loop.getaddrinfo("127.0.0.1", 80)
    await loop.getnameinfo(("127.0.0.1", 80))
    with socket.socket() as sock:
        sock.setblocking(False)
        await loop.sock_connect(sock, address)
    unix = await aio.start_unix_server(echo, "\\0ferrio audit")
    reader, writer = await aio.open_unix_connection("\\0ferrio audit")
    writer.close()
    process = await aio.create_subprocess_exec("/bin/true", stdin=aio.subprocess.DEVNULL)
    await process.wait()
    server.close()
    unix.close()
    import json
    print(json.dumps(events).replace(f", {address[1]})", ", PORT)"))

aio.run(main())
"""


def audited(module):
    program = AUDITED.replace("MODULE", module)
    return json.loads(run_program(program, options=("-W", "ignore")))


def test_audit_hooks_see_the_same_as_with_asyncio():
    """A process can't remove its audit hooks, so each runs in its own process."""
    expected, found = audited("asyncio"), audited("ferrio")
    assert sorted(found) == sorted(expected)
    assert [event for event in found if event[0] != "socket.__new__"] == [
        event for event in expected if event[0] != "socket.__new__"
    ]
    assert {event[0] for event in found} >= {
        "socket.__new__",
        "socket.bind",
        "socket.connect",
        "socket.getaddrinfo",
        "socket.getnameinfo",
        "socket.sendto",
        "subprocess.Popen",
    }
