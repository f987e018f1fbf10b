"""`Server`: its start and end, its connections, and that one connection costs the others nothing."""

import asyncio
import contextvars
import os
import socket

import pytest
from tests.unit.connections import Echo, Noting, echoed, open_sockets
from tests.unit.implementations import since
from tests.unit.programs import run_program

import ferrio

pytestmark = pytest.mark.usefixtures("settled")


@pytest.fixture
def serve(loop, run):
    """Makes a server on this machine and closes it after the test."""
    servers = []

    async def serve(factory=Echo, **keywords):
        address = () if "sock" in keywords else ("127.0.0.1", 0)
        server = await loop.create_server(factory, *address, **keywords)
        servers.append(server)
        return server, server.sockets[0].getsockname()

    yield serve
    for server in servers:
        server.close()


def test_attributes_and_repr(aio, loop, run, serve):
    async def main():
        server, address = await serve()
        assert isinstance(server, asyncio.AbstractServer)
        assert isinstance(server, aio.base_events.Server)
        assert server.get_loop() is loop
        assert server.is_serving()
        assert [sock.getsockname() for sock in server.sockets] == [address]
        assert repr(server) == f"<Server sockets={server.sockets!r}>"
        server.close()
        assert not server.is_serving()
        assert server.sockets == ()
        assert repr(server) == "<Server sockets=()>"
        server.close()
        with pytest.raises(ConnectionRefusedError):
            await loop.create_connection(Noting, *address)

    run(main())


def test_several_servers_and_many_connections(loop, run, serve):
    async def main():
        for _ in range(2):
            _, address = await serve()
            made = [loop.create_task(loop.create_connection(Noting, *address)) for _ in range(90)]
            pairs = [await task for task in made]
            answers = [loop.create_task(echoed(*pair, str(index).encode())) for index, pair in enumerate(pairs)]
            assert [await answer for answer in answers] == [str(index).encode() for index in range(90)]
            for _, protocol in pairs:
                await protocol.lost

    run(main())


@since(3, 12, 1)
def test_wait_closed(loop, run, serve):
    async def main():
        server, address = await serve()
        transport, protocol = await loop.create_connection(Noting, *address)
        assert await echoed(transport, protocol) == b"some words"
        await protocol.lost
        transport, protocol = await loop.create_connection(Noting, *address)
        waiting = [loop.create_task(server.wait_closed()) for _ in range(2)]
        transport.write(b"x")
        while not protocol.received:
            await asyncio.sleep(0)
        server.close()
        for _ in range(3):
            await asyncio.sleep(0)
        assert not any(task.done() for task in waiting)
        transport.close()
        for task in waiting:
            await task
        await server.wait_closed()

    run(main())


@since(3, 12, 1)
def test_wait_closed_before_any_connection(loop, run, serve):
    async def main():
        server, _ = await serve()
        waiting = loop.create_task(server.wait_closed())
        await asyncio.sleep(0)
        assert not waiting.done()
        server.close()
        await waiting

    run(main())


@since(3, 13)
@pytest.mark.parametrize("method", ["close_clients", "abort_clients"])
def test_clients_are_closed(loop, run, serve, method):
    async def main():
        protocols = []

        def factory():
            protocols.append(Noting())
            return protocols[-1]

        server, address = await serve(factory)
        pairs = [await loop.create_connection(Noting, *address) for _ in range(3)]
        while len(protocols) < 3 or not all(protocol.transport for protocol in protocols):
            await asyncio.sleep(0)
        getattr(server, method)()
        assert all(protocol.transport.is_closing() for protocol in protocols)
        for protocol in protocols:
            assert await protocol.lost is None
        for transport, protocol in pairs:
            if not protocol.lost.done():
                await protocol.ended
            transport.close()
        assert server.is_serving()
        server.close()
        await server.wait_closed()

    run(main())


@since(3, 15)
def test_serve_forever(loop, run, serve):
    async def main():
        server, address = await serve(start_serving=False)
        task = loop.create_task(server.serve_forever())
        await asyncio.sleep(0)
        assert server.is_serving()
        transport, protocol = await loop.create_connection(Noting, *address)
        transport.write(b"x")
        while not protocol.received:
            await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="is already being awaited on serve_forever"):
            await server.serve_forever()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not server.is_serving()
        assert await protocol.ended == b"x"
        with pytest.raises(RuntimeError, match="is closed"):
            await server.serve_forever()

    run(main())


def test_closing_ends_serve_forever(loop, run, serve):
    async def main():
        server, _ = await serve()
        task = loop.create_task(server.serve_forever())
        await asyncio.sleep(0)
        server.close()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(main())


def test_context_manager(loop, run, serve):
    async def main():
        server, _ = await serve()
        async with server as entered:
            assert entered is server
        assert not server.is_serving()

    run(main())


class OwnSocket(socket.socket):
    """A program's own class of sockets: its method accepts the connections."""


@pytest.mark.parametrize("socket_class", [socket.socket, OwnSocket])
@pytest.mark.parametrize("aio", [ferrio])  # asyncio leaves the connection to the collector
def test_failing_protocol_factory_costs_its_connection(loop, run, serve, problems, socket_class):
    failures = [ValueError("no protocol"), None, TypeError("nor here"), None]

    def factory():
        failure = failures.pop(0)
        if failure is not None:
            raise failure
        return Echo()

    async def main():
        listening = socket_class()
        listening.bind(("127.0.0.1", 0))
        _, address = await serve(factory, sock=listening)
        for served in (False, True, False, True):
            transport, protocol = await loop.create_connection(Noting, *address)
            if served:
                assert await echoed(transport, protocol) == b"some words"
            else:
                assert await protocol.ended == b""
            await protocol.lost

    expected = list(failures)
    run(main())
    assert [told["exception"] for told in problems] == [expected[0], expected[2]]
    assert {told["message"] for told in problems} == {"Error on transport creation for incoming connection"}


@pytest.mark.parametrize("socket_class", [socket.socket, OwnSocket])
@pytest.mark.parametrize("aio", [ferrio])  # asyncio's task reports it again when it is collected
def test_factory_may_end_the_program(run, loop, serve, socket_class):
    def factory():
        raise SystemExit(3)

    async def main():
        listening = socket_class()
        listening.bind(("127.0.0.1", 0))
        _, address = await serve(factory, sock=listening)
        clients.append(socket.create_connection(address))
        await asyncio.Event().wait()

    clients = []

    with pytest.raises(SystemExit, match="3"):
        run(main())
    clients[0].close()


@pytest.mark.parametrize("aio", [ferrio])  # asyncio makes protocols even for a closed server
def test_factory_may_close_the_server(loop, run, serve):
    made = []

    def factory():
        server.close()
        made.append(Noting())
        return made[-1]

    async def main():
        nonlocal server
        server, address = await serve(factory)
        clients = [socket.create_connection(address) for _ in range(3)]
        while not made:
            await asyncio.sleep(0)
        for client in clients:
            client.close()
        for protocol in made:
            await protocol.lost
        return len(made)

    server = None
    assert run(main()) == 1


def test_each_connection_has_its_context(loop, run, serve):
    variable = contextvars.ContextVar("variable", default="none")
    seen = []

    class Protocol(Noting):
        def __init__(self):
            super().__init__()
            seen.append(variable.get())
            variable.set(f"connection {len(seen)}")

        def connection_made(self, transport):
            super().connection_made(transport)
            seen.append(variable.get())
            self.transport.close()

    async def main():
        variable.set("server")
        _, address = await serve(Protocol)
        variable.set("client")
        for _ in range(2):
            transport, protocol = await loop.create_connection(Noting, *address)
            await protocol.ended
            transport.close()
        assert variable.get() == "client"

    run(main())
    assert seen == ["server", "connection 1", "server", "connection 3"]


def test_extra_info_of_a_connection(loop, run, serve):
    async def main():
        accepted = loop.create_future()

        class Protocol(Noting):
            def connection_made(self, transport):
                super().connection_made(transport)
                accepted.set_result(transport)

        _, address = await serve(Protocol)
        transport, _ = await loop.create_connection(Noting, *address)
        theirs = await accepted
        assert theirs.get_extra_info("sockname") == transport.get_extra_info("peername") == address
        assert theirs.get_extra_info("peername") == transport.get_extra_info("sockname")
        sock = theirs.get_extra_info("socket")
        assert sock.family == socket.AF_INET
        assert sock.type == socket.SOCK_STREAM
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert sock.gettimeout() == 0
        assert not os.get_inheritable(sock.fileno())
        transport.close()
        theirs.close()

    run(main())


def test_connections_that_ended_before_they_were_accepted(loop, run, serve, problems):
    async def main():
        _, address = await serve()
        for _ in range(50):
            client = socket.create_connection(address)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # close with a reset
            client.close()
        transport, protocol = await loop.create_connection(Noting, *address)
        assert await echoed(transport, protocol) == b"some words"
        await protocol.lost

    run(main())
    assert problems == []


OUT_OF_DESCRIPTORS = """
    import resource, socket
    import ferrio

    told = []
    delays = []

    class Loop(ferrio.EventLoop):
        def call_later(self, delay, callback, *args, context=None):
            delays.append(delay)
            return super().call_later(0.001, callback, *args, context=context)

    class Protocol(ferrio.Protocol):
        def connection_made(self, transport):
            made.append(transport)

    async def main():
        loop = ferrio.get_running_loop()
        loop.set_exception_handler(lambda _, context: told.append(context))
        server = await loop.create_server(Protocol, "127.0.0.1", 0)
        clients = [socket.create_connection(server.sockets[0].getsockname()) for _ in range(20)]
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (clients[-1].fileno() + 5, most))
        while len(delays) < 5:
            await ferrio.sleep(0)
        assert 0 < len(made) < 20, made
        assert [context["message"] for context in told] == ["socket.accept() out of system resource"], told
        assert told[0]["exception"].errno == 24
        assert told[0]["socket"].fileno() == server.sockets[0].fileno()
        assert set(delays) == {1}, delays
        # As connections end, others are accepted.
        while len(made) < 20:
            for transport in made:
                transport.close()
            await ferrio.sleep(0)
        server.close()
        for transport in made:
            transport.close()
        await server.wait_closed()
        for client in clients:
            assert client.recv(1) == b""
            client.close()
        assert len(told) <= 1 + len(made), len(told)

    made = []
    ferrio.run(main(), loop_factory=Loop)
    print("served", len(made))
"""


def test_out_of_descriptors():
    assert run_program(OUT_OF_DESCRIPTORS) == "served 20\n"


@pytest.mark.parametrize("aio", [ferrio])
def test_listening_socket_closed_by_the_program(loop, run, serve, problems):
    async def main():
        server, _ = await serve()
        server._sockets[0].shutdown(socket.SHUT_RD)
        while not problems:
            await asyncio.sleep(0)
        for _ in range(100):
            await asyncio.sleep(0)
        assert len(problems) == 1
        assert "socket.accept() failed" in problems[0]["message"]
        server.close()
        await server.wait_closed()

    before = open_sockets()
    run(main())
    assert open_sockets() <= before


class Listener(socket.socket):
    """Not plain: its own `accept` is called."""


@pytest.mark.parametrize("kind", [socket.socket, Listener])
@pytest.mark.parametrize("aio", [ferrio])  # asyncio reports it in every turn
def test_listening_socket_that_fails_for_good_is_reported_once(loop, run, problems, kind):
    async def main():
        listener = kind()
        listener.bind(("127.0.0.1", 0))
        server = await loop.create_server(Echo, sock=listener)
        listener.shutdown(socket.SHUT_RD)
        while not problems:
            await asyncio.sleep(0)
        for _ in range(10):
            await asyncio.sleep(0)
        server.close()
        (problem,) = problems
        assert problem["message"].startswith("socket.accept() failed")
        assert isinstance(problem["exception"], OSError)
        assert problem["socket"].family == socket.AF_INET
        problems.clear()

    run(main())
