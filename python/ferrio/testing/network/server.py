"""`SimulatedServer`: what `create_server` returns while a network is active: ferrio's `Server` over `Listener`s."""

from __future__ import annotations

import asyncio
import functools
import socket
import weakref
from typing import Any

from ferrio._ferrio import SSLProtocol
from ferrio._server import Server
from ferrio.testing.network.connection import Endpoint
from ferrio.testing.network.listening import Listener
from ferrio.testing.network.sockets import SimulatedSocket
from ferrio.testing.network.stream_transport import SimulatedTransport

__all__ = ("SimulatedServer", "accepted")


class SimulatedServer(Server):
    """Accepts the connections of listeners: those of its sockets."""

    def __init__(
        self,
        loop: Any,
        sockets: list[SimulatedSocket],
        protocol_factory: Any,
        ssl_context: Any,
        backlog: int,
        ssl_handshake_timeout: float | None,
        ssl_shutdown_timeout: float | None = None,
    ) -> None:
        super().__init__(
            loop, sockets, protocol_factory, ssl_context, backlog, ssl_handshake_timeout, ssl_shutdown_timeout
        )
        self._listeners = [view.listener for view in sockets]
        self._has_begun = False
        # The connections, in the order in which they were accepted.
        self._visitors: dict[int, weakref.ref[Any]] = {}
        self._timeouts: dict[str, Any] = {
            "ssl_handshake_timeout": ssl_handshake_timeout,
            "ssl_shutdown_timeout": ssl_shutdown_timeout,
        }

    def is_serving(self) -> bool:
        """Return whether connections are accepted."""
        return self._has_begun and self._sockets is not None

    def close_clients(self) -> None:
        """Close every connection of this server, as `transport.close()` does."""
        for transport in self._open_visitors():
            transport.close()

    def abort_clients(self) -> None:
        """Close every connection of this server, as `transport.abort()` does."""
        for transport in self._open_visitors():
            transport.abort()

    def _start_serving(self) -> None:
        if self._sockets is None:
            raise RuntimeError(f"server {self!r} is closed")
        if self._has_begun:
            return
        self._has_begun = True
        for listener in self._listeners:
            listener.listen(self._backlog)
            listener.start_accepting(functools.partial(self._accept, listener))

    def _accept(self, listener: Listener) -> None:
        while True:
            try:
                endpoint = listener.accept()
            except BlockingIOError:
                return
            self._receive(endpoint)

    def _receive(self, endpoint: Endpoint) -> None:
        loop = self.get_loop()
        try:
            protocol = self._protocol_factory()
            waiter = loop.create_future()
            transport, top = accepted(
                loop, endpoint, protocol, waiter, self._ssl_context, server=self, **self._timeouts
            )
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            endpoint.close()
            message = "Error on transport creation for incoming connection"
            loop.call_exception_handler({"message": message, "exception": error})
            return
        self._visitors[endpoint.connection.number] = weakref.ref(transport)
        waiter.add_done_callback(lambda waiter: self._has_begun_or_failed(waiter, protocol, top))

    def _has_begun_or_failed(self, waiter: asyncio.Future[None], protocol: Any, transport: Any) -> None:
        error = None if waiter.cancelled() else waiter.exception()
        if error is None:
            return
        transport.close()
        loop = self.get_loop()
        if isinstance(error, SystemExit | KeyboardInterrupt):
            raise error
        if loop.get_debug():
            message = "Error on transport creation for incoming connection"
            context = {"message": message, "exception": error, "protocol": protocol, "transport": transport}
            loop.call_exception_handler(context)

    def _open_visitors(self) -> list[Any]:
        found = {number: transport for number, each in self._visitors.items() if (transport := each()) is not None}
        self._visitors = {number: self._visitors[number] for number in found}
        return [transport for transport in found.values() if not transport.is_closing()]


def accepted(
    loop: Any,
    endpoint: Endpoint,
    protocol: Any,
    waiter: Any,
    ssl: Any,
    *,
    server: Any = None,
    server_side: bool = True,
    server_hostname: str | None = None,
    ssl_handshake_timeout: float | None = None,
    ssl_shutdown_timeout: float | None = None,
    sock: Any = None,
) -> tuple[SimulatedTransport, Any]:
    """Make the transport over an endpoint, with TLS if `ssl` is true; return it, and the one that `protocol` gets."""
    if not ssl:
        transport = SimulatedTransport(loop, endpoint, protocol, waiter, server=server, sock=sock)
        return transport, transport
    tls = SSLProtocol(
        loop,
        protocol,
        None if ssl is True else ssl,
        waiter,
        server_side,
        server_hostname,
        ssl_handshake_timeout=ssl_handshake_timeout,
        ssl_shutdown_timeout=ssl_shutdown_timeout,
    )
    return SimulatedTransport(loop, endpoint, tls, server=server, sock=sock), tls._app_transport
