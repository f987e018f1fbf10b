"""`loop.start_tls()`: switches a connection to TLS that began without it.

The protocol that encrypts is `ferrio.sslproto.SSLProtocol`. Invariant: no byte that the peer sent before the switch is
lost.
"""

from __future__ import annotations

import asyncio.streams
import sys
from typing import Any

from ferrio._ferrio import SSLProtocol, SSLTransport

ssl: Any
try:
    import ssl
except ImportError:  # a Python built without it
    ssl = None


class Upgrading:
    """The method of an event loop that puts TLS on a connection."""

    __slots__ = ()

    async def start_tls(
        self: Any,
        transport: Any,
        protocol: Any,
        sslcontext: Any,
        *,
        server_side: bool = False,
        server_hostname: str | None = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
    ) -> SSLTransport | None:
        """Put TLS between `transport` and `protocol`; return the transport that `protocol` uses from then on.

        It returns `None` if this side closed the connection meanwhile. `sslcontext` is an `ssl.SSLContext`; the time
        limits are in seconds. Raises `TypeError` if it isn't one, or if the transport can't be taken over;
        `ssl.SSLError` or `OSError` if the handshake fails.
        """
        if ssl is None:
            raise RuntimeError("Python ssl module is not available")
        if not isinstance(sslcontext, ssl.SSLContext):
            raise TypeError(f"sslcontext is expected to be an instance of ssl.SSLContext, got {sslcontext!r}")
        if not getattr(transport, "_start_tls_compatible", False):
            raise TypeError(f"transport {transport!r} is not supported by start_tls()")
        waiter = self.create_future()
        tls = SSLProtocol(
            self,
            protocol,
            sslcontext,
            waiter,
            server_side,
            server_hostname,
            call_connection_made=False,
            ssl_handshake_timeout=ssl_handshake_timeout,
            ssl_shutdown_timeout=ssl_shutdown_timeout,
        )
        # Nothing may arrive between the switch and the start of the handshake.
        transport.pause_reading()
        if server_side:
            tls._feed(_take_received(protocol))
        transport.set_protocol(tls)
        begin = self.call_soon(tls.connection_made, transport)
        resume = self.call_soon(transport.resume_reading)
        try:
            await waiter
        except BaseException:
            transport.close()
            begin.cancel()
            resume.cancel()
            # The exception's traceback holds this frame, and the waiter holds the exception.
            waiter = None
            raise
        return tls._app_transport


def _take_received(protocol: Any) -> bytes:
    """Remove and return the unread data of a stream's reader: the peer didn't wait (gh-142352)."""
    modules = (asyncio.streams, sys.modules.get("ferrio.streams"))
    kinds = tuple(getattr(module, "StreamReaderProtocol", ()) for module in modules)
    reader = getattr(protocol, "_stream_reader", None) if isinstance(protocol, kinds) else None
    if reader is None:
        return b""
    received = bytes(reader._buffer)
    if received:
        reader._buffer = bytearray()
    return received
