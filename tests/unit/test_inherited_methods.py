"""Methods that transports inherit from the standard library's base classes, where tests and tools replace them."""

import asyncio
import contextlib
import os
import socket
import sys
from unittest import mock

import pytest

BASES = {
    asyncio.BaseTransport,
    asyncio.ReadTransport,
    asyncio.WriteTransport,
    asyncio.Transport,
    asyncio.DatagramTransport,
    asyncio.SubprocessTransport,
}


@contextlib.asynccontextmanager
async def stream(aio, loop):
    ours, theirs = socket.socketpair()
    with theirs:
        transport, _ = await loop.create_connection(aio.Protocol, sock=ours)
        yield transport
        transport.close()


@contextlib.asynccontextmanager
async def accepted(aio, loop):
    made = loop.create_future()

    class Accepted(aio.Protocol):
        def connection_made(self, transport):
            made.set_result(transport)

    server = await loop.create_server(Accepted, "127.0.0.1", 0)
    with socket.create_connection(server.sockets[0].getsockname()):
        transport = await made
        yield transport
        transport.close()
    server.close()


@contextlib.asynccontextmanager
async def datagram(aio, loop):
    transport, _ = await loop.create_datagram_endpoint(aio.DatagramProtocol, local_addr=("127.0.0.1", 0))
    yield transport
    transport.close()


@contextlib.asynccontextmanager
async def read_pipe(aio, loop):
    reader, writer = os.pipe()
    transport, _ = await loop.connect_read_pipe(aio.Protocol, os.fdopen(reader, "rb"))
    yield transport
    transport.close()
    os.close(writer)


@contextlib.asynccontextmanager
async def write_pipe(aio, loop):
    reader, writer = os.pipe()
    transport, _ = await loop.connect_write_pipe(aio.BaseProtocol, os.fdopen(writer, "wb"))
    yield transport
    transport.close()
    os.close(reader)


@contextlib.asynccontextmanager
async def child(aio, loop):
    transport, _ = await loop.subprocess_exec(aio.SubprocessProtocol, sys.executable, "-c", "")
    yield transport
    await transport._wait()
    transport.close()


def owners(kind):
    """Returns which class defines each method of the standard library's transports."""
    names = {name for base in BASES & set(kind.__mro__) for name in vars(base) if not name.startswith("_")}
    return {name: next(each for each in kind.__mro__ if name in vars(each)) for name in sorted(names)}


KINDS = [stream, accepted, datagram, read_pipe, write_pipe, child]


@pytest.mark.parametrize("make", KINDS, ids=lambda make: make.__name__)
def test_methods_come_from_the_same_base_class(aio, make):
    async def kind(module):
        async with make(module, module.get_running_loop()) as transport:
            return type(transport)

    expected = {name: owner for name, owner in owners(asyncio.run(kind(asyncio))).items() if owner in BASES}
    assert expected["get_extra_info"] is asyncio.BaseTransport
    if sys.version_info < (3, 12):
        expected.pop("writelines", None)  # asyncio's sockets have their own from then on
    found = owners(aio.run(kind(aio)))
    assert {name: found[name] for name in expected} == expected


@pytest.mark.parametrize("make", KINDS, ids=lambda make: make.__name__)
def test_replaced_get_extra_info_is_called(aio, make):
    async def main():
        async with make(aio, aio.get_running_loop()) as transport:
            with mock.patch.object(aio.BaseTransport, "get_extra_info", return_value="replaced") as replaced:
                assert transport.get_extra_info("peername") == "replaced"
            replaced.assert_called_once_with("peername")
            assert transport.get_extra_info("nothing", "default") == "default"

    aio.run(main())


def test_replaced_writelines_of_a_pipe_is_called(aio):
    async def main():
        async with write_pipe(aio, aio.get_running_loop()) as transport:
            with mock.patch.object(aio.WriteTransport, "writelines", autospec=True) as replaced:
                transport.writelines([b"a", b"b"])
            replaced.assert_called_once_with(transport, [b"a", b"b"])

    aio.run(main())


def test_writelines_of_a_pipe_writes_all(aio):
    async def main():
        loop = aio.get_running_loop()
        reader, writer = os.pipe()
        with os.fdopen(reader, "rb") as received:
            transport, _ = await loop.connect_write_pipe(aio.BaseProtocol, os.fdopen(writer, "wb"))
            transport.writelines([b"one", bytearray(b"two"), memoryview(b"three")])
            transport.close()
            assert await loop.run_in_executor(None, received.read) == b"onetwothree"

    aio.run(main())


def test_entries_added_to_extra_are_found(aio):
    async def main():
        async with accepted(aio, aio.get_running_loop()) as transport:
            transport._extra["user"] = "somebody"
            assert transport.get_extra_info("user") == "somebody"
            assert transport.get_extra_info("peername")[0] == "127.0.0.1"

    aio.run(main())
