"""Faults of the simulated network: each one does to a program what it says, in virtual time."""

import asyncio
import errno
import gc
import threading

import pytest
from tests.unit.test_network import echo, shout
from tests.unit.tls import client_context

import ferrio
from ferrio import testing
from ferrio.testing.network.listening import Attempt, Listener

#: How many seconds connecting takes to fail, and sending on a connection if the round trip takes 0.2 seconds.
CONNECTING = 127
SENDING = sum(min(0.4 * 2**attempt, 120) for attempt in range(16))


@pytest.fixture
def clock():
    with testing.virtual_time() as clock:
        yield clock


@pytest.fixture
def net():
    """A network with the hosts "web" and "client", 0.1 seconds apart."""
    with testing.Network() as net:
        net.link(net.host("web"), net.host("client"), latency=0.1)
        yield net


def on_the_client(net, body, handle=echo):
    """Runs a coroutine function on the client, while the web's port 80 is served."""
    web, client = net.hosts[1:]

    async def main():
        server = await web.run(asyncio.start_server(handle, None, 80))
        try:
            return await client.run(body())
        finally:
            server.close()
            await asyncio.sleep(1000)  # what is under way arrives, and both sides close

    return asyncio.run(main())


async def raised(awaitable):
    """What awaiting raises."""
    try:
        await awaitable
    except OSError as error:
        return error
    return None


async def end(writer):
    writer.close()
    await raised(writer.wait_closed())


def test_partition_stops_bytes_until_it_is_healed(clock, net):
    async def body():
        reader, writer = await asyncio.open_connection("web", 80)
        writer.write(b"before")
        assert await reader.readexactly(6) == b"before"
        net.partition("web", "client")
        writer.write(b"during")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 600)
        net.heal("web", "client")
        healed = clock.time
        assert await reader.readexactly(6) == b"during"
        assert 0.2 <= clock.time - healed <= 120.4  # the sender tries again every two minutes
        await end(writer)

    on_the_client(net, body)
    assert [event.what for event in net.events if event.what in ("cut", "heal")] == ["cut", "cut", "heal", "heal"]


def test_partition_holds_what_is_under_way(clock, net):
    async def body():
        reader, writer = await asyncio.open_connection("web", 80)
        writer.write(b"x")
        await asyncio.sleep(0.05)
        net.partition("client", "web", both=False)
        await asyncio.sleep(10)
        assert not reader._buffer
        net.heal()
        assert await reader.readexactly(1) == b"x"
        await end(writer)

    on_the_client(net, body)


def test_partition_ends_a_sender_after_a_quarter_of_an_hour(clock, net):
    async def body():
        reader, writer = await asyncio.open_connection("web", 80)
        net.partition("web", "client")
        began = clock.time
        writer.write(b"x")
        error = await raised(reader.read(1))
        assert isinstance(error, TimeoutError) and error.errno == errno.ETIMEDOUT
        assert clock.time - began == pytest.approx(SENDING)
        await end(writer)

    on_the_client(net, body)


def test_idle_connections_survive_a_partition(clock, net):
    async def body():
        reader, writer = await asyncio.open_connection("web", 80)
        net.partition("web", "client")
        await asyncio.sleep(86400)
        net.heal()
        writer.write(b"x")
        assert await reader.readexactly(1) == b"x"
        await end(writer)

    on_the_client(net, body)


def test_connecting_through_a_partition_times_out(clock, net):
    async def body():
        net.partition("web", "client")
        began = clock.time
        error = await raised(asyncio.open_connection("web", 80))
        assert isinstance(error, TimeoutError) and clock.time - began == pytest.approx(CONNECTING)
        connecting = asyncio.create_task(shout("web", 80, b"late"))
        await asyncio.sleep(10)
        net.heal()
        assert await connecting == [b"late"]

    on_the_client(net, body)


def test_groups_are_partitioned(clock):
    async def body():
        reached = {}
        for source in hosts:
            for target in hosts:
                error = await source.run(raised(asyncio.wait_for(shout(target.name, 80, b"x"), 5)))
                reached[source.name + target.name] = error is None
        return reached

    async def main():
        servers = [await host.run(asyncio.start_server(echo, None, 80)) for host in hosts]
        net.partition(hosts[:2], [hosts[2]])
        reached = await body()
        net.heal()
        assert all((await body()).values())
        for server in servers:
            server.close()
        return reached

    with testing.Network() as net:
        hosts = [net.host(name) for name in "abc"]
        reached = asyncio.run(main())
    assert {pair for pair, is_reached in reached.items() if not is_reached} == {"ac", "bc", "ca", "cb"}


def test_reset_reaches_both_sides(clock, net):
    seen = []

    async def handle(reader, writer):
        seen.append(await raised(reader.read(1)))
        await end(writer)

    async def body():
        reader, writer = await asyncio.open_connection("web", 80)
        await asyncio.sleep(1)
        [connection] = net.connections
        assert (connection.client.name, connection.server.name) == ("client", "web")
        assert connection.server_address == ("10.0.0.1", 80)
        connection.reset()
        assert isinstance(await raised(reader.read(1)), ConnectionResetError)
        assert isinstance(await raised(writer.drain()), ConnectionResetError)
        await end(writer)
        await asyncio.sleep(1)
        assert isinstance(seen[0], ConnectionResetError) and not net.connections

    on_the_client(net, body, handle)


def test_reset_of_a_link_breaks_its_connections_only(clock, net):
    async def body():
        pairs = [await asyncio.open_connection("web", 80) for _ in range(2)]
        other_reader, other_writer = await net.hosts[0].run(asyncio.open_connection("web", 80))
        net.reset("client", "web")
        for reader, writer in pairs:
            assert isinstance(await raised(reader.read(1)), ConnectionResetError)
            await end(writer)
        other_writer.write(b"x")
        assert await other_reader.readexactly(1) == b"x"
        await end(other_writer)

    on_the_client(net, body)


def test_crash_leaves_the_peer_half_open(clock, net):
    web, client = net.hosts[1:]
    cancelled = []

    async def serve():
        async with await asyncio.start_server(echo, None, 80) as server:
            serving.set()
            try:
                await server.serve_forever()
            except asyncio.CancelledError as error:
                cancelled.append(str(error))
                raise

    async def main():
        task = web.create_task(serve())
        await serving.wait()
        await client.run(body())
        assert (await asyncio.gather(task, return_exceptions=True))[0].__class__ is asyncio.CancelledError

    async def body():
        idle_reader, idle_writer = await asyncio.open_connection("web", 80)
        reader, writer = await asyncio.open_connection("web", 80)
        await asyncio.sleep(1)
        web.crash()
        web.crash()
        assert cancelled == [] and not web.is_up
        reading = asyncio.create_task(raised(idle_reader.read(1)))
        writer.write(b"is anybody there?")
        await asyncio.sleep(60)
        assert not reading.done() and not reader.at_eof()
        assert isinstance(await raised(asyncio.wait_for(asyncio.open_connection("web", 80), 10)), TimeoutError)
        web.restart()
        web.restart()
        # What was sent meanwhile is sent again, and the new system knows nothing of it.
        assert isinstance(await raised(reader.read(1)), ConnectionResetError)
        assert isinstance(await raised(asyncio.open_connection("web", 80)), ConnectionRefusedError)
        await asyncio.sleep(3600)
        assert not reading.done()  # the idle one still believes in it
        idle_writer.write(b"x")
        assert isinstance(await reading, ConnectionResetError)
        server = await web.run(asyncio.start_server(echo, None, 80))
        assert await shout("web", 80, b"again") == [b"again"]
        server.close()
        for each in (writer, idle_writer):
            await end(each)
        await asyncio.sleep(1)

    serving = asyncio.Event()
    asyncio.run(main())
    assert cancelled == ["the host 'web' crashed"]
    assert not net.connections


def test_crash_ends_what_runs_on_the_host(clock, net):
    web = net.hosts[1]
    ends = []

    async def child(name):
        try:
            await asyncio.sleep(3600)
        finally:
            ends.append(name)

    class Protocol(asyncio.Protocol):
        def connection_lost(self, error):
            ends.append(type(error).__name__)

    async def program():
        await asyncio.get_running_loop().create_server(Protocol, None, 81)
        children = [asyncio.create_task(child(f"child {number}"), name=f"child {number}") for number in range(12)]
        await asyncio.gather(*children)

    async def body():
        web.create_task(program(), name="program")
        await asyncio.sleep(1)
        _, writer = await asyncio.open_connection("web", 81)
        await asyncio.sleep(1)
        web.crash()
        await asyncio.sleep(1)
        assert ends == [*(f"child {number}" for number in range(12)), "ConnectionAbortedError"]
        error = await raised(web.run(asyncio.open_connection("client", 1)))
        assert error.errno == errno.ENETDOWN and "web has crashed" in str(error)
        await end(writer)

    on_the_client(net, body)
    with pytest.raises(RuntimeError, match="can't crash: the test runs on it"):
        net.hosts[0].crash()


def test_lost_packets_only_delay_connections(clock, net):
    async def body():
        lines = [bytes([number]) * 100 for number in range(100)]
        began = clock.time
        assert await shout("web", 80, *lines) == lines
        return clock.time - began

    assert on_the_client(net, body) == pytest.approx(20.2)
    net.link("web", "client", loss=0.1)
    assert 22 < on_the_client(net, body) < 100
    net.link("web", "client", loss=1)

    async def fail():
        began = clock.time
        assert isinstance(await raised(asyncio.open_connection("web", 80)), TimeoutError)
        assert clock.time - began == pytest.approx(CONNECTING)

    on_the_client(net, fail)


def test_bandwidth_is_shared(clock, net):
    net.link("client", "web", bandwidth=100_000, both=False)

    async def send():
        reader, writer = await asyncio.open_connection("web", 80)
        writer.write(b"x" * 500_000)
        writer.write_eof()
        assert len(await reader.read()) == 500_000
        await end(writer)

    async def body():
        began = clock.time
        await asyncio.gather(send(), send())
        return clock.time - began

    assert on_the_client(net, body) == pytest.approx(10.4, abs=0.5)


def test_window_bounds_the_throughput(clock):
    async def body():
        reader, writer = await asyncio.open_connection("web", 80)
        began = clock.time
        writer.write(b"x" * 100_000)
        writer.write_eof()
        assert len(await reader.read()) == 100_000
        await end(writer)
        return clock.time - began

    with testing.Network(window=10_000) as net:
        net.link(net.host("web"), net.host("client"), latency=0.5)
        # A window per round trip.
        assert on_the_client(net, body) == pytest.approx(10, abs=1)


def test_slow_readers_push_back(clock, net):
    async def handle(reader, writer):
        await read.wait()
        assert len(await reader.readexactly(1_000_000)) == 1_000_000
        writer.write(b"all")
        await end(writer)

    async def body():
        reader, writer = await asyncio.open_connection("web", 80)
        sent = 0
        try:
            async with asyncio.timeout(3600):
                while True:
                    writer.write(b"x" * 1000)
                    await writer.drain()
                    sent += 1000
        except TimeoutError:
            pass
        # The window, both ends of the reader's limit, and the transport's buffer.
        assert 250_000 < sent < 128 * 1024 + 2 * 64 * 1024 + 128 * 1024
        writer.write(b"x" * (1_000_000 - sent - 1000))
        read.set()
        assert await reader.read() == b"all"
        await end(writer)

    read = asyncio.Event()
    on_the_client(net, body, handle)


def test_full_backlog_makes_clients_wait(clock, net):
    web, client = net.hosts[1:]

    async def main():
        with pytest.raises(ConnectionRefusedError):
            net.adopt(asyncio.get_running_loop())
            listener = Listener(web, ("", 90))
            await Attempt(client, ("10.0.0.1", 90)).done
        listener.listen(1)
        attempts = [Attempt(client, ("10.0.0.1", 90)) for _ in range(2)]
        await asyncio.gather(*(attempt.done for attempt in attempts))
        await asyncio.sleep(1)
        began = clock.time
        third = Attempt(client, ("10.0.0.1", 90))
        await asyncio.sleep(5)
        assert not third.done.done()
        first = listener.accept()
        assert first.remote[0] == client.address
        await third.done
        assert clock.time - began == pytest.approx(7.2)  # repeated after 1, 3 and 7 seconds
        waiting = [attempt.done.result() for attempt in attempts[1:]]
        listener.close()
        await asyncio.sleep(1)
        for end in waiting:
            with pytest.raises(ConnectionResetError):
                end.receive(1)

    asyncio.run(main())


def test_cancelled_attempts_leave_nothing(clock, net):
    async def body():
        connecting = asyncio.create_task(asyncio.open_connection("web", 80))
        await asyncio.sleep(0.15)
        connecting.cancel()
        await asyncio.sleep(1000)
        assert not net.connections and connecting.cancelled()
        assert not any(path.pipes for path in net._paths.values())

    on_the_client(net, body)


def test_unclosed_transport_warns(clock, net):
    async def body():
        transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, "web", 80)
        await asyncio.sleep(1)
        transport.pause_reading()
        net.connections[0].reset()
        await asyncio.sleep(1)
        with pytest.warns(
            ResourceWarning, match=r"unclosed transport <SimulatedTransport open number=1 peer=\('10.0.0.1', 80"
        ):
            del transport, _
            gc.collect()

    on_the_client(net, body)


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_check_of_transports_names_the_connection():
    async def body():
        loop = asyncio.get_running_loop()
        kept.append(await loop.create_server(asyncio.Protocol, None, 80))
        kept.append(await loop.create_connection(asyncio.Protocol, "localhost", 80))

    kept = []
    with testing.Bench(testing.Settings(virtual_time=True, transports=True)) as bench:
        with testing.Network():
            asyncio.run(body())
        problems = bench.problems()
        kept.clear()
        gc.collect()
        assert not bench.problems()  # they have been named
    assert len(problems) == 2 and all("left a transport open: <SimulatedTransport" in each for each in problems)
    assert any("to ('127.0.0.1', 80)" in each for each in problems)


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_loops_one_after_the_other(clock):
    async def serve():
        await asyncio.start_server(echo, None, 80)
        _, writer = await asyncio.open_connection("localhost", 80)
        writer.transport.abort()
        await asyncio.sleep(1)

    with testing.Network() as net:
        asyncio.run(serve())
        asyncio.run(serve())
        assert len([event for event in net.events if event.what == "connect"]) == 2
    gc.collect()


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_faults_after_a_loop_is_closed_reach_nothing(clock):
    async def leave_something_under_way():
        await web.run(asyncio.start_server(echo, None, 80))
        _, writer = await client.run(asyncio.open_connection("web", 80))
        connecting = asyncio.create_task(client.run(asyncio.open_connection("web", 80)))
        writer.write(b"x")
        await asyncio.sleep(0.12)
        connecting.cancel()
        writer.transport.abort()
        net.partition(web, client)

    with testing.Network(latency=0.1) as net:
        web, client = net.host("web"), net.host("client")
        asyncio.run(leave_something_under_way())
        for change in (net.heal, web.crash, web.restart):
            change()
        net.link(web, client, latency=0.2)
        net.reset(web, client)
        assert not net.connections
        error = asyncio.run(raised(client.run(asyncio.open_connection("web", 80))))
        assert isinstance(error, ConnectionRefusedError)
    gc.collect()


def test_asyncios_own_loop_is_refused():
    async def main():
        with testing.Network() as net:
            net.host("web")
            for awaitable in (
                asyncio.open_connection("web", 80),
                asyncio.start_server(echo, None, 80),
                asyncio.get_running_loop().getaddrinfo("web", 80),
            ):
                with pytest.raises(RuntimeError, match="own loop can't use the simulated network: run the test on"):
                    await awaitable
        await asyncio.get_running_loop().getaddrinfo("127.0.0.1", 80)

    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        runner.run(main())


def test_handshake_times_out_in_a_partition(clock, net):
    async def body():
        loop = asyncio.get_running_loop()
        began = clock.time
        connecting = asyncio.create_task(
            loop.create_connection(asyncio.Protocol, "web", 80, ssl=client_context(), ssl_handshake_timeout=30)
        )
        await asyncio.sleep(0.25)
        net.partition("web", "client")
        error = await raised(connecting)
        assert isinstance(error, ConnectionAbortedError) and "30" in str(error)
        assert clock.time - began == pytest.approx(30.2)
        net.heal()

    on_the_client(net, body)


def test_a_crash_reaches_who_runs_something_on_the_host(clock, net):
    web = net.hosts[1]

    async def body():
        running = asyncio.create_task(web.run(asyncio.sleep(3600)))
        cancelled = asyncio.create_task(net.hosts[2].run(asyncio.sleep(3600)))
        await asyncio.sleep(1)
        web.crash()
        cancelled.cancel()
        with pytest.raises(ConnectionAbortedError, match="the host web crashed"):
            await running
        await asyncio.wait([cancelled])
        assert cancelled.cancelled()

    on_the_client(net, body)


def test_second_loop_is_refused(clock):
    async def main():
        server = await asyncio.start_server(echo, None, 80)
        caught = []

        def run():
            try:
                asyncio.run(shout("localhost", 80, b"x"))
            except RuntimeError as error:
                caught.append(str(error))

        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        assert "one loop at a time" in caught[0]
        server.close()

    with testing.Network():
        asyncio.run(main())


def test_real_time_works_as_well():
    async def main():
        loop = asyncio.get_running_loop()
        server = await asyncio.start_server(echo, None, 80)
        began = loop.time()
        assert await shout("localhost", 80, b"one", b"two") == [b"one", b"two"]
        assert loop.time() - began >= 0.06
        server.close()
        await server.wait_closed()

    with testing.Network(latency=0.01, segment="random", jitter=0.001):
        ferrio.run(main())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"latency": -1}, "latency must be a number of seconds"),
        ({"latency": "1"}, "latency must be a number"),
        ({"loss": 2}, "loss must be a probability"),
        ({"bandwidth": 0}, "bandwidth must be a positive number"),
        ({"segment": 0}, "segment must be a positive number"),
        ({"segment": "some"}, "segment must be"),
        ({"speed": 1}, "a link has no 'speed'; it has: latency, jitter"),
        ({"window": 0}, "window must be a positive number"),
    ],
)
def test_wrong_conditions_are_refused(options, said):
    with pytest.raises((ValueError, TypeError), match=said):
        testing.Network(**options)


def test_wrong_hosts_are_refused():
    net, other = testing.Network(), testing.Network()
    net.host("web")
    for arguments in (["web"], ["a", "10.0.0.1"], ["a", "127.0.0.1"], ["a", "fd00::1"]):
        with pytest.raises(ValueError):
            net.host(*arguments)
    with pytest.raises(ValueError, match="no host 'wbe'; there are localhost"):
        net.link("web", "wbe")
    with pytest.raises(ValueError, match="belongs to another network"):
        net.partition("web", other.host("web"))
