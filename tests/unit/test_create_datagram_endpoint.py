"""`create_datagram_endpoint` up to the transport: addresses, socket options, refused arguments."""

import socket

import pytest
from tests.unit.connections import open_sockets

import ferrio


def bad_calls():
    """Returns refused calls: arguments, exception, message."""
    return [
        ({}, ValueError, "unexpected address family"),
        ({"sock": socket.SOCK_STREAM}, ValueError, "ocket was expected, got <socket.socket"),
        (
            {"sock": socket.SOCK_DGRAM, "local_addr": ("127.0.0.1", 0), "allow_broadcast": True},
            ValueError,
            "socket modifier keyword arguments can not be used when sock is specified. "
            "(local_addr=('127.0.0.1', 0), allow_broadcast=True)",
        ),
        ({"local_addr": "127.0.0.1"}, TypeError, "2-tuple is expected"),
        ({"remote_addr": ["127.0.0.1", 1]}, TypeError, "2-tuple is expected"),
        ({"local_addr": ("127.0.0.1", 0, 0)}, TypeError, "2-tuple is expected"),
        ({"local_addr": ("127.0.0.1", 0), "remote_addr": ("::1", 1)}, ValueError, "can not get address information"),
        ({"local_addr": ("/path",), "family": socket.AF_UNIX}, TypeError, "string is expected"),
        ({"local_addr": ("192.0.2.1", 0)}, OSError, ""),
        ({"local_addr": ("127.0.0.1", 0), "family": socket.AF_INET6}, OSError, ""),
        ({"local_addr": ("127.0.0.1", 0), "reuse_address": True}, TypeError, "unexpected keyword argument 'reuse_"),
    ]


@pytest.mark.parametrize(("keywords", "exception", "text"), bad_calls())
def test_refused(loop, run, keywords, exception, text):
    async def main():
        before = open_sockets()
        sock = socket.socket(type=keywords["sock"]) if "sock" in keywords else None
        given = keywords | ({"sock": sock} if sock else {})
        with pytest.raises(exception) as caught:
            await loop.create_datagram_endpoint(ferrio.DatagramProtocol, **given)
        assert text in str(caught.value)
        if sock:
            sock.close()
        await loop.shutdown_default_executor()
        assert open_sockets() <= before

    run(main())


@pytest.mark.parametrize("aio", [ferrio])  # asyncio leaves the socket to the collector
def test_failing_protocol_factory_closes_the_socket(loop, run):
    async def main():
        before = open_sockets()
        with pytest.raises(ZeroDivisionError):
            await loop.create_datagram_endpoint(lambda: 1 / 0, local_addr=("127.0.0.1", 0))
        assert open_sockets() <= before
        with socket.socket(type=socket.SOCK_DGRAM) as sock:
            with pytest.raises(ZeroDivisionError):
                await loop.create_datagram_endpoint(lambda: 1 / 0, sock=sock)
            assert sock.fileno() != -1, "the program's own"

    run(main())
