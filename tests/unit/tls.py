"""Shared by the TLS tests: certificates made for the run, protocols that record what they are told, connected pairs."""

import asyncio
import functools
import socket
import ssl
from types import SimpleNamespace

import trustme


@functools.cache
def authority():
    """The authority that both sides trust."""
    return trustme.CA()


@functools.cache
def certificate(name="localhost"):
    """Returns a certificate of the authority for `name`."""
    return authority().issue_cert(name)


def server_context(*, client_certificates=False, name="localhost"):
    """Returns a server's `ssl.SSLContext`; with `client_certificates` it requires one from the client."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate(name).configure_cert(context)
    if client_certificates:
        authority().configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def client_context():
    """Returns a client's `ssl.SSLContext` that trusts only the authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority().configure_trust(context)
    return context


class Recorder(asyncio.Protocol):
    """Records what it is told."""

    def __init__(self, loop):
        self.loop = loop
        self.calls = []
        self.data = bytearray()
        self.lost = loop.create_future()
        self.made = loop.create_future()
        self.ended = loop.create_future()
        self.paused = loop.create_future()
        self.resumed = loop.create_future()
        self.transport = None
        self._waiters = []

    def connection_made(self, transport):
        self.calls.append("made")
        self.transport = transport
        self.made.set_result(None)

    def data_received(self, data):
        assert isinstance(data, bytes) and data
        self.take(data)

    def take(self, data):
        self.data += data
        for size, waiter in self._waiters:
            if len(self.data) >= size and not waiter.done():
                waiter.set_result(None)

    def eof_received(self):
        self.calls.append("eof")
        self.ended.set_result(None)

    def pause_writing(self):
        self.calls.append("pause")
        if not self.paused.done():
            self.paused.set_result(None)

    def resume_writing(self):
        self.calls.append("resume")
        if not self.resumed.done():
            self.resumed.set_result(None)

    def connection_lost(self, exc):
        self.calls.append("lost")
        self.lost.set_result(exc)

    async def received(self, size):
        """Waits until `size` bytes have arrived, and returns all that have."""
        if len(self.data) < size:
            waiter = self.loop.create_future()
            self._waiters.append((size, waiter))
            await waiter
        return bytes(self.data)


class BufferedRecorder(Recorder, asyncio.BufferedProtocol):
    """Like `Recorder`, with its own buffer of `size` bytes."""

    size = 1000

    def get_buffer(self, sizehint):
        self.buffer = bytearray(self.size)
        # asyncio fills the first record only into a bytearray.
        return memoryview(self.buffer)

    def buffer_updated(self, count):
        self.take(bytes(self.buffer[:count]))


class Echo(Recorder):
    """Sends everything back."""

    def data_received(self, data):
        super().data_received(data)
        self.transport.write(data)


def sockets():
    """Returns two connected stream sockets, non-blocking."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    return ours, theirs


async def connected(loop, client=Recorder, server=Recorder, *, client_ssl=None, server_ssl=None, **keywords):
    """Connects a client and a server over TLS, both on `loop`; their protocols are `.client` and `.server`."""
    ours, theirs = sockets()
    accepting = asyncio.ensure_future(
        loop.connect_accepted_socket(lambda: server(loop), theirs, ssl=server_ssl or server_context(), **keywords)
    )
    _, made = await loop.create_connection(
        lambda: client(loop), sock=ours, ssl=client_ssl or client_context(), server_hostname="localhost", **keywords
    )
    _, accepted = await accepting
    return SimpleNamespace(client=made, server=accepted)


async def closed(pair):
    """Closes both ends and waits until they are closed."""
    pair.client.transport.close()
    await pair.client.lost
    pair.server.transport.close()
    await pair.server.lost
