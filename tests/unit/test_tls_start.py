"""`loop.start_tls()`, `SSLProtocol` over other transports, TLS in TLS. One body on asyncio and on ferrio."""

import asyncio
import ssl
from types import SimpleNamespace

import pytest
from tests.unit import tls
from tests.unit.implementations import since
from tests.unit.tls import BufferedRecorder, Echo, Recorder

import ferrio


async def in_the_clear(loop, client=Recorder, server=Recorder):
    """Connects a client and a server without TLS."""
    ours, theirs = tls.sockets()
    _, made = await loop.create_connection(lambda: client(loop), sock=ours)
    _, accepted = await loop.connect_accepted_socket(lambda: server(loop), theirs)
    return SimpleNamespace(client=made, server=accepted)


def start_tls(loop, protocol, **keywords):
    """Upgrades the client's end."""
    context = tls.client_context()
    return loop.start_tls(protocol.transport, protocol, context, server_hostname="localhost", **keywords)


async def upgrade(loop, pair):
    """Upgrades both ends of a pair to TLS, and gives the protocols their transports."""
    pair.client.transport, pair.server.transport = await asyncio.gather(
        start_tls(loop, pair.client),
        loop.start_tls(pair.server.transport, pair.server, tls.server_context(), server_side=True),
    )


@pytest.mark.parametrize("end", ["close", "abort"])
def test_closed_connection_gets_no_transport(loop, run, end):
    async def main():
        pair = await in_the_clear(loop)
        getattr(pair.client.transport, end)()
        assert await start_tls(loop, pair.client) is None
        await pair.client.lost
        await pair.server.lost
        assert pair.client.calls == ["made", "lost"]

    run(main())


@pytest.mark.parametrize("end", ["close", "abort"])
def test_connection_closed_during_the_handshake_gets_no_transport(loop, run, end):
    async def main():
        pair = await in_the_clear(loop)
        upgrading = asyncio.ensure_future(start_tls(loop, pair.client))
        await pair.server.received(1)
        getattr(pair.client.transport, end)()
        assert await upgrading is None
        await pair.server.lost

    run(main())


def test_lost_connection_waits_no_longer_than_the_handshake():
    # asyncio's waits for ever.
    async def main():
        loop = asyncio.get_running_loop()
        pair = await in_the_clear(loop)
        pair.client.transport.close()
        await pair.client.lost
        with pytest.raises(ConnectionAbortedError, match=r"taking longer than 0\.01 seconds"):
            await start_tls(loop, pair.client, ssl_handshake_timeout=0.01)
        await pair.server.lost

    ferrio.run(main())


def test_closed_stream_cannot_be_upgraded(aio, loop, run):
    async def main():
        ours, theirs = tls.sockets()
        with theirs:
            _, writer = await aio.open_connection(sock=ours)
            writer.close()
            with pytest.raises(ConnectionResetError, match="Connection lost"):
                await writer.start_tls(tls.client_context(), server_hostname="localhost")

    run(main())


def test_stream_closed_during_the_handshake():
    # asyncio leaves a writer without a transport.
    async def main():
        loop = asyncio.get_running_loop()
        ours, theirs = tls.sockets()
        with theirs:
            _, writer = await ferrio.open_connection(sock=ours)
            upgrading = asyncio.ensure_future(writer.start_tls(tls.client_context(), server_hostname="localhost"))
            assert await loop.sock_recv(theirs, 1)
            writer.close()
            with pytest.raises(ConnectionAbortedError, match="closed during the TLS handshake"):
                await upgrading
            assert writer.is_closing()

    ferrio.run(main())


@pytest.mark.parametrize("receiver", [Recorder, BufferedRecorder])
def test_connection_goes_on_with_tls(loop, run, receiver):
    async def main():
        pair = await in_the_clear(loop, receiver, receiver)
        pair.client.transport.write(b"clear")
        assert await pair.server.received(5) == b"clear"
        await upgrade(loop, pair)
        assert pair.client.transport.get_extra_info("sslcontext")
        assert pair.client.transport.get_extra_info("socket").fileno() > 0
        assert pair.client.transport.get_protocol() is pair.client
        pair.client.transport.write(b"secret" * 10_000)
        pair.server.transport.write(b"answer" * 10_000)
        assert await pair.server.received(60_005) == b"clear" + b"secret" * 10_000
        assert await pair.client.received(60_000) == b"answer" * 10_000
        await tls.closed(pair)
        assert pair.client.calls == ["made", "eof", "lost"]

    run(main())


def test_tls_in_tls(loop, run):
    async def main():
        pair = await tls.connected(loop)
        outer = pair.client.transport
        await upgrade(loop, pair)
        assert pair.client.transport is not outer
        data = bytes(range(256)) * 4000
        pair.client.transport.write(data)
        pair.server.transport.write(data[::-1])
        assert await pair.server.received(len(data)) == data
        assert await pair.client.received(len(data)) == data[::-1]
        await tls.closed(pair)
        assert pair.server.calls[0] == "made"
        assert pair.server.calls[-2:] == ["eof", "lost"]

    run(main())


def test_invalid_upgrade_is_refused(loop, run):
    async def main():
        pair = await in_the_clear(loop)
        for nonsense in (None, True, "context"):
            with pytest.raises(TypeError, match=r"expected to be an instance of ssl\.SSLContext"):
                await loop.start_tls(pair.client.transport, pair.client, nonsense)
        with pytest.raises(TypeError, match=r"not supported by start_tls\(\)"):
            await loop.start_tls(object(), pair.client, tls.client_context())
        await tls.closed(pair)

    run(main())


def test_failing_handshake_closes_the_connection(loop, run):
    async def main():
        pair = await in_the_clear(loop, server=Echo)
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await start_tls(loop, pair.client)
        assert pair.client.transport.is_closing()
        await pair.server.lost

    run(main())


def test_upgrade_can_be_cancelled(loop, run):
    async def main():
        pair = await in_the_clear(loop)
        upgrading = asyncio.ensure_future(start_tls(loop, pair.client))
        await pair.server.received(1)
        upgrading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await upgrading
        assert pair.client.transport.is_closing()
        await pair.server.lost

    run(main())


@since(3, 15)
def test_bytes_that_came_with_the_request_reach_tls(aio, loop, run):
    # A client that sends its hello right after the last clear bytes (gh-142352).
    async def main():
        ours, theirs = tls.sockets()
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = tls.client_context().wrap_bio(incoming, outgoing, server_hostname="localhost")
        with pytest.raises(ssl.SSLWantReadError):
            client.do_handshake()
        writers = []
        # The standard library's streams work on any loop.
        reader = asyncio.StreamReader(loop=loop)
        protocol = asyncio.StreamReaderProtocol(reader, lambda _, writer: writers.append(writer), loop=loop)
        transport, _ = await loop.connect_accepted_socket(lambda: protocol, theirs)
        await loop.sock_sendall(ours, b"STARTTLS\n" + outgoing.read())
        assert await reader.readline() == b"STARTTLS\n"
        upgrading = asyncio.ensure_future(loop.start_tls(transport, protocol, tls.server_context(), server_side=True))
        while True:
            try:
                client.do_handshake()
                break
            except ssl.SSLWantReadError:
                incoming.write(await loop.sock_recv(ours, 1 << 16))
        client.write(b"secret\n")
        await loop.sock_sendall(ours, outgoing.read())
        upgraded = await upgrading
        assert await reader.readline() == b"secret\n"
        upgraded.abort()
        ours.close()
        await reader.read()

    run(main())


class Pipe(asyncio.Transport):
    """A transport in memory: the other end's protocol receives in the next turn what one end writes."""

    def __init__(self, loop, protocol, *, buffered):
        super().__init__()
        self.loop, self.protocol, self.buffered = loop, protocol, buffered
        self.other, self.closing, self.written = None, False, []

    def get_extra_info(self, name, default=None):
        return {"pipe": self}.get(name, default)

    def write(self, data):
        assert not self.closing
        self.written.append(bytes(data))
        self.loop.call_soon(self.other.deliver, bytes(data))

    def deliver(self, data):
        if self.closing:
            return
        if not self.buffered:
            self.protocol.data_received(data)
            return
        while data:
            buffer = memoryview(self.protocol.get_buffer(len(data)))
            count = min(len(buffer), len(data))
            buffer[:count] = data[:count]
            del buffer
            self.protocol.buffer_updated(count)
            data = data[count:]

    def is_closing(self):
        return self.closing

    def close(self):
        self._force_close(None)

    def abort(self):
        self._force_close(None)

    def _force_close(self, exc):
        if not self.closing:
            self.closing = True
            self.loop.call_soon(self.protocol.connection_lost, exc)
            self.loop.call_soon(self.other.end)

    def end(self):
        if not self.closing and not self.protocol.eof_received():
            self.close()

    def pause_reading(self):
        pass

    def resume_reading(self):
        pass


def in_memory(aio, loop, buffered, waiters):
    """Makes two `SSLProtocol`s whose transports are the ends of a `Pipe`."""
    made = []
    for context, keywords in ((tls.client_context(), {"server_hostname": "localhost"}), (tls.server_context(), {})):
        protocol = Recorder(loop)
        made.append(
            aio.sslproto.SSLProtocol(loop, protocol, context, waiters[len(made)], server_side=not keywords, **keywords)
        )
        made[-1].recorder = protocol
    pipes = [Pipe(loop, protocol, buffered=buffered) for protocol in made]
    pipes[0].other, pipes[1].other = pipes[1], pipes[0]
    for protocol, pipe in zip(made, pipes, strict=True):
        protocol.connection_made(pipe)
    return made, pipes


def test_any_transport_can_be_used(aio, loop, run):
    async def main():
        waiters = [loop.create_future(), loop.create_future()]
        (client, server), pipes = in_memory(aio, loop, True, waiters)
        await asyncio.gather(*waiters)
        transport = client.recorder.transport
        assert transport.get_extra_info("pipe") is pipes[0]
        assert isinstance(client, asyncio.BufferedProtocol)
        transport.write(b"x" * 100_000)
        assert await server.recorder.received(100_000) == b"x" * 100_000
        transport.close()
        assert await client.recorder.lost is None
        assert await server.recorder.lost is None
        assert server.recorder.calls == ["made", "eof", "lost"]

    run(main())


def test_data_received_can_be_used_too():
    # For transports that don't know about buffers; asyncio's class has no such method.
    async def main():
        loop = asyncio.get_running_loop()
        waiters = [loop.create_future(), loop.create_future()]
        (client, server), _ = in_memory(ferrio, loop, False, waiters)
        await asyncio.gather(*waiters)
        client.recorder.transport.write(b"x" * 100_000)
        assert await server.recorder.received(100_000) == b"x" * 100_000
        client.recorder.transport.close()
        await client.recorder.lost
        await server.recorder.lost

    ferrio.run(main())


def test_full_transport_is_not_written_to(aio, loop, run):
    async def main():
        waiters = [loop.create_future(), loop.create_future()]
        (client, server), pipes = in_memory(aio, loop, True, waiters)
        await asyncio.gather(*waiters)
        for _ in range(5):
            await asyncio.sleep(0)
        written = len(pipes[0].written)
        client.pause_writing()
        client.recorder.transport.write(b"x" * 600_000)
        for _ in range(5):
            await asyncio.sleep(0)
        assert len(pipes[0].written) == written
        assert client.recorder.calls == ["made", "pause"]
        assert client.recorder.transport.get_write_buffer_size() >= 600_000
        client.resume_writing()
        assert await server.recorder.received(600_000) == b"x" * 600_000
        assert client.recorder.calls == ["made", "pause", "resume"]
        assert client.recorder.transport.get_write_buffer_size() == 0
        client.recorder.transport.close()
        await client.recorder.lost
        await server.recorder.lost

    run(main())


def test_standard_protocol_works_on_ferrio():
    async def main():
        loop = asyncio.get_running_loop()
        waiters = [loop.create_future(), loop.create_future()]
        (client, server), _ = in_memory(asyncio, loop, True, waiters)
        await asyncio.gather(*waiters)
        client.recorder.transport.write(b"x" * 100_000)
        assert await server.recorder.received(100_000) == b"x" * 100_000
        client.recorder.transport.close()
        await client.recorder.lost
        await server.recorder.lost

    ferrio.run(main())


def test_ferrios_protocol_works_on_asyncio():
    async def main():
        loop = asyncio.get_running_loop()
        waiters = [loop.create_future(), loop.create_future()]
        (client, server), _ = in_memory(ferrio, loop, True, waiters)
        await asyncio.gather(*waiters)
        client.recorder.transport.write(b"x" * 100_000)
        assert await server.recorder.received(100_000) == b"x" * 100_000
        client.recorder.transport.close()
        await client.recorder.lost
        await server.recorder.lost

    asyncio.run(main())
