"""`create_server`: hosts, ports, options of the listening sockets, refused arguments; no socket is left open."""

import asyncio
import errno
import socket

import pytest
from tests.unit.connections import Echo, Noting, echoed, listening, open_sockets
from tests.unit.implementations import since

import ferrio

pytestmark = pytest.mark.usefixtures("settled")


def option(sock, level, name):
    """Returns a socket option as a truth value."""
    return bool(sock.getsockopt(level, name))


async def served_by(server, address):
    """Whether something echoes at `address`."""
    transport, protocol = await server.get_loop().create_connection(Noting, *address[:2])
    answer = await echoed(transport, protocol)
    await protocol.lost
    return answer == b"some words"


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", ["127.0.0.1", "::1"], ("127.0.0.1", "127.0.0.1"), None, ""])
def test_hosts(loop, run, host):
    async def main():
        server = await loop.create_server(Echo, host, 0)
        addresses = [sock.getsockname() for sock in server.sockets]
        if isinstance(host, (list, tuple)):
            assert {address[0] for address in addresses} == set(host)
            assert len(addresses) == len(set(host))
        for address in addresses:
            assert await served_by(server, address)
        server.close()
        await server.wait_closed()

    run(main())


def test_options_of_the_sockets(loop, run):
    async def main():
        server = await loop.create_server(Echo, ["127.0.0.1", "::1"], 0)
        for sock in server.sockets:
            assert option(sock, socket.SOL_SOCKET, socket.SO_REUSEADDR)
            assert not option(sock, socket.SOL_SOCKET, socket.SO_REUSEPORT)
            assert not option(sock, socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            assert sock.gettimeout() == 0
            if sock.family == socket.AF_INET6:
                assert option(sock, socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
        server.close()
        server = await loop.create_server(Echo, "127.0.0.1", 0, reuse_address=False, reuse_port=True)
        first = server.sockets[0]
        assert not option(first, socket.SOL_SOCKET, socket.SO_REUSEADDR)
        other = await loop.create_server(Echo, *first.getsockname(), reuse_port=True)
        other.close()
        server.close()

    run(main())


@since(3, 13, 0)
def test_keep_alive(loop, run):
    async def main():
        server = await loop.create_server(Echo, "127.0.0.1", 0, keep_alive=True)
        assert option(server.sockets[0], socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        server.close()

    run(main())


def test_socket_of_the_program_is_used(loop, run):
    async def main():
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            server = await loop.create_server(Echo, sock=sock)
            assert sock.gettimeout() == 0
            assert await served_by(server, sock.getsockname())
            server.close()
            assert sock.fileno() == -1

    run(main())


def test_server_can_start_later(loop, run):
    async def main():
        server = await loop.create_server(Echo, "127.0.0.1", 0, start_serving=False)
        address = server.sockets[0].getsockname()
        assert not server.is_serving()
        with pytest.raises(ConnectionRefusedError):
            await loop.create_connection(Noting, *address)
        await server.start_serving()
        await server.start_serving()
        assert server.is_serving()
        assert await served_by(server, address)
        server.close()

    run(main())


def test_address_in_use(loop, run):
    async def main():
        before = open_sockets()
        with listening() as listener, listening(socket.AF_INET6, "::1") as other:
            address = listener.getsockname()
            with pytest.raises(OSError, match="error while attempting to bind on address") as caught:
                await loop.create_server(Echo, *address)
            assert caught.value.errno == errno.EADDRINUSE
            assert str(address) in str(caught.value)
            with pytest.raises(OSError, match="error while attempting to bind on address"):
                await loop.create_server(Echo, ["::1", "127.0.0.1"], other.getsockname()[1])
        assert open_sockets() <= before

    run(main())


def test_foreign_address_is_refused(loop, run):
    async def main():
        before = open_sockets()
        with pytest.raises(OSError):
            await loop.create_server(Echo, "192.0.2.1", 0)
        assert open_sockets() <= before

    run(main())


@pytest.mark.parametrize("aio", [ferrio])  # asyncio leaves the sockets to the collector
def test_failing_listen_closes_the_sockets(loop, run):
    async def main():
        before = open_sockets()
        with listening() as listener, socket.socket() as connected:
            connected.connect(listener.getsockname())
            with pytest.raises(OSError):
                await loop.create_server(Echo, sock=connected)
            assert connected.fileno() == -1
        with pytest.raises(TypeError):
            await loop.create_server(Echo, "127.0.0.1", 0, backlog="many")
        assert open_sockets() <= before
        task = loop.create_task(loop.create_server(Echo, "127.0.0.1", 0))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert open_sockets() <= before

    run(main())


def bad_calls():
    """Returns refused calls of create_server: arguments, exception, message."""
    address = ("127.0.0.1", 0)
    datagram = {"sock": lambda: socket.socket(type=socket.SOCK_DGRAM)}
    return [
        ((), {}, ValueError, "Neither host/port nor sock were specified"),
        (address, {"sock": socket.socket}, ValueError, "host/port and sock can not be specified at the same time"),
        ((), datagram, ValueError, "A Stream Socket was expected, got <socket.socket"),
        (address, {"ssl": True}, TypeError, "ssl argument must be an SSLContext or None"),
        (address, {"ssl": False}, TypeError, "ssl argument must be an SSLContext or None"),
        (address, {"ssl_handshake_timeout": 1}, ValueError, "ssl_handshake_timeout is only meaningful with ssl"),
        (address, {"ssl_shutdown_timeout": 1}, ValueError, "ssl_shutdown_timeout is only meaningful with ssl"),
        (address, {"unknown": 1}, TypeError, "unexpected keyword argument 'unknown'"),
        (("127.0.0.1", 70000), {}, OverflowError, "port must be 0-65535"),
        (("127.0.0.1", -1), {}, OverflowError, "port must be 0-65535"),
        ((1.5, 0), {}, Exception, ""),
        (address, {"family": socket.AF_INET6}, OSError, ""),
    ]


@pytest.mark.parametrize(("arguments", "keywords", "exception", "text"), bad_calls())
def test_refused(loop, run, arguments, keywords, exception, text):
    keywords = {name: value() if name == "sock" else value for name, value in keywords.items()}

    async def main():
        before = open_sockets()
        with pytest.raises(exception) as caught:
            await loop.create_server(Echo, *arguments, **keywords)
        assert text in str(caught.value)
        await loop.shutdown_default_executor()
        return before

    before = run(main())
    if "sock" in keywords:
        keywords["sock"].close()
    elif loop.__class__.__module__.startswith("ferrio"):
        assert open_sockets() <= before
