"""Shared by the tests of connections and servers: protocols that record their calls, addresses, open sockets."""

import asyncio
import contextlib
import itertools
import os
import socket


class Noting(asyncio.Protocol):
    """Records what it is told; each of its futures is done once the event has happened."""

    def __init__(self):
        loop = asyncio.get_running_loop()
        self.made, self.lost, self.ended = loop.create_future(), loop.create_future(), loop.create_future()
        self.transport = None
        self.received = bytearray()

    def connection_made(self, transport):
        self.transport = transport
        self.made.set_result(transport)

    def data_received(self, data):
        self.received += data

    def eof_received(self):
        self.ended.set_result(bytes(self.received))

    def connection_lost(self, exc):
        self.lost.set_result(exc)


class Echo(asyncio.Protocol):
    """Sends back what it receives."""

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.transport.write(data)


async def echoed(transport, protocol, data=b"some words"):
    """Returns what a peer sends back of `data` up to the end of the connection; the peer closes after us."""
    transport.write(data)
    transport.write_eof()
    return await protocol.ended


def open_sockets():
    """Returns this process's open sockets, under the names that the system gives them.

    A later set may be smaller, because the collector closes sockets in between: compare with `<=`.
    """
    found = set()
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # the descriptor of the listing itself
            found.add(os.readlink(f"/proc/self/fd/{name}"))
    return {name for name in found if name.startswith("socket:")}


def pair_with_number(number):
    """Yields two connected sockets, the first with this number, which must be free.

    The system assigns the lowest free number, which is another one if the collector has closed something in between.
    """
    first, second = socket.socketpair()
    if second.fileno() == number:
        first, second = second, first
    if first.fileno() != number:
        os.dup2(first.fileno(), number, inheritable=False)
        first.close()
        first = socket.socket(fileno=number)
    return first, second


@contextlib.contextmanager
def listening(family=socket.AF_INET, host="127.0.0.1", backlog=100):
    """Yields a socket that listens and accepts nothing."""
    with socket.socket(family) as listener:
        listener.bind((host, 0))
        listener.listen(backlog)
        yield listener


@contextlib.contextmanager
def deaf():
    """Yields the address of a socket whose queue is full: a connection attempt waits for ever."""
    with listening(backlog=0) as listener, contextlib.ExitStack() as stack:
        for _ in range(3):
            client = stack.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(listener.getsockname())
        yield listener.getsockname()


def free_address():
    """Returns an address of this machine that a socket can be bound to."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()


#: No known service uses these ports, and the system assigns none of them to sockets that ask for any port.
_UNUSED_PORTS = itertools.cycle(range(2, 7))


def refusing_address(host="127.0.0.1"):
    """Returns an address at which nothing listens, a different one each time."""
    port = next(_UNUSED_PORTS)
    return (host, port) if "." in host else (host, port, 0, 0)


def infos_of(*addresses):
    """Returns a stand-in for a loop's `getaddrinfo` that finds these addresses."""

    async def getaddrinfo(host, port, **_):
        return [
            (socket.AF_INET if len(address) == 2 else socket.AF_INET6, socket.SOCK_STREAM, 6, "", address)
            for address in addresses
        ]

    return getaddrinfo
