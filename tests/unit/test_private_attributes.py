"""Private attributes of loops, transports and servers that libraries and their tests read or set are as in asyncio.

`_closing` and `_sock`: zeroconf. `_pipe` and `_fileno`: asyncssh, which takes a pipe back from its transport.
`_buffer`, `_conn_lost`, `_paused`, `_high_water` and similar ones are printed when a connection stalls.
"""

import asyncio
import os
import socket
import sys
import weakref

import pytest

import ferrio

COMMON = ("_closing", "_protocol", "_extra")
SOCKET = (
    *COMMON,
    *("_sock", "_sock_fd", "_server", "_loop", "_conn_lost", "_paused", "_eof", "_buffer", "_empty_waiter", "max_size"),
    *("_high_water", "_low_water", "_protocol_paused", "_protocol_connected"),
)
DATAGRAM = (
    *COMMON,
    *("_sock", "_sock_fd", "_server", "_loop", "_conn_lost", "_paused", "_buffer", "_address", "max_size"),
    *("_high_water", "_low_water", "_protocol_paused", "_protocol_connected"),
)
READ_PIPE = (*COMMON, "_pipe", "_fileno", "_loop", "_paused")
WRITE_PIPE = (*COMMON, "_pipe", "_fileno", "_loop", "_buffer", "_conn_lost", "_high_water", "_low_water")
CHILD = ("_closed", "_pid", "_returncode", "_finished", "_protocol", "_loop", "_extra")


def seen(owner, names):
    """Returns the values of attributes in comparable form: plain values, and the class names of others."""
    values = {}
    for name in names:
        value = getattr(owner, name)
        plain = value is None or isinstance(value, (bool, int))
        values[name] = (
            value if plain else sorted(value) if isinstance(value, dict) else list(value) if _sized(value) else ...
        )
    return values


def _sized(value):
    return hasattr(value, "__len__")


@pytest.fixture
def transports(aio, pair):
    """Returns a coroutine function that makes one transport of each kind, by the names of the attributes to read."""

    async def make():
        loop = aio.get_running_loop()
        reading, writing = os.pipe()
        stream, _ = await loop.create_connection(asyncio.Protocol, sock=pair[0])
        datagram, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0))
        read_pipe, _ = await loop.connect_read_pipe(asyncio.Protocol, os.fdopen(reading, "rb", 0))
        write_pipe, _ = await loop.connect_write_pipe(asyncio.Protocol, os.fdopen(writing, "wb", 0))
        return [(stream, SOCKET), (datagram, DATAGRAM), (write_pipe, WRITE_PIPE), (read_pipe, READ_PIPE)]

    return make


async def turns():
    for _ in range(3):
        await asyncio.sleep(0)


def test_attributes_of_open_and_closed_transports(aio, transports):
    async def main():
        made = await transports()
        for transport, names in made:
            values = seen(transport, names)
            assert values["_closing"] is False
            assert values["_protocol"] is ...
            assert values.get("_conn_lost", 0) == 0
            assert values.get("_paused", False) is False
            assert not values.get("_buffer")
            assert values.get("_high_water", 65536) == 65536
            assert values.get("_low_water", 16384) == 16384
            assert getattr(transport, "_sock_fd", getattr(transport, "_fileno", None)) >= 0
            assert values.get("max_size", 262144) == 262144
        for transport, _ in made:
            transport.close()
            assert transport._closing is True
            await turns()
            assert transport._protocol is None
            assert transport._loop is None
            assert getattr(transport, "_sock", getattr(transport, "_pipe", None)) is None

    aio.run(main())


def test_queued_data_is_shown(aio, pair):
    async def main():
        transport, _ = await aio.get_running_loop().create_connection(asyncio.Protocol, sock=pair[0])
        transport.write(b"x" * 10_000_000)
        waiting = transport._buffer
        joined = b"".join(waiting) if sys.version_info >= (3, 12) else bytes(waiting)
        assert len(joined) == transport.get_write_buffer_size() > 0
        assert transport._protocol_paused
        transport.set_write_buffer_limits(100, 10)
        assert (transport._high_water, transport._low_water) == (100, 10)
        assert not transport._eof
        transport.write_eof()
        assert transport._eof
        transport.abort()
        assert transport._conn_lost == 1
        await turns()

    aio.run(main())


def test_queued_data_of_a_pipe_is_shown(aio):
    async def main():
        reading, writing = os.pipe()
        transport, _ = await aio.get_running_loop().connect_write_pipe(asyncio.Protocol, os.fdopen(writing, "wb", 0))
        transport.write(b"x" * 1_000_000)
        assert len(transport._buffer) == transport.get_write_buffer_size() > 0
        assert isinstance(transport._buffer, bytearray)
        transport.abort()
        transport.write(b"more")
        assert transport._conn_lost >= 1
        await turns()
        os.close(reading)

    aio.run(main())


def test_attributes_of_paused_transports(aio, transports):
    async def main():
        for transport, names in await transports():
            if "_paused" in names and hasattr(transport, "pause_reading"):
                transport.pause_reading()
                assert transport._paused is True
                transport.resume_reading()
                assert transport._paused is False
            transport.close()
        await turns()

    aio.run(main())


def test_datagrams_address(aio):
    async def main():
        with socket.socket(type=socket.SOCK_DGRAM) as peer:
            peer.bind(("127.0.0.1", 0))
            create = aio.get_running_loop().create_datagram_endpoint
            transport, _ = await create(asyncio.DatagramProtocol, remote_addr=peer.getsockname())
            assert transport._address == peer.getsockname()
            transport.abort()
            await turns()

    aio.run(main())


def test_child(aio):
    async def main():
        process = await aio.create_subprocess_exec("/bin/cat", stdin=aio.subprocess.PIPE)
        transport = process._transport
        assert seen(transport, CHILD)["_closed"] is False
        assert (transport._pid, transport._returncode, transport._finished) == (process.pid, None, False)
        process.stdin.close()
        assert await process.wait() == transport._returncode == 0
        transport.close()
        assert transport._closed

    aio.run(main())


def test_server(aio):
    async def main():
        server = await aio.start_server(print, "127.0.0.1", 0)
        assert server._serving is True
        server.close()
        assert server._serving is False

    aio.run(main())


def test_queues_of_a_loop_can_be_replaced(aio):
    loop = aio.new_event_loop()
    seen = []
    kept = loop.call_soon(seen.append, "kept")
    loop.call_soon(seen.append, "dropped")
    loop._ready = type(loop._ready)(handle for handle in loop._ready if handle is kept)
    late = loop.call_later(3600, seen.append, "late")
    soon = loop.call_later(0.001, seen.append, "soon")
    loop._scheduled = [handle for handle in loop._scheduled if handle is not late]
    assert loop._scheduled == [soon]
    loop.run_until_complete(aio.sleep(0.005))
    assert seen == ["kept", "soon"]
    loop._ready = type(loop._ready)([late])
    loop.run_until_complete(aio.sleep(0))
    assert seen == ["kept", "soon", "late"]
    loop.close()


def test_a_sleep_survives_its_handle_put_back(aio):
    async def main():
        loop = aio.get_running_loop()
        task = loop.create_task(aio.sleep(0.005, "slept"))
        await aio.sleep(0)
        loop.call_later(3600, id, 1)
        loop._scheduled = sorted(loop._scheduled)[:1]
        return await task

    assert aio.run(main()) == "slept"


def test_a_loop_marked_closed(aio):
    loop = aio.new_event_loop()
    loop._closed = True
    assert loop.is_closed()
    with pytest.raises(RuntimeError, match="closed"):
        loop.call_soon(int)
    loop._closed = False
    loop.run_until_complete(aio.sleep(0))
    loop.close()


def test_the_set_of_generators_can_be_replaced(aio):
    async def main():
        loop = aio.get_running_loop()
        loop._asyncgens = weakref.WeakSet()
        generator = numbers()
        assert await anext(generator) == 1
        assert list(loop._asyncgens) == [generator]
        await generator.aclose()

    async def numbers():
        yield 1

    aio.run(main())


def test_what_is_queued_is_shown_as_a_copy():
    loop = ferrio.new_event_loop()
    loop.call_soon(int)
    loop._ready.clear()
    assert len(loop._ready) == 1
    with pytest.raises(AttributeError):
        loop._signal_handlers = {}
    with pytest.raises(AttributeError):
        loop._selector  # noqa: B018 - reading it is the test
    loop.close()
