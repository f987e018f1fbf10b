"""The TLS handshake: what is agreed, what both sides learn, every way to fail. On asyncio and on ferrio."""

import asyncio
import logging
import socket
import ssl

import pytest
from tests.unit import tls
from tests.unit.tls import Recorder

import ferrio


def test_both_sides_learn_what_was_agreed(loop, run):
    async def main():
        client_ssl, server_ssl = tls.client_context(), tls.server_context(client_certificates=True)
        tls.certificate("client").configure_cert(client_ssl)
        pair = await tls.connected(loop, client_ssl=client_ssl, server_ssl=server_ssl)
        for side, other, context in [("client", "localhost", client_ssl), ("server", "client", server_ssl)]:
            transport = getattr(pair, side).transport
            info = transport.get_extra_info
            assert isinstance(transport, asyncio.Transport)
            assert info("sslcontext") is context
            assert isinstance(info("ssl_object"), ssl.SSLObject)
            assert info("cipher") == info("ssl_object").cipher()
            assert info("compression") is None
            assert ("DNS", other) in info("peercert")["subjectAltName"]
            assert info("peercert") is info("peercert")
            assert info("socket").fileno() > 0
            assert info("nonsense") is None
            assert info("nonsense", 7) == 7
        assert pair.client.transport.get_extra_info("ssl_object").server_hostname == "localhost"
        await tls.closed(pair)
        # What was known stays known, except what only the socket knew.
        assert pair.client.transport.get_extra_info("cipher")
        assert pair.client.transport.get_extra_info("socket") is None

    run(main())


def test_session_is_reused(loop, run):
    async def main():
        client_ssl, server_ssl = tls.client_context(), tls.server_context()
        client_ssl.maximum_version = ssl.TLSVersion.TLSv1_2
        pair = await tls.connected(loop, client_ssl=client_ssl, server_ssl=server_ssl)
        session = pair.client.transport.get_extra_info("ssl_object").session
        assert isinstance(session, ssl.SSLSession)
        assert session.timeout > 0
        await tls.closed(pair)

    run(main())


def test_application_protocols_are_negotiated(loop, run):
    async def main():
        client_ssl, server_ssl = tls.client_context(), tls.server_context()
        client_ssl.set_alpn_protocols(["h2", "http/1.1"])
        server_ssl.set_alpn_protocols(["http/1.1"])
        pair = await tls.connected(loop, client_ssl=client_ssl, server_ssl=server_ssl)
        for side in (pair.client, pair.server):
            assert side.transport.get_extra_info("ssl_object").selected_alpn_protocol() == "http/1.1"
        await tls.closed(pair)

    run(main())


def test_requested_server_name_chooses_the_context(loop, run):
    async def main():
        asked, first, second = [], tls.server_context(name="elsewhere"), tls.server_context()

        def choose(sslobject, name, context):
            asked.append(name)
            sslobject.context = second

        first.sni_callback = choose
        pair = await tls.connected(loop, server_ssl=first)
        assert asked == ["localhost"]
        await tls.closed(pair)

    run(main())


def test_connection_made_comes_before_the_result(loop, run):
    class Client(Recorder):
        def connection_made(self, transport):
            super().connection_made(transport)
            transport.write(b"at once")

    async def main():
        pair = await tls.connected(loop, client=Client)
        assert pair.client.calls == ["made"]
        assert await pair.server.received(7) == b"at once"
        await tls.closed(pair)
        assert pair.client.calls == ["made", "eof", "lost"]
        assert pair.server.calls == ["made", "eof", "lost"]

    run(main())


def test_client_refuses_a_certificate_for_another_name(loop, run, caplog):
    async def main():
        reports = []
        loop.set_exception_handler(lambda loop, context: reports.append(context))
        ours, theirs = tls.sockets()
        server = asyncio.ensure_future(
            loop.connect_accepted_socket(lambda: Recorder(loop), theirs, ssl=tls.server_context())
        )
        with pytest.raises(ssl.CertificateError, match="elsewhere"):
            await loop.create_connection(
                lambda: Recorder(loop), sock=ours, ssl=tls.client_context(), server_hostname="elsewhere"
            )
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await server
        assert reports == []

    with caplog.at_level(logging.DEBUG, "asyncio"):
        run(main())
    assert not [record for record in caplog.records if record.levelno > logging.DEBUG]


def test_debug_mode_logs_the_failure(loop, run, caplog):
    async def main():
        ours, theirs = tls.sockets()
        theirs.send(b"nonsense, not a handshake")
        with pytest.raises(ssl.SSLError):
            await loop.connect_accepted_socket(lambda: Recorder(loop), ours, ssl=tls.server_context())
        theirs.close()

    loop.set_debug(True)
    with caplog.at_level(logging.DEBUG, "asyncio"):
        run(main())
    messages = [record.message for record in caplog.records]
    assert any("starts SSL handshake" in message for message in messages)
    failed = [record for record in caplog.records if record.message.endswith(": SSL handshake failed")]
    assert len(failed) == 1
    assert isinstance(failed[0].exc_info[1], ssl.SSLError)


def test_server_may_require_a_certificate(loop, run):
    async def main():
        client_ssl, server_ssl = tls.client_context(), tls.server_context(client_certificates=True)
        client_ssl.maximum_version = ssl.TLSVersion.TLSv1_2
        ours, theirs = tls.sockets()
        server = asyncio.ensure_future(loop.connect_accepted_socket(lambda: Recorder(loop), theirs, ssl=server_ssl))
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await loop.create_connection(lambda: Recorder(loop), sock=ours, ssl=client_ssl, server_hostname="localhost")
        with pytest.raises(ssl.SSLError, match=r"(?i)certificate"):
            await server

    run(main())


def test_peer_learns_why_it_is_refused():
    # asyncio drops the alert, so the other side only sees the connection end.
    async def main():
        loop = asyncio.get_running_loop()
        ours, theirs = tls.sockets()
        server = asyncio.ensure_future(
            loop.connect_accepted_socket(lambda: Recorder(loop), theirs, ssl=tls.server_context())
        )
        with pytest.raises(ssl.CertificateError):
            await loop.create_connection(
                lambda: Recorder(loop), sock=ours, ssl=tls.client_context(), server_hostname="elsewhere"
            )
        with pytest.raises(ssl.SSLError, match=r"(?i)alert.bad.certificate"):
            await server

    ferrio.run(main())


@pytest.mark.parametrize("nonsense", [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\xff\xff" + bytes(100), b"\x00" * 5000])
def test_nonsense_instead_of_a_handshake_costs_its_own_connection(loop, run, nonsense):
    async def main():
        made = []

        def factory():
            made.append(Recorder(loop))
            return made[-1]

        server = await loop.create_server(factory, "127.0.0.1", 0, ssl=tls.server_context())
        address = server.sockets[0].getsockname()
        bad = socket.create_connection(address)
        bad.sendall(nonsense)
        bad.shutdown(socket.SHUT_WR)
        bad.setblocking(False)
        try:
            while await loop.sock_recv(bad, 100):
                pass
        except ConnectionError:
            pass
        bad.close()
        transport, protocol = await loop.create_connection(
            lambda: Recorder(loop), *address, ssl=tls.client_context(), server_hostname="localhost"
        )
        transport.write(b"fine")
        assert await made[-1].received(4) == b"fine"
        assert made[0].calls == []
        transport.close()
        await protocol.lost
        await made[-1].lost
        server.close()
        await server.wait_closed()

    run(main())


def test_peer_that_leaves_during_the_handshake(loop, run):
    async def main():
        ours, theirs = tls.sockets()
        connecting = asyncio.ensure_future(
            loop.create_connection(lambda: Recorder(loop), sock=ours, ssl=tls.client_context(), server_hostname="x")
        )
        assert await loop.sock_recv(theirs, 10)
        theirs.close()
        with pytest.raises(ConnectionResetError):
            await connecting

    run(main())


@pytest.mark.parametrize("timeout", [0, -1, -0.5])
def test_timeouts_must_be_positive(loop, run, timeout):
    async def main():
        for name in ("ssl_handshake_timeout", "ssl_shutdown_timeout"):
            ours, theirs = tls.sockets()
            with pytest.raises(ValueError, match=f"{name} should be a positive number, got {timeout}"):
                await loop.create_connection(
                    lambda: Recorder(loop), sock=ours, ssl=tls.client_context(), server_hostname="x", **{name: timeout}
                )
            ours.close()
            theirs.close()

    run(main())


def test_handshake_times_out(loop, run):
    async def main():
        ours, theirs = tls.sockets()
        with pytest.raises(ConnectionAbortedError, match=r"taking longer than 0\.01 seconds"):
            await loop.create_connection(
                lambda: Recorder(loop),
                sock=ours,
                ssl=tls.client_context(),
                server_hostname="x",
                ssl_handshake_timeout=0.01,
            )
        theirs.close()

    run(main())


def test_cancelled_connection_is_given_up(loop, run):
    async def main():
        ours, theirs = tls.sockets()
        connecting = asyncio.ensure_future(
            loop.create_connection(lambda: Recorder(loop), sock=ours, ssl=tls.client_context(), server_hostname="x")
        )
        while await loop.sock_recv(theirs, 1 << 16):
            connecting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await connecting
        theirs.close()

    run(main())


def test_server_needs_a_context(loop, run):
    async def main():
        ours, theirs = tls.sockets()
        with pytest.raises(ValueError, match="Server side SSL needs a valid SSLContext"):
            await loop.connect_accepted_socket(lambda: Recorder(loop), ours, ssl=True)
        ours.close()
        theirs.close()

    run(main())
