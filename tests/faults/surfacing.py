"""How errors of system calls reach a protocol: prints that as JSON, for an implementation; see `test_surfacing.py`."""

import asyncio
import errno
import importlib
import json
import socket
import sys

from tests.faults.shim import Shim

ERRORS = {
    "recv": ["EINTR", "EAGAIN", "ECONNRESET", "ETIMEDOUT", "ENOBUFS", "EIO"],
    "send": ["EINTR", "EAGAIN", "EPIPE", "ECONNRESET", "ENOBUFS", "EIO"],
    "recvfrom": ["EINTR", "EAGAIN", "ECONNREFUSED", "ENOBUFS"],
    "sendto": ["EINTR", "EAGAIN", "ECONNREFUSED", "ENOBUFS"],
    "accept4": ["EINTR", "EAGAIN", "ECONNABORTED", "EMFILE", "ENOBUFS"],
}


def told(error):
    """An exception as plain data."""
    return [type(error).__name__, getattr(error, "errno", None)]


class Protocol(asyncio.Protocol, asyncio.DatagramProtocol):
    """Records what it is told, and says when there is something."""

    def __init__(self, events):
        self.events, self.news = events, asyncio.Event()

    def note(self, *event):
        """Records an event."""
        self.events.append(event)
        self.news.set()

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.note("data", data.decode())

    def datagram_received(self, data, address):
        self.note("datagram", data.decode())

    def error_received(self, error):
        self.note("error", told(error))

    def connection_lost(self, error):
        self.note("lost", told(error))


async def stream(aio, fail, events, call):
    """Receives and sends a word on a stream."""
    ours, theirs = socket.socketpair()
    theirs.settimeout(0.01)
    with theirs:
        _, protocol = await aio.get_running_loop().connect_accepted_socket(lambda: Protocol(events), ours)
        if call == "recv":
            theirs.send(b"word")
            fail()
        else:
            fail()
            protocol.transport.write(b"word")
        try:
            await aio.wait_for(protocol.news.wait(), 0.2)
        except TimeoutError:
            try:
                events.append(["arrived", theirs.recv(100).decode()])
            except TimeoutError:
                events.append(["nothing arrived"])
        protocol.transport.abort()
        await aio.sleep(0.001)


async def datagram(aio, fail, events, call):
    """Receives or sends a datagram."""
    with socket.socket(type=socket.SOCK_DGRAM) as theirs:
        theirs.bind(("127.0.0.1", 0))
        theirs.settimeout(0.01)
        transport, protocol = await aio.get_running_loop().create_datagram_endpoint(
            lambda: Protocol(events), local_addr=("127.0.0.1", 0)
        )
        if call == "recvfrom":
            theirs.sendto(b"word", transport.get_extra_info("sockname"))
            fail()
        else:
            fail()
            transport.sendto(b"word", theirs.getsockname())
        try:
            await aio.wait_for(protocol.news.wait(), 0.2)
            await aio.sleep(0.005)
        except TimeoutError:
            pass
        if call == "sendto":
            try:
                events.append(["arrived", theirs.recv(100).decode()])
            except TimeoutError:
                events.append(["nothing arrived"])
        transport.abort()
        await aio.sleep(0.001)


async def accept(aio, fail, events, call):
    """Accepts a connection, at the latest a second later."""
    server = await aio.get_running_loop().create_server(lambda: Protocol(events), "127.0.0.1", 0)
    with socket.socket() as theirs:
        theirs.connect(server.sockets[0].getsockname())
        theirs.send(b"word")
        fail()
        for _ in range(300):
            await aio.sleep(0.005)
            if any(event[0] == "data" for event in events):
                break
    await aio.sleep(0.005)
    server.close()


async def observed(aio, shim, call, what):
    """Returns what a protocol is told if this call fails with this error, and what the loop reports."""
    events = []
    aio.get_running_loop().set_exception_handler(
        lambda _, context: events.append(["reported", told(context.get("exception"))])
    )
    scene = stream if call in ("recv", "send") else accept if call == "accept4" else datagram
    await scene(aio, lambda: shim.begin(call, 1, getattr(errno, what)), events, call)
    events.append(["hits", shim.end()])
    return events


if __name__ == "__main__":
    implementation = importlib.import_module(sys.argv[1])
    library = Shim("/_ferrio." if sys.argv[1] == "ferrio" else None)
    print(
        json.dumps(
            {
                f"{call} {what}": implementation.run(observed(implementation, library, call, what))
                for call, errors in ERRORS.items()
                for what in errors
            }
        )
    )
