"""`create_connection` and `connect_accepted_socket`: arguments, addresses, failures; no socket is left open."""

import asyncio
import gc
import socket
import ssl

import pytest
from tests.unit.connections import (
    Echo,
    Noting,
    deaf,
    echoed,
    free_address,
    infos_of,
    listening,
    open_sockets,
    refusing_address,
)
from tests.unit.implementations import since

import ferrio

pytestmark = pytest.mark.usefixtures("settled")


@pytest.fixture
def open_before(loop):
    """The sockets that were open once the loop existed."""
    return open_sockets()


@pytest.mark.parametrize(("host", "family"), [("127.0.0.1", 0), ("::1", 0), ("127.0.0.1", socket.AF_INET), (None, 0)])
def test_connects(loop, run, host, family):
    async def main():
        server = await loop.create_server(Echo, host, 0)
        port = server.sockets[0].getsockname()[1]
        family_there = server.sockets[0].family
        transport, protocol = await loop.create_connection(Noting, host, port, family=family or family_there)
        assert protocol.made.done()
        assert transport is protocol.transport
        assert transport.get_extra_info("peername")[1] == port
        assert await echoed(transport, protocol) == b"some words"
        await protocol.lost
        server.close()
        await server.wait_closed()

    run(main())


def test_name(loop, run):
    async def main():
        server = await loop.create_server(Echo, "127.0.0.1", 0)
        address = server.sockets[0].getsockname()
        transport, protocol = await loop.create_connection(Noting, "localhost", address[1], family=socket.AF_INET)
        assert await echoed(transport, protocol) == b"some words"
        server.close()
        await loop.shutdown_default_executor()

    run(main())


def test_address_in_numbers_needs_no_resolver(monkeypatch):
    def never(*_, **__):
        raise AssertionError("asked")

    async def main():
        with listening() as listener:
            monkeypatch.setattr(socket, "getaddrinfo", never)
            transport, _ = await ferrio.get_running_loop().create_connection(Noting, *listener.getsockname())
            transport.abort()

    ferrio.run(main())


def test_socket_of_the_program_is_used(loop, run):
    async def main():
        ours, theirs = socket.socketpair()
        transport, protocol = await loop.create_connection(Noting, sock=ours)
        other, _ = await loop.connect_accepted_socket(Echo, theirs)
        assert ours.gettimeout() == theirs.gettimeout() == 0
        assert await echoed(transport, protocol) == b"some words"
        await protocol.lost
        assert ours.fileno() == -1
        other.close()

    run(main())


def test_local_address(loop, run):
    async def main():
        with listening() as listener:
            local = free_address()
            transport, _ = await loop.create_connection(Noting, *listener.getsockname(), local_addr=local)
            assert transport.get_extra_info("sockname") == local
            accepted, address = listener.accept()
            accepted.close()
            assert address == local
            transport.close()

    run(main())


@since(3, 12)
def test_unusable_local_addresses_are_reported(loop, run, open_before):
    async def main(local, text):
        with listening() as listener, pytest.raises(OSError, match=text):
            await loop.create_connection(Noting, *listener.getsockname(), local_addr=local)

    run(main(("192.0.2.1", 0), "error while attempting to bind on address .*192.0.2.1"))
    run(main(("::1", 0), "no matching local address with family="))
    assert open_sockets() <= open_before


def test_addresses_are_tried_in_turn(loop, run, open_before):
    async def main():
        with listening() as listener:
            loop.getaddrinfo = infos_of(refusing_address(), refusing_address(), listener.getsockname())
            transport, _ = await loop.create_connection(Noting, "name", 1)
            assert transport.get_extra_info("peername") == listener.getsockname()
            transport.abort()
        await asyncio.sleep(0)

    run(main())


def test_failures_of_several_addresses_are_combined(loop, run, open_before):
    async def main():
        first, second = refusing_address(), refusing_address()
        loop.getaddrinfo = infos_of(first)
        with pytest.raises(ConnectionRefusedError, match="Connect call failed"):
            await loop.create_connection(Noting, "name", 1)
        loop.getaddrinfo = infos_of(first, first)
        with pytest.raises(ConnectionRefusedError):
            await loop.create_connection(Noting, "name", 1)
        loop.getaddrinfo = infos_of(first, second)
        with pytest.raises(OSError, match=r"Multiple exceptions: .*Connect call failed.*, .*Connect call failed"):
            await loop.create_connection(Noting, "name", 1)
        loop.getaddrinfo = infos_of()
        with pytest.raises(OSError, match=r"getaddrinfo\(\) returned empty list"):
            await loop.create_connection(Noting, "name", 1)

    run(main())
    assert open_sockets() <= open_before


@since(3, 12)
def test_all_failures_are_raised_on_request(loop, run):
    async def main():
        loop.getaddrinfo = infos_of(refusing_address(), refusing_address())
        with pytest.raises(ExceptionGroup, match="create_connection failed") as caught:
            await loop.create_connection(Noting, "name", 1, all_errors=True)
        assert [type(failure) for failure in caught.value.exceptions] == [ConnectionRefusedError] * 2

    run(main())


@since(3, 12)
def test_failure_is_in_no_reference_cycle(loop, run):
    async def main():
        loop.getaddrinfo = infos_of(refusing_address(), refusing_address())
        gc.collect()
        for keywords in ({}, {"all_errors": True}):
            failure = None
            try:
                await loop.create_connection(Noting, "name", 1, **keywords)
            except Exception as caught:
                failure = caught
            assert gc.get_referrers(failure) == [] or all(
                type(holder).__name__ == "coroutine" for holder in gc.get_referrers(failure)
            )

    run(main())


def test_cancelled_while_it_connects(loop, run, open_before):
    async def main():
        with deaf() as address:
            task = loop.create_task(loop.create_connection(Noting, *address))
            while len(open_sockets() - open_before) < 5:  # the deaf socket, its three clients, ours
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    run(main())
    assert open_sockets() <= open_before


def test_cancelled_before_the_protocol_is_told(loop, run, open_before):
    async def main():
        with listening() as listener:
            protocol = Noting()

            def factory():
                task.cancel()
                return protocol

            task = loop.create_task(loop.create_connection(factory, *listener.getsockname()))
            with pytest.raises(asyncio.CancelledError):
                await task
            await protocol.lost

    run(main())
    assert open_sockets() <= open_before


@pytest.mark.parametrize("aio", [ferrio])  # before 3.15 asyncio leaves it to the collector
def test_failing_protocol_factory_closes_the_socket(loop, run, open_before):
    async def main():
        with listening() as listener:
            with pytest.raises(ZeroDivisionError):
                await loop.create_connection(lambda: 1 / 0, *listener.getsockname())
            ours, theirs = socket.socketpair()
            with theirs:
                with pytest.raises(ZeroDivisionError):
                    await loop.connect_accepted_socket(lambda: 1 / 0, ours)
                assert ours.fileno() == -1

    run(main())
    assert open_sockets() <= open_before


def bad_calls():
    """Returns refused calls of create_connection: arguments, exception, message."""
    stream = ("127.0.0.1", 1)
    datagram = {"sock": lambda: socket.socket(type=socket.SOCK_DGRAM)}
    return [
        ((), {}, ValueError, "host and port was not specified and no sock specified"),
        (stream, {"sock": socket.socket}, ValueError, "host/port and sock can not be specified at the same time"),
        ((), datagram, ValueError, "A Stream Socket was expected, got <socket.socket"),
        (stream, {"server_hostname": "name"}, ValueError, "server_hostname is only meaningful with ssl"),
        (stream, {"server_hostname": ""}, ValueError, "server_hostname is only meaningful with ssl"),
        (stream, {"ssl_handshake_timeout": 1}, ValueError, "ssl_handshake_timeout is only meaningful with ssl"),
        (stream, {"ssl_shutdown_timeout": 1}, ValueError, "ssl_shutdown_timeout is only meaningful with ssl"),
        ((), {"ssl": True, "sock": socket.socket}, ValueError, "You must set server_hostname when using ssl without a"),
        ((None, 1), {"ssl": True}, ValueError, "You must set server_hostname when using ssl without a host"),
        (("127.0.0.1", object()), {}, Exception, ""),
        ((object(), 1), {}, Exception, ""),
        (stream, {"local_addr": ()}, Exception, ""),
        (stream, {"family": socket.AF_UNIX}, OSError, ""),
        (stream, {"unknown": 1}, TypeError, "unexpected keyword argument 'unknown'"),
        (stream, {"proto": 9999}, OSError, ""),
    ]


@pytest.mark.parametrize(("arguments", "keywords", "exception", "text"), bad_calls())
def test_refused(loop, run, arguments, keywords, exception, text, open_before):
    keywords = {name: value() if name == "sock" else value for name, value in keywords.items()}

    async def main():
        with pytest.raises(exception) as caught:
            await loop.create_connection(Noting, *arguments, **keywords)
        assert text in str(caught.value)
        await loop.shutdown_default_executor()

    run(main())
    if "sock" in keywords:
        keywords["sock"].close()
    assert open_sockets() <= open_before


def test_ssl_sockets_are_refused(loop, run):
    async def main():
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        ours, theirs = socket.socketpair()
        with theirs, context.wrap_socket(ours, do_handshake_on_connect=False) as wrapped:
            with pytest.raises(TypeError, match="Socket cannot be of type SSLSocket"):
                await loop.create_connection(Noting, sock=wrapped)
            with pytest.raises(TypeError, match="Socket cannot be of type SSLSocket"):
                await loop.connect_accepted_socket(Noting, wrapped)
            with pytest.raises(TypeError, match="Socket cannot be of type SSLSocket"):
                await loop.create_server(Noting, sock=wrapped)

    run(main())


def test_accepted_socket_is_checked(loop, run):
    async def main():
        with socket.socket(type=socket.SOCK_DGRAM) as sock, pytest.raises(ValueError, match="A Stream Socket was"):
            await loop.connect_accepted_socket(Noting, sock)
        with socket.socket() as sock:
            for name in ("ssl_handshake_timeout", "ssl_shutdown_timeout"):
                with pytest.raises(ValueError, match=f"{name} is only meaningful with ssl"):
                    await loop.connect_accepted_socket(Noting, sock, **{name: 1})

    run(main())


def test_returns_before_the_first_data(loop, run):
    async def main():
        ours, theirs = socket.socketpair()
        with theirs:
            theirs.send(b"early")
            _, protocol = await loop.create_connection(Noting, sock=ours)
            assert protocol.received == b""
            while not protocol.received:
                await asyncio.sleep(0)
            assert protocol.received == b"early"
            protocol.transport.abort()
            await protocol.lost

    for _ in range(20):
        run(main())


def test_callbacks_that_were_ready_earlier_come_before_data(loop, run):
    order = []

    class Protocol(Noting):
        def data_received(self, data):
            order.append("data")
            super().data_received(data)

    async def main():
        ours, theirs = socket.socketpair()
        with theirs:
            _, protocol = await loop.create_connection(Protocol, sock=ours)
            await asyncio.sleep(0)
            theirs.send(b"x")
            loop.call_soon(order.append, "callback")
            while not protocol.received:
                await asyncio.sleep(0)
            protocol.transport.abort()
            await protocol.lost

    run(main())
    assert order == ["callback", "data"]
