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


def test_nothing_stays_replaced(clock):
    with testing.Network(), pytest.raises(RuntimeError, match="only one at a time"), testing.Network():
        pass
    assert ferrio.EventLoop.create_connection is ferrio._connect.Connecting.create_connection
    assert "getaddrinfo" not in vars(ferrio.EventLoop)
