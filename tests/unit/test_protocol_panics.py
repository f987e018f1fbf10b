"""A panic of native code in a protocol's method costs its transport the connection, and nothing else.

The panic is reported as an exception with its text. The transport closes, its protocol hears of the end, and the loop
goes on. asyncio has no panics; it treats any other exception of `data_received` like this.
"""

import asyncio
import os
import socket
import sys

import pytest
from tests.unit.test_loop_given_back import panic

import ferrio

SECONDS = 10


class Recorder:
    """The methods of every kind of protocol; one of them panics."""

    def __init__(self, bad):
        self.bad = bad
        self.lost = asyncio.get_running_loop().create_future()

    def called(self, name):
        if name == self.bad:
            panic()

    def connection_made(self, transport):
        self.transport = transport
        self.called("connection_made")

    def connection_lost(self, exc):
        self.lost.set_result(exc)
        self.called("connection_lost")

    def data_received(self, data):
        self.called("data_received")

    def eof_received(self):
        self.called("eof_received")

    def pause_writing(self):
        self.called("pause_writing")

    def resume_writing(self):
        self.called("resume_writing")

    def datagram_received(self, data, addr):
        self.called("datagram_received")

    def error_received(self, exc):
        self.called("error_received")

    def pipe_data_received(self, fd, data):
        self.called("pipe_data_received")

    def pipe_connection_lost(self, fd, exc):
        self.called("pipe_connection_lost")

    def process_exited(self):
        self.called("process_exited")


class Buffers(Recorder, asyncio.BufferedProtocol):
    def get_buffer(self, sizehint):
        self.called("get_buffer")
        return bytearray(100)

    def buffer_updated(self, nbytes):
        self.called("buffer_updated")


async def on_socket(loop, bad, kind=Recorder):
    ours, theirs = socket.socketpair()
    with theirs:
        transport, protocol = await loop.create_connection(lambda: kind(bad), sock=ours)
        if bad == "pause_writing":
            transport.write(bytes(10_000_000))
        elif bad == "connection_lost":
            transport.close()
        elif bad == "eof_received":
            theirs.shutdown(socket.SHUT_WR)
        elif bad != "connection_made":
            theirs.send(b"data")
        await protocol.lost
    return transport


async def on_buffers(loop, bad):
    return await on_socket(loop, bad, Buffers)


async def on_read_pipe(loop, bad):
    reading, writing = os.pipe()
    transport, protocol = await loop.connect_read_pipe(lambda: Recorder(bad), os.fdopen(reading, "rb", 0))
    if bad == "data_received":
        os.write(writing, b"data")
        await protocol.lost
    os.close(writing)
    await protocol.lost
    return transport


async def on_write_pipe(loop, bad):
    reading, writing = os.pipe()
    transport, protocol = await loop.connect_write_pipe(lambda: Recorder(bad), os.fdopen(writing, "wb", 0))
    if bad == "pause_writing":
        transport.write(bytes(10_000_000))
    elif bad == "connection_lost":
        transport.close()
    await protocol.lost
    os.close(reading)
    return transport


async def on_datagrams(loop, bad):
    transport, protocol = await loop.create_datagram_endpoint(lambda: Recorder(bad), local_addr=("127.0.0.1", 0))
    if bad == "connection_lost":
        transport.close()
    else:
        transport.sendto(b"data", transport.get_extra_info("sockname"))
    await protocol.lost
    return transport


async def on_child(loop, bad):
    transport, protocol = await loop.subprocess_exec(lambda: Recorder(bad), sys.executable, "-c", "print(1)")
    await protocol.lost
    return transport


PLACES = [
    *((on_socket, name) for name in ("connection_made", "data_received", "eof_received", "pause_writing")),
    (on_socket, "connection_lost"),
    (on_buffers, "get_buffer"),
    (on_buffers, "buffer_updated"),
    *((on_read_pipe, name) for name in ("connection_made", "data_received", "eof_received", "connection_lost")),
    *((on_write_pipe, name) for name in ("connection_made", "pause_writing", "connection_lost")),
    *((on_datagrams, name) for name in ("connection_made", "datagram_received", "connection_lost")),
    *((on_child, name) for name in ("connection_made", "pipe_data_received", "pipe_connection_lost")),
    *((on_child, name) for name in ("process_exited", "connection_lost")),
]


@pytest.mark.parametrize(("use", "bad"), PLACES, ids=lambda part: getattr(part, "__name__", part))
def test_panic_closes_the_transport_and_is_reported(use, bad):
    reported = []

    async def main():
        loop = ferrio.get_running_loop()
        loop.set_exception_handler(lambda _loop, context: reported.append(context.get("exception")))
        transport = await asyncio.wait_for(use(loop, bad), SECONDS)
        assert transport.is_closing()
        for _ in range(3):
            await ferrio.sleep(0)
        return "went on"

    assert ferrio.run(main()) == "went on"
    panics = 3 if bad == "pipe_connection_lost" else 1  # a child has three pipes
    assert [(type(exception).__name__, str(exception)) for exception in reported] == [
        ("PanicException", "on purpose")
    ] * panics
