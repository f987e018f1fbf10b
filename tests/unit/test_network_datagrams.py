"""Datagrams on the simulated network: what is lost, late, twice or refused."""

import asyncio
import errno
import socket

import pytest

from ferrio import testing


class Collecting(asyncio.DatagramProtocol):
    """Keeps all that comes."""

    def __init__(self):
        self.got, self.errors = [], []

    def datagram_received(self, data, address):
        self.got.append((data, address))

    def error_received(self, error):
        self.errors.append(error)


class Pair:
    """A sender on the host "client" and a receiver on port 53 of the host "web"."""

    def __init__(self, **conditions):
        self.net = testing.Network(**conditions)
        self.web, self.client = self.net.host("web"), self.net.host("client")

    def run(self, body):
        async def main():
            self.clock = testing.current_clock()
            self.receiver = await self.open(self.web, ("0.0.0.0", 53))
            self.sender = await self.open(self.client, remote_addr=("web", 53))
            await body()
            for transport, _ in (self.receiver, self.sender):
                transport.close()
            await asyncio.sleep(0)

        with testing.virtual_time(), self.net:
            asyncio.run(main())

    async def open(self, host, *arguments, **options):
        loop = asyncio.get_running_loop()
        return await host.run(loop.create_datagram_endpoint(Collecting, *arguments, **options))

    async def send(self, count):
        """Sends numbers; returns those that arrive within a minute."""
        for number in range(count):
            self.sender[0].sendto(number.to_bytes(2))
        await asyncio.sleep(60)
        got = [int.from_bytes(data) for data, _ in self.receiver[1].got]
        self.receiver[1].got.clear()
        return got


def test_datagrams_come_in_order_after_the_latency():
    async def body():
        pair.sender[0].sendto(b"late")
        await asyncio.sleep(0.2)
        assert not pair.receiver[1].got
        await asyncio.sleep(0.1)
        assert pair.receiver[1].got == [(b"late", ("10.0.0.2", 49152))]
        pair.receiver[0].sendto(b"answer", ("10.0.0.2", 49152))
        await asyncio.sleep(0.3)
        assert pair.sender[1].got == [(b"answer", ("10.0.0.1", 53))]
        pair.receiver[1].got.clear()
        assert await pair.send(500) == list(range(500))

    pair = Pair(latency=0.25)
    pair.run(body)


def test_loss_is_as_often_as_asked():
    async def body():
        got = await pair.send(2000)
        assert got == sorted(got) and 1300 < len(got) < 1500
        assert sum(event.what == "lost" for event in pair.net.events) == 2000 - len(got)

    pair = Pair(loss=0.3)
    pair.run(body)


def test_duplicates_and_other_orders():
    async def body():
        got = await pair.send(1000)
        assert 1150 < len(got) < 1250 and set(got) == set(range(1000)) and got == sorted(got)
        pair.net.link("client", "web", duplicate=0, reorder=0.1)
        got = await pair.send(1000)
        assert sorted(got) == list(range(1000))
        assert sum(number != place for place, number in enumerate(got)) > 50
        pair.net.link("client", "web", reorder=0, jitter=0.5)
        got = await pair.send(1000)
        assert sorted(got) == list(range(1000)) != got

    pair = Pair(duplicate=0.2)
    pair.run(body)


def test_bandwidth_delays_datagrams():
    async def body():
        began = pair.clock.time
        for _ in range(10):
            pair.sender[0].sendto(bytes(972))
        while len(pair.receiver[1].got) < 10:
            await asyncio.sleep(0.01)
        assert pair.clock.time - began == pytest.approx(10, abs=0.02)

    pair = Pair(bandwidth=1000)
    pair.run(body)


def test_partition_loses_datagrams():
    async def body():
        pair.sender[0].sendto(b"under way")
        pair.net.partition("web", "client")
        assert await pair.send(10) == []
        pair.net.heal()
        assert await pair.send(10) == list(range(10))
        pair.web.crash()
        assert await pair.send(10) == []
        pair.web.restart()
        assert await pair.send(10) == []
        assert [type(error) for error in pair.sender[1].errors] == [ConnectionRefusedError] * len(pair.sender[1].errors)

    pair = Pair(latency=0.1)
    pair.run(body)


def test_refusals_reach_connected_ends_only():
    async def body():
        loose = await pair.open(pair.client, ("0.0.0.0", 0))
        loose[0].sendto(b"x", ("10.0.0.1", 54))
        connected = await pair.open(pair.client, remote_addr=("web", 54))
        connected[0].sendto(b"x")
        await asyncio.sleep(1)
        assert loose[1].errors == []
        assert [type(error) for error in connected[1].errors] == [ConnectionRefusedError]
        with pytest.raises(OSError, match="there are") as caught:
            await pair.open(pair.client, remote_addr=("10.2.3.4", 54))
        assert caught.value.errno == errno.ENETUNREACH
        with pytest.raises(OSError) as caught:
            await pair.open(pair.web, ("web", 53))
        assert caught.value.errno == errno.EADDRINUSE
        for transport, _ in (loose, connected):
            transport.close()

    pair = Pair()
    pair.run(body)


def test_connected_ends_hear_only_their_peer():
    async def body():
        other = await pair.open(pair.web, ("web", 99))
        port = pair.sender[0].get_extra_info("sockname")[1]
        other[0].sendto(b"from elsewhere", ("10.0.0.2", port))
        pair.receiver[0].sendto(b"from the peer", ("10.0.0.2", port))
        await asyncio.sleep(1)
        assert [data for data, _ in pair.sender[1].got] == [b"from the peer"]
        other[0].close()

    pair = Pair()
    pair.run(body)


def test_broadcast_reaches_all_hosts():
    async def body():
        ends = [await pair.open(pair.net.host(name), ("0.0.0.0", 99)) for name in "abc"]
        sender = await pair.open(pair.client, ("0.0.0.0", 0), allow_broadcast=True)
        sender[0].sendto(b"hello", ("255.255.255.255", 99))
        shy = await pair.open(pair.client, family=socket.AF_INET)
        shy[0].sendto(b"hello", ("255.255.255.255", 99))
        await asyncio.sleep(1)
        assert [[data for data, _ in end[1].got] for end in ends] == [[b"hello"]] * 3
        assert [type(error) for error in shy[1].errors] == [PermissionError]
        for transport, _ in (*ends, sender, shy):
            transport.close()

    pair = Pair()
    pair.run(body)
