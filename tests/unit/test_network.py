"""`ferrio.testing.Network`: hosts, names and links, the way of bytes through them, and determinism."""

import asyncio
import errno
import socket

import pytest

import ferrio
from ferrio import testing


@pytest.fixture
def clock():
    with testing.virtual_time() as clock:
        yield clock


async def echo(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    finally:
        writer.close()


async def shout(host, port, *lines):
    """Sends lines and returns the answers."""
    reader, writer = await asyncio.open_connection(host, port)
    answers = []
    for line in lines:
        writer.write(line)
        answers.append(await reader.readexactly(len(line)))
    writer.close()
    await writer.wait_closed()
    return answers


def test_streams_between_hosts_take_the_latency(clock):
    async def main():
        server = await web.run(asyncio.start_server(echo, None, 80))
        began = clock.time
        assert await client.run(shout("web", 80, b"one", b"two")) == [b"one", b"two"]
        assert clock.time - began == pytest.approx(3 * 0.2, abs=1e-6)
        server.close()
        await server.wait_closed()
        assert [connection.client for connection in net.connections] == [client]  # its end is on the way
        await asyncio.sleep(0.2)
        assert not net.connections

    with testing.Network() as net:
        web, client = net.host("web"), net.host("client")
        net.link(web, client, latency=0.1)
        asyncio.run(main())


def test_names_and_addresses(clock):
    async def main():
        loop = asyncio.get_running_loop()
        server = await loop.create_server(asyncio.Protocol, "db", 0)
        assert server.sockets[0].getsockname() == ("10.0.0.2", 49152)
        [info] = await loop.getaddrinfo("web", 80, type=socket.SOCK_STREAM)
        assert info == (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("10.0.0.1", 80))
        assert (await loop.getaddrinfo("localhost", "http"))[0][4] == ("127.0.0.1", 80)
        assert await loop.getnameinfo(("10.0.0.1", 443)) == ("web", "https")
        with pytest.raises(socket.gaierror, match=r"no host 'wbe'; there are localhost .*web \(10.0.0.1\)"):
            await asyncio.open_connection("wbe", 80)
        with pytest.raises(OSError, match=r"no host has the address 10\.1\.2\.3; there are") as caught:
            await asyncio.open_connection("10.1.2.3", 80)
        assert caught.value.errno == errno.ENETUNREACH
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("web", 80)
        with pytest.raises(OSError, match="in use"):
            await loop.create_server(asyncio.Protocol, "0.0.0.0", 49152)
        server.close()

    with testing.Network() as net:
        net.host("web")
        db = net.host("db")
        asyncio.run(db.run(main()))


def test_code_runs_on_its_host(clock):
    async def forward(reader, writer):
        """What a server opens comes from its host."""
        seen.append((net.current_host.name, writer.get_extra_info("peername")[0]))
        answers = await shout("db", 80, await reader.readexactly(3))
        writer.write(answers[0])
        writer.close()

    async def answer(reader, writer):
        seen.append((net.current_host.name, writer.get_extra_info("peername")[0]))
        await echo(reader, writer)

    class Noting(asyncio.Protocol):
        def connection_made(self, transport):
            self.transport = transport

        def data_received(self, data):
            seen.append(net.current_host.name)
            self.transport.close()

        def connection_lost(self, error):
            seen.append(net.current_host.name)

    async def main():
        loop = asyncio.get_running_loop()
        servers = [await web.run(asyncio.start_server(forward, None, 80))]
        with db:
            servers.append(await asyncio.start_server(answer, "127.0.0.1", 81))
            servers.append(await asyncio.start_server(answer, None, 80))
            with web:
                assert net.current_host is web
                servers.append(await loop.create_server(Noting, "127.0.0.1", 81))
            assert net.current_host is db
            # 127.0.0.1 is each host's own.
            assert await shout("127.0.0.1", 81, b"own") == [b"own"]
        assert net.current_host.name == "localhost"
        assert await client.run(shout("web", 80, b"abc")) == [b"abc"]
        transport, _ = await web.run(loop.create_connection(asyncio.Protocol, "localhost", 81))
        transport.write(b"x")
        await asyncio.sleep(1)
        for server in servers:
            server.close()

    seen = []
    with testing.Network() as net:
        web, db, client = (net.host(name) for name in ("web", "db", "client"))
        asyncio.run(main())
    assert seen == [("db", "127.0.0.1"), ("web", client.address), ("db", web.address), "web", "web"]


def test_several_servers_share_a_port(clock):
    async def main():
        loop = asyncio.get_running_loop()
        taken = [0, 0]

        def server(number):
            def made():
                taken[number] += 1
                return asyncio.Protocol()

            return loop.create_server(made, "localhost", 80, reuse_port=True)

        servers = [await server(0), await server(1)]
        for _ in range(100):
            transport, _ = await loop.create_connection(asyncio.Protocol, "localhost", 80)
            transport.close()
        await asyncio.sleep(1)
        assert sum(taken) == 100 and min(taken) > 30
        for each in servers:
            each.close_clients()
            each.close()
            await each.wait_closed()

    with testing.Network():
        asyncio.run(main())


def test_nothing_stays_replaced(clock):
    with testing.Network(), pytest.raises(RuntimeError, match="only one at a time"), testing.Network():
        pass
    assert ferrio.EventLoop.create_connection is ferrio._connect.Connecting.create_connection
    assert "getaddrinfo" not in vars(ferrio.EventLoop)
    assert asyncio.BaseEventLoop.create_connection.__qualname__ == "BaseEventLoop.create_connection"
    assert not hasattr(asyncio.BaseEventLoop.create_connection, "__wrapped__")


def test_wrong_arguments_of_a_network_are_named():
    for options in ({"seed": None}, {"seed": [1]}, {"window": "x"}, {"window": 1.5}):
        with pytest.raises(TypeError, match=next(iter(options))):
            testing.Network(**options)
    net = testing.Network()
    with pytest.raises(TypeError, match="must be a text, not 5"):
        net.host(5)
    with pytest.raises(ValueError, match="empty"):
        net.host("")
