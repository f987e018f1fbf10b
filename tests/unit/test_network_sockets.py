"""Sockets of a simulated network: each test runs on real sockets and on simulated ones, and sees the same."""

import asyncio
import contextlib
import errno
import gc
import os
import select
import socket
import socket as module_with_a_name
import ssl
import warnings
import weakref

import pytest

import ferrio
from ferrio import testing

REAL_CLASS = socket.socket


@pytest.fixture(params=["real", "simulated"])
def network(request, monkeypatch):
    """The network that the test runs on: the loopback interface, or a simulated one. All loops are ferrio's."""
    if request.param == "real":
        monkeypatch.setattr(asyncio.events, "new_event_loop", ferrio.new_event_loop)
        yield None
        return
    with testing.virtual_time(), testing.Network(seed=3, latency=0.01, segment="random") as net:
        yield net


def run(main):
    with asyncio.Runner() as runner:
        return runner.run(main(runner.get_loop()))


@contextlib.contextmanager
def made(*sockets):
    for sock in sockets:
        sock.setblocking(False)
    try:
        yield sockets if len(sockets) > 1 else sockets[0]
    finally:
        for sock in sockets:
            sock.close()


async def pair(loop):
    """Returns a connection's two sockets."""
    with made(socket.create_server(("127.0.0.1", 0))) as listener:
        client = socket.socket()
        client.setblocking(False)
        accepting = asyncio.ensure_future(loop.sock_accept(listener))
        await loop.sock_connect(client, listener.getsockname())
        served, address = await accepting
        assert address == client.getsockname() == served.getpeername()
        assert client.getpeername() == served.getsockname() == listener.getsockname()
    return client, served


async def received(loop, sock, size):
    data = b""
    while len(data) < size:
        data += await loop.sock_recv(sock, size - len(data))
    return data


def test_sock_calls(network):
    async def main(loop):
        client, served = await pair(loop)
        with made(client, served):
            assert not served.getblocking() and served.gettimeout() == 0
            await loop.sock_sendall(client, b"hello")
            assert await received(loop, served, 5) == b"hello"
            data = os.urandom(3_000_000)
            sending = asyncio.ensure_future(loop.sock_sendall(client, data))
            assert await received(loop, served, len(data)) == data
            await sending
            room = bytearray(10)
            await loop.sock_sendall(served, b"abc")
            count = await loop.sock_recv_into(client, room)
            while count < 3:
                count += await loop.sock_recv_into(client, memoryview(room)[count:])
            assert room[:3] == b"abc"
            client.shutdown(socket.SHUT_WR)
            assert await loop.sock_recv(served, 10) == b""
            with pytest.raises(BrokenPipeError):
                await loop.sock_sendall(client, b"more")
            await loop.sock_sendall(served, b"still")
            assert await received(loop, client, 5) == b"still"

    run(main)


def test_direct_calls_of_nonblocking_sockets(network):
    async def main(loop):
        client, served = await pair(loop)
        with made(client, served):
            with pytest.raises(BlockingIOError):
                served.recv(1)
            assert client.send(b"xy") == 2
            readable = loop.create_future()
            loop.add_reader(served, lambda: readable.done() or readable.set_result(None))
            await readable
            assert loop.remove_reader(served.fileno()) and not loop.remove_reader(served)
            assert served.recv(1) == b"x"
            served.close()
            assert served.fileno() == -1
            with pytest.raises(OSError) as outcome:
                served.recv(1)
            assert outcome.value.errno == errno.EBADF

    run(main)


def test_a_connection_attempt_by_hand(network):
    async def main(loop):
        with made(socket.create_server(("127.0.0.1", 0)), socket.socket()) as (listener, client):
            assert client.connect_ex(listener.getsockname()) in (0, errno.EINPROGRESS)
            writable = loop.create_future()
            loop.add_writer(client, lambda: writable.done() or writable.set_result(None))
            await writable
            loop.remove_writer(client)
            assert client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
            served, _ = await loop.sock_accept(listener)
            served.close()
            assert await loop.sock_recv(client, 1) == b""

    run(main)


def test_nobody_listens(network):
    async def main(loop):
        with made(socket.socket(), socket.socket()) as (unused, client):
            unused.bind(("127.0.0.1", 0))
            with pytest.raises(ConnectionRefusedError, match="Connect call failed"):
                await loop.sock_connect(client, unused.getsockname())
            with pytest.raises(OSError) as outcome:
                client.bind(unused.getsockname())
            assert outcome.value.errno in (errno.EADDRINUSE, errno.EINVAL)

    run(main)


def test_connecting_goes_on_after_a_cancelled_call(network):
    async def main(loop):
        with made(socket.create_server(("127.0.0.1", 0)), socket.socket()) as (listener, client):
            connecting = asyncio.ensure_future(loop.sock_connect(client, listener.getsockname()))
            await asyncio.sleep(0)
            connecting.cancel()
            await loop.sock_connect(client, listener.getsockname())
            served, _ = await loop.sock_accept(listener)
            assert client.connect_ex(listener.getsockname()) == errno.EISCONN
            served.close()

    run(main)


def test_ports_and_options_of_servers(network):
    async def main(loop):
        option = socket.SOL_SOCKET, socket.SO_REUSEPORT
        server = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0)
        assert server.sockets[0].getsockopt(*option) == 0
        address = server.sockets[0].getsockname()
        with pytest.raises(OSError, match="error while attempting to bind on address") as outcome:
            await loop.create_connection(asyncio.Protocol, *address, local_addr=address)
        assert outcome.value.errno == errno.EADDRINUSE
        other = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0, reuse_port=True)
        assert other.sockets[0].getsockopt(*option) == 1
        assert other.sockets[0].getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR) == 1
        for each in (server, other):
            each.close()
            await each.wait_closed()

    run(main)


def test_streams_over_given_sockets(network):
    async def main(loop):
        async def echo(reader, writer):
            writer.write(await reader.readline())
            writer.close()

        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("localhost", 0))
        server = await asyncio.start_server(echo, sock=listener)
        address = server.sockets[0].getsockname()
        client = socket.socket()
        client.setblocking(False)
        await loop.sock_connect(client, address)
        reader, writer = await asyncio.open_connection(sock=client)
        assert writer.get_extra_info("socket").fileno() == client.fileno()
        with pytest.raises(RuntimeError, match=r"File descriptor .*is used by transport"):
            await loop.sock_recv(client, 1)
        writer.write(b"line\n")
        assert await reader.read() == b"line\n"
        writer.close()
        await writer.wait_closed()
        assert client.fileno() == -1
        server.close()
        await server.wait_closed()
        assert listener.fileno() == -1

    run(main)


def test_accepted_sockets(network):
    async def main(loop):
        client, served = await pair(loop)
        reader = asyncio.StreamReader()
        transport, _ = await loop.connect_accepted_socket(lambda: asyncio.StreamReaderProtocol(reader), served)
        with made(client):
            await loop.sock_sendall(client, b"abc\n")
            assert await reader.readline() == b"abc\n"
            transport.close()
            assert await loop.sock_recv(client, 1) == b""

    run(main)


def test_datagrams(network):
    async def main(loop):
        kind = socket.SOCK_DGRAM
        with made(socket.socket(type=kind), socket.socket(type=kind)) as (one, other):
            one.bind(("127.0.0.1", 0))
            await loop.sock_sendto(other, b"data", one.getsockname())
            data, source = await loop.sock_recvfrom(one, 100)
            assert (data, source[1]) == (b"data", other.getsockname()[1])
            other.connect(one.getsockname())
            await loop.sock_sendto(one, b"back", source)
            room = bytearray(10)
            assert await loop.sock_recvfrom_into(other, room) == (4, one.getsockname())
            arrived = loop.create_future()

            class Receives(asyncio.DatagramProtocol):
                def datagram_received(self, data, address):
                    arrived.set_result((data, address))

            transport, _ = await loop.create_datagram_endpoint(Receives, sock=one)
            other.send(b"third")
            assert await arrived == (b"third", other.getsockname())
            transport.close()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert one.fileno() == -1

    run(main)


def test_files_are_sent(network, tmp_path):
    data = os.urandom(700_000)
    (tmp_path / "file").write_bytes(data)

    async def main(loop):
        client, served = await pair(loop)
        with made(client, served), open(tmp_path / "file", "rb") as file:
            sending = asyncio.ensure_future(loop.sock_sendfile(client, file, 10, 600_000))
            assert await received(loop, served, 600_000) == data[10:600_010]
            assert await sending == 600_000 and file.tell() == 600_010
            _, writer = await asyncio.open_connection(sock=client)
            sending = asyncio.ensure_future(loop.sendfile(writer.transport, file, 0))
            assert await received(loop, served, len(data)) == data
            assert await sending == len(data)
            writer.close()
            await writer.wait_closed()

    run(main)


def test_numbers_and_objects(network):
    async def main(loop):
        client, served = await pair(loop)
        copy = client.dup()
        client.close()
        assert copy.fileno() != -1 and client.fileno() == -1
        number = copy.detach()
        again = socket.socket(fileno=number)
        assert again.fileno() == number and again.type == socket.SOCK_STREAM and again.family == socket.AF_INET
        with made(again, served):
            await loop.sock_sendall(again, b"x")
            assert await loop.sock_recv(served, 1) == b"x"
            again.close()
            assert await loop.sock_recv(served, 1) == b""

    run(main)


def test_what_a_program_leaves_is_collected(network):
    async def main(loop):
        server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
        _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        return weakref.ref(server), weakref.ref(writer)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        left = run(main)
        if network is not None:
            asyncio.run(network_again())
        gc.collect()
    assert [each() for each in left] == [None, None]


async def network_again():
    """Lets a new loop use the network, so that it forgets the loop before."""
    with socket.socket() as sock:
        sock.setblocking(False)
        with contextlib.suppress(OSError):
            await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", 9))


def test_a_cancelled_call_takes_nothing(network):
    async def main(loop):
        client, served = await pair(loop)
        with made(client, served):
            waiting = asyncio.ensure_future(loop.sock_recv(served, 10))
            await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.wait([waiting])
            await loop.sock_sendall(client, b"x")
            assert await loop.sock_recv(served, 10) == b"x"

    run(main)


def test_options(network):
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, True)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE) == socket.SOCK_STREAM
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 0
        assert sock.getsockname() == ("0.0.0.0", 0)
        with pytest.raises(OSError) as outcome:
            sock.getpeername()
        assert outcome.value.errno == errno.ENOTCONN
        sock.listen()
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 1
        with pytest.raises(TypeError):
            sock.bind("127.0.0.1")
        sock.settimeout(5)
        assert (sock.gettimeout(), sock.timeout, sock.getblocking()) == (5, 5, True)


def polled(sock):
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))


def test_whether_something_has_come(network):
    """Libraries ask this of idle connections before they use one again."""

    async def main(loop):
        client, served = await pair(loop)
        _, writer = await asyncio.open_connection(sock=client)
        sock = writer.get_extra_info("socket")
        with made(served):
            assert not polled(sock) and not polled(served)
            assert select.select([sock, served], [sock, served], [], 0) == ([], [sock, served], [])
            writer.write(b"x")
            await asyncio.sleep(0.1)
            assert polled(served) and select.select([sock, served], [], [], None) == ([served], [], [])
            assert served.recv(1) == b"x" and not polled(served)
            writer.close()
            await writer.wait_closed()
            await asyncio.sleep(0.1)
            assert polled(served)

    run(main)


def test_transports_have_sockets(network):
    async def main(loop):
        server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
        listener = server.sockets[0]
        reader, writer = await asyncio.open_connection(*listener.getsockname())
        sock = writer.get_extra_info("socket")
        assert sock.fileno() not in (-1, listener.fileno()) and sock.proto == socket.IPPROTO_TCP
        assert sock.getpeername() == listener.getsockname()
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
        assert listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 1
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()
        assert sock.fileno() == -1
        server.close()
        await server.wait_closed()
        assert listener.fileno() == -1

    run(main)


def test_every_way_to_name_the_class(network):
    for sock in (socket.socket(), REAL_CLASS(), module_with_a_name.socket(socket.AF_INET, socket.SOCK_STREAM, 0)):
        with sock:
            assert isinstance(sock, socket.socket)
            assert (sock.fileno() >= 1 << 30) is (network is not None)
    one, other = socket.socketpair()
    with one, other, socket.socket(socket.AF_UNIX) as unix:
        assert {type(one), type(other), type(unix)} == {socket.socket}


def test_what_would_wait_says_what_to_do():
    with testing.Network() as net, socket.create_server(("127.0.0.1", 0)) as listener:
        with pytest.raises(RuntimeError, match=r"await loop.sock_accept\(\)"):
            listener.accept()
        with socket.socket() as sock, pytest.raises(RuntimeError, match=r"await loop.sock_connect\(\)"):
            sock.connect(listener.getsockname())
        net.host("db", "10.9.9.9")
        assert socket.gethostbyname("db") == socket.getaddrinfo("db", 1)[0][4][0] == "10.9.9.9"
        with pytest.raises(OSError, match="IPv4"):
            socket.socket(socket.AF_INET6)
        with pytest.raises(RuntimeError, match=r"loop.add_reader\(\)"):
            select.select([listener], [], [], 1)
        with pytest.raises(TypeError, match=r"create_connection\(ssl=...\)"):
            ssl.create_default_context().wrap_socket(listener, server_hostname="db")


def test_sockets_may_be_closed_after_the_loop(network):
    """As fixtures do."""

    async def main(loop):
        client, served = await pair(loop)
        served.send(b"unread")
        await asyncio.sleep(0.1)
        return client, served

    client, served = run(main)
    client.close()
    served.close()


def test_a_forgotten_socket_warns():
    with testing.Network():
        with pytest.warns(ResourceWarning, match="unclosed"):
            socket.socket()
        assert socket.has_ipv6 is False


def test_nothing_stays_replaced():
    places = (socket, socket.socket, select, ferrio.EventLoop)
    before = [dict(vars(place)) for place in places]
    with testing.Network():
        assert all(dict(vars(place)) != names for place, names in zip(places, before, strict=True))
    assert [dict(vars(place)) for place in places] == before
    with socket.socket() as sock:
        assert type(sock) is socket.socket
