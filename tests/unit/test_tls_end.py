"""How a TLS connection ends: by either side, with or without closing notes, or by failure. On asyncio and on ferrio."""

import asyncio
import gc
import logging
import socket
import ssl
import warnings
import weakref

import pytest
from tests.unit import tls
from tests.unit.implementations import since
from tests.unit.tls import Echo, Recorder

import ferrio


class Peer:
    """The other side, driven by hand: a TLS object over a socket of the loop that does nothing by itself."""

    def __init__(self, loop, sock, context, **keywords):
        self.loop, self.sock = loop, sock
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, **keywords)

    async def do(self, method, *args):
        """Calls a method of the TLS object until it has what it needs."""
        while True:
            try:
                result = method(*args)
            except ssl.SSLWantReadError:
                await self.send()
                data = await self.loop.sock_recv(self.sock, 1 << 16)
                if not data:
                    raise EOFError from None
                self.incoming.write(data)
            else:
                await self.send()
                return result

    async def send(self):
        if self.outgoing.pending:
            await self.loop.sock_sendall(self.sock, self.outgoing.read())

    async def say_closed(self):
        """Sends the closing note without waiting for an answer."""
        with pytest.raises(ssl.SSLWantReadError):
            self.tls.unwrap()
        await self.send()


async def with_peer(loop, protocol=Recorder, **keywords):
    """Connects a protocol, as the server, with a `Peer` as its client."""
    ours, theirs = tls.sockets()
    accepting = asyncio.ensure_future(
        loop.connect_accepted_socket(lambda: protocol(loop), theirs, ssl=tls.server_context(), **keywords)
    )
    peer = Peer(loop, ours, tls.client_context(), server_hostname="localhost")
    await peer.do(peer.tls.do_handshake)
    _, server = await accepting
    return peer, server


def test_close_sends_written_data_and_a_closing_note(loop, run):
    async def main():
        peer, server = await with_peer(loop)
        transport = server.transport
        transport.write(b"x" * 300_000)
        transport.close()
        transport.close()
        assert transport.is_closing()
        received = b""
        while len(received) < 300_000:
            received += await peer.do(peer.tls.read, 1 << 16)
        assert received == b"x" * 300_000
        assert await peer.do(peer.tls.read, 1) == b""
        assert server.calls == ["made"]
        await peer.do(peer.tls.unwrap)
        assert await server.lost is None
        assert server.calls == ["made", "eof", "lost"]
        assert await loop.sock_recv(peer.sock, 1) == b""
        peer.sock.close()

    run(main())


def test_peers_closing_note_ends_the_connection(loop, run):
    async def main():
        peer, server = await with_peer(loop)
        await peer.do(peer.tls.write, b"last words")
        await peer.do(peer.tls.unwrap)
        assert await server.lost is None
        assert server.data == b"last words"
        assert server.calls == ["made", "eof", "lost"]
        assert server.transport.is_closing()
        peer.sock.close()

    run(main())


def test_end_without_a_closing_note_is_an_end(loop, run):
    async def main():
        peer, server = await with_peer(loop)
        await peer.do(peer.tls.write, b"cut")
        peer.sock.shutdown(socket.SHUT_WR)
        assert await server.lost is None
        assert server.data == b"cut"
        assert server.calls == ["made", "eof", "lost"]
        peer.sock.close()

    run(main())


def test_end_waits_until_the_program_reads(loop, run):
    async def main():
        peer, server = await with_peer(loop)
        server.transport.pause_reading()
        await peer.do(peer.tls.write, b"late")
        peer.sock.shutdown(socket.SHUT_WR)
        for _ in range(20):
            await asyncio.sleep(0.001)
        assert server.calls == ["made"]
        server.transport.resume_reading()
        assert await server.lost is None
        assert server.data == b"late"
        assert server.calls == ["made", "eof", "lost"]
        peer.sock.close()

    run(main())


def test_eof_received_keeps_no_connection_open(loop, run, caplog):
    class Keeping(Recorder):
        def eof_received(self):
            super().eof_received()
            return True

    async def main():
        peer, server = await with_peer(loop, Keeping)
        await peer.do(peer.tls.unwrap)
        await server.lost
        peer.sock.close()

    with caplog.at_level(logging.WARNING, "asyncio"):
        run(main())
    assert [record.message for record in caplog.records] == [
        "returning true from eof_received() has no effect when using ssl"
    ]


def test_write_in_eof_received_never_raises(loop, run):
    class Writing(Recorder):
        def eof_received(self):
            super().eof_received()
            self.transport.write(b"bye")

    async def main():
        peer, server = await with_peer(loop, Writing)
        await peer.say_closed()
        assert await server.lost is None
        assert await peer.do(peer.tls.read, 3) == b"bye"
        peer.sock.close()

    run(main())


def test_write_after_the_end_is_dropped(loop, run, caplog):
    async def main():
        pair = await tls.connected(loop)
        await tls.closed(pair)
        for _ in range(10):
            pair.client.transport.write(b"too late")
        pair.client.transport.writelines([b"too", b"late"])

    with caplog.at_level(logging.WARNING, "asyncio"):
        run(main())
    assert {record.message for record in caplog.records} == {"SSL connection is closed"}
    assert 3 <= len(caplog.records) <= 10


def test_write_after_close_is_dropped(loop, run):
    async def main():
        pair = await tls.connected(loop)
        pair.client.transport.write(b"in time")
        pair.client.transport.close()
        pair.client.transport.write(b"too late")
        await pair.server.lost
        assert pair.server.data == b"in time"
        await pair.client.lost

    run(main())


def test_closing_within_data_received(loop, run):
    class Once(Echo):
        def data_received(self, data):
            super().data_received(data)
            self.transport.close()

    async def main():
        pair = await tls.connected(loop, server=Once)
        pair.client.transport.write(b"question")
        assert await pair.client.received(8) == b"question"
        assert await pair.client.lost is None
        assert await pair.server.lost is None

    run(main())


def test_abort_sends_nothing_more(loop, run):
    async def main():
        pair = await tls.connected(loop)
        pair.server.transport.pause_reading()
        while not pair.client.paused.done():
            pair.client.transport.write(b"x" * 100_000)
            await asyncio.sleep(0)
        pair.client.transport.abort()
        assert pair.client.transport.is_closing()
        assert not pair.client.lost.done()
        assert await pair.client.lost is None
        pair.server.transport.resume_reading()
        await pair.server.lost

    run(main())


@since(3, 13)
def test_abort_with_an_exception(aio, loop, run):
    async def main():
        pair = await tls.connected(loop)
        failure = OSError("on purpose")
        pair.client.transport._force_close(failure)
        assert await pair.client.lost is failure
        await pair.server.lost

    run(main())


def test_peer_that_does_not_answer_the_note_times_out(loop, run):
    async def main():
        peer, server = await with_peer(loop, ssl_shutdown_timeout=0.01)
        server.transport.close()
        failure = await server.lost
        assert isinstance(failure, TimeoutError)
        assert str(failure) == "SSL shutdown timed out"
        peer.sock.close()

    run(main())


def test_broken_record_ends_the_connection(loop, run):
    async def main():
        reports = []
        loop.set_exception_handler(lambda loop, context: reports.append(context))
        peer, server = await with_peer(loop)
        await loop.sock_sendall(peer.sock, b"\x17\x03\x03\x00\x20" + b"?" * 32)
        assert isinstance(await server.lost, ssl.SSLError)
        assert reports == []
        peer.sock.close()

    run(main())


def test_data_before_a_broken_record_is_received():
    # asyncio drops it.
    async def main():
        peer, server = await with_peer(asyncio.get_running_loop())
        peer.tls.write(b"good")
        await asyncio.get_running_loop().sock_sendall(
            peer.sock, peer.outgoing.read() + b"\x17\x03\x03\x00\x20" + b"?" * 32
        )
        assert isinstance(await server.lost, ssl.SSLError)
        assert server.data == b"good"
        peer.sock.close()

    ferrio.run(main())


def test_protocol_that_raises_ends_its_connection(loop, run):
    class Raising(Recorder):
        def data_received(self, data):
            raise RuntimeError("on purpose")

    async def main():
        reports = []
        loop.set_exception_handler(lambda loop, context: reports.append(context))
        pair = await tls.connected(loop, server=Raising)
        pair.client.transport.write(b"x")
        assert isinstance(await pair.server.lost, RuntimeError)
        assert [report["message"] for report in reports] == ["Fatal error on SSL protocol"]
        assert str(reports[0]["exception"]) == "on purpose"
        await pair.client.lost

    run(main())


def test_flow_control_that_raises_is_reported(loop, run):
    class Raising(Recorder):
        def pause_writing(self):
            super().pause_writing()
            raise RuntimeError("on purpose")

    async def main():
        reports = []
        loop.set_exception_handler(lambda loop, context: reports.append(context))
        pair = await tls.connected(loop, client=Raising)
        pair.server.transport.pause_reading()
        while not pair.client.paused.done():
            pair.client.transport.write(b"x" * 100_000)
            await asyncio.sleep(0)
        assert [report["message"] for report in reports] == ["protocol.pause_writing() failed"]
        assert reports[0]["transport"] is pair.client.transport
        pair.client.transport.abort()
        await pair.client.lost
        pair.server.transport.abort()
        await pair.server.lost

    run(main())


def test_half_close_is_refused(loop, run):
    async def main():
        pair = await tls.connected(loop)
        assert not pair.client.transport.can_write_eof()
        with pytest.raises(NotImplementedError):
            pair.client.transport.write_eof()
        await tls.closed(pair)

    run(main())


@since(3, 13)
def test_unclosed_tls_transport_warns(aio):
    async def main(loop):
        return await tls.connected(loop)

    loop = aio.new_event_loop()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        pair = loop.run_until_complete(main(loop))
        loop.close()
        del pair, loop
        gc.collect()
    texts = [str(warning.message) for warning in caught if warning.category is ResourceWarning]
    assert sum("unclosed transport" in text and "SSL" in text for text in texts) == 2


def test_closed_connection_leaves_nothing_behind(loop, run, collected):
    async def main():
        client_ssl, server_ssl = tls.client_context(), tls.server_context()
        pair = await tls.connected(loop, client_ssl=client_ssl, server_ssl=server_ssl)
        witnesses = [weakref.ref(thing) for thing in (client_ssl, server_ssl, pair.client)]
        await tls.closed(pair)
        return witnesses

    witnesses = run(main())
    collected()
    assert [witness() for witness in witnesses] == [None] * 3


def test_eof_received_that_raises(loop, run):
    class Raising(Recorder):
        def eof_received(self):
            super().eof_received()
            raise RuntimeError("on purpose")

    async def main():
        reports = []
        loop.set_exception_handler(lambda loop, context: reports.append(context))
        peer, server = await with_peer(loop, Raising)
        await peer.do(peer.tls.write, b"x")
        peer.sock.shutdown(socket.SHUT_WR)
        await server.lost
        assert [report["message"] for report in reports] == ["Error calling eof_received()"]
        peer.sock.close()

    run(main())


def test_closing_before_the_handshake():
    # asyncio goes on with the handshake, and the connection stays.
    async def main():
        loop = asyncio.get_running_loop()
        ours, theirs = tls.sockets()
        protocol = Recorder(loop)
        transport = loop._make_ssl_transport(ours, protocol, tls.client_context(), server_hostname="localhost")
        transport.close()
        assert await loop.sock_recv(theirs, 1) == b""
        assert protocol.calls == []
        theirs.close()

    ferrio.run(main())


def test_closing_a_paused_transport_whose_peer_has_left():
    # asyncio waits until the program reads again.
    async def main():
        loop = asyncio.get_running_loop()
        peer, server = await with_peer(loop)
        server.transport.pause_reading()
        peer.sock.shutdown(socket.SHUT_WR)
        while server.transport._ssl_protocol._transport.is_reading() and "Flushing" not in repr(server.transport):
            await asyncio.sleep(0)
        server.transport.close()
        assert await server.lost is None
        peer.sock.close()

    ferrio.run(main())


def test_closing_while_the_transport_below_is_paused():
    # asyncio waits for the time limit, because it doesn't see the peer's note.
    async def main():
        loop = asyncio.get_running_loop()
        pair = await tls.connected(loop)
        pair.server.transport.set_read_buffer_limits(high=1)
        pair.server.transport.pause_reading()
        pair.client.transport.write(b"x" * 1000)
        while pair.server.transport._ssl_protocol._transport.is_reading():
            await asyncio.sleep(0)
        pair.server.transport.close()
        # OpenSSL treats data after the closing note as an error of the peer's.
        assert isinstance(await pair.server.lost, (ssl.SSLError, type(None)))
        await pair.client.lost

    ferrio.run(main())


def test_subclass_of_tls_objects_may_override_methods(loop, run):
    seen = []

    class Watching(ssl.SSLObject):
        def read(self, *args):
            seen.append("read")
            return super().read(*args)

        def write(self, data):
            seen.append("write")
            return super().write(data)

        def unwrap(self):
            seen.append("unwrap")
            return super().unwrap()

    async def main():
        context = tls.client_context()
        context.sslobject_class = Watching
        pair = await tls.connected(loop, client_ssl=context)
        pair.client.transport.write(b"x" * 50_000)
        pair.server.transport.write(b"y" * 50_000)
        assert await pair.server.received(50_000) == b"x" * 50_000
        assert await pair.client.received(50_000) == b"y" * 50_000
        await tls.closed(pair)
        assert set(seen) == {"read", "write", "unwrap"}

    run(main())
