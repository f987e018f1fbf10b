"""The simulated network by a seed: the same run again, other orders under `explore`, and faults that these find."""

import asyncio
import os
import re
import subprocess
import sys
import textwrap

import pytest
from tests.unit.test_network import echo, shout

from ferrio import testing

#: In how many runs a planted fault must be found.
RUNS = 100


async def busy():
    """A bit of everything; each chance is taken."""
    hosts = [testing_network().host(name) for name in ("a", "b", "c")]
    net = testing_network()
    servers = [await host.run(asyncio.start_server(echo, None, 80)) for host in hosts]
    net.link("a", "b", loss=0.2, latency=0.01)
    net.link("b", "c", bandwidth=10_000)

    async def talk(target, size):
        return await shout(target, 80, *(bytes([number]) * size for number in range(5)))

    async with asyncio.TaskGroup() as group:
        for host in hosts:
            for target in "abc":
                group.create_task(host.run(talk(target, 1000)))
        await asyncio.sleep(0.5)
        net.partition("a", "c")
        await asyncio.sleep(3)
        net.heal()
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        asyncio.DatagramProtocol, remote_addr=("a", 53)
    )
    for _ in range(50):
        transport.sendto(b"x")
    await asyncio.sleep(1)
    transport.close()
    for server in servers:
        server.close()
    await asyncio.sleep(1)


def testing_network():
    from ferrio.testing.network.network import active

    return active()


def events_of(program, **options):
    with testing.virtual_time(), testing.Network(**options) as net:
        asyncio.run(program())
    return net.events


def test_the_same_seed_gives_the_same_events():
    options = {"latency": 0.05, "jitter": 0.05, "segment": "random", "reorder": 0.2, "duplicate": 0.1, "loss": 0.05}
    first = events_of(busy, seed=1, **options)
    assert len(first) > 300 and {"data", "end", "datagram", "lost", "cut"} <= {event.what for event in first}
    assert first == events_of(busy, seed=1, **options)
    assert first != events_of(busy, seed=2, **options)


def test_other_processes_see_the_same_events():
    source = f"""
        import sys; sys.path.insert(0, {str(sys.path[0])!r})
        from tests.unit.test_network_order import busy, events_of
        for event in events_of(busy, seed="x", loss=0.1, segment="random", jitter=0.1): print(*event)
    """

    def say(seed):
        command = [sys.executable, "-c", textwrap.dedent(source)]
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        return subprocess.run(command, check=True, capture_output=True, env=environment).stdout

    assert len(first := say("1")) > 10_000 and first == say("2")


def in_network(body, **options):
    """A program that makes its own network, as `explore` needs it."""

    async def program():
        with testing.Network(**options) as net:
            await body(net)

    return program


def test_explore_keeps_the_order_within_connections():
    async def body(net):
        async def handle(reader, writer):
            received.append(await reader.read())
            writer.close()

        received = []
        sent = b"".join(b"%d," % number for number in range(40))
        async with await asyncio.start_server(handle, None, 80):
            reader, writer = await asyncio.open_connection("localhost", 80)
            for number in range(40):
                writer.write(b"%d," % number)
                if number % 7 == 0:
                    await writer.drain()
            writer.write_eof()
            assert await reader.read() == b""
            await end(writer)
        assert received == [sent]

    for segment in (None, 3, "random"):
        assert testing.explore(in_network(body, segment=segment), runs=30).orders > 1


async def two_clients(net):
    """Believes that who connects first is served first."""

    async def handle(reader, writer):
        order.append(await reader.readline())
        writer.close()

    async def send(name):
        _, writer = await asyncio.open_connection("localhost", 80)
        writer.write(name)
        await writer.drain()
        await end(writer)

    order = []
    async with await asyncio.start_server(handle, None, 80), asyncio.TaskGroup() as group:
        group.create_task(send(b"first\n"))
        group.create_task(send(b"second\n"))
    await asyncio.sleep(1)
    assert order == [b"first\n", b"second\n"]


def test_explore_varies_the_order_of_deliveries():
    program = in_network(two_clients)
    testing.replay(program, "z0")
    with pytest.raises(AssertionError) as caught:
        testing.explore(program, runs=RUNS)
    schedule = re.search(r"replay\(\.\.\., '(.*)'\)", caught.value.__notes__[0])[1]
    for _ in range(100):
        with pytest.raises(AssertionError):
            testing.replay(program, schedule)


# ---- planted faults


async def end(writer):
    writer.close()
    try:
        await writer.wait_closed()
    except ConnectionError:
        pass


async def split_messages(net):
    """The server takes each `data_received` for one whole message."""

    class Adding(asyncio.Protocol):
        def connection_made(self, transport):
            self.transport = transport

        def data_received(self, data):
            numbers = [int(number) for number in data.decode().split("+")]
            self.transport.write(b"%d\n" % sum(numbers))

    async with await asyncio.get_running_loop().create_server(Adding, None, 80):
        reader, writer = await asyncio.open_connection("localhost", 80)
        try:
            for question, answer in ((b"12+30", b"42\n"), (b"1+2+3", b"6\n")):
                writer.write(question)
                assert await reader.readline() == answer
        finally:
            await end(writer)
            await asyncio.sleep(1)


def outcome(body, **options):
    """What a program raises on a network, and what has happened there."""
    problems = []

    async def main():
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: problems.append(context["exception"]))
        await body(net)

    with testing.virtual_time(), testing.Network(**options) as net:
        try:
            asyncio.run(main())
        except (AssertionError, ValueError) as error:
            problems.append(error)
    return [repr(problem) for problem in problems], net.events


def test_a_split_message_is_found_and_replayed():
    assert outcome(split_messages)[0] == []
    failing = [seed for seed in range(10) if outcome(split_messages, seed=seed, segment="random")[0]]
    assert failing
    first = outcome(split_messages, seed=failing[0], segment="random")
    for _ in range(100):
        assert outcome(split_messages, seed=failing[0], segment="random") == first


def test_every_place_of_a_message_is_split():
    async def body(net):
        async def handle(reader, writer):
            pieces.append(len(await reader.read(100)))
            writer.close()

        pieces = net.pieces = []
        async with await asyncio.start_server(handle, None, 80):
            for _ in range(100):
                _, writer = await asyncio.open_connection("localhost", 80)
                writer.write(b"0123456789")
                await end(writer)
                await asyncio.sleep(1)

    async def main():
        await body(net)

    with testing.virtual_time(), testing.Network(segment="random") as net:
        asyncio.run(main())
    assert set(net.pieces) == set(range(1, 11))


async def reconnect(wait_before, count=10, outage=10):
    """Clients that come back after the server's restart; returns how often they connect in the worst second."""
    net = testing_network()
    web = net.host("web")
    clients = [net.host(f"client {number}") for number in range(count)]

    async def stay_connected():
        attempt = 0
        while True:
            try:
                reader, writer = await asyncio.open_connection("web", 80)
                attempt = 0
                try:
                    await reader.read(1)
                finally:
                    writer.close()
            except OSError:
                pass
            await asyncio.sleep(wait_before(attempt))
            attempt += 1

    async def hold(reader, writer):
        try:
            await reader.read()
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def serve():
        async with await asyncio.start_server(hold, None, 80) as server:
            await server.serve_forever()

    serving = web.create_task(serve())
    await asyncio.sleep(0)
    tasks = [client.create_task(stay_connected()) for client in clients]
    await asyncio.sleep(1)
    serving.cancel()  # the program ends, and its host refuses connections
    for client in clients:
        net.reset(client, web)
    await asyncio.sleep(outage)
    serving = web.create_task(serve())
    await asyncio.sleep(60)
    standing = len(net.connections)
    for task in (*tasks, serving):
        task.cancel()
    await asyncio.gather(*tasks, serving, return_exceptions=True)
    await asyncio.sleep(1)
    seconds = [int(event.time) for event in net.events if event.what == "connect"]
    return max(map(seconds.count, set(seconds))), standing


@pytest.mark.parametrize(
    ("wait_before", "is_storm"), [(lambda attempt: 0.01, True), (lambda attempt: min(30, 2**attempt), False)]
)
def test_a_reconnect_storm_is_counted(wait_before, is_storm):
    with testing.virtual_time(), testing.Network(latency=0.005):
        most, standing = asyncio.run(reconnect(wait_before))
    assert standing == 10  # all come back in the end
    assert (most > 100) is is_storm


def test_a_reconnect_storm_is_replayed():
    def run():
        with testing.virtual_time(), testing.Network(latency=0.005, jitter=0.002) as net:
            most, _ = asyncio.run(reconnect(lambda attempt: 0.01, 1, 1))
        assert most > 20
        return net.events

    first = run()
    assert all(run() == first for _ in range(100))
