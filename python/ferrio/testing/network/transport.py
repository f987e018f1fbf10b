"""`SimulatedBase`: what the transports of streams and of datagrams have in common.

Invariant: a transport that is collected while it is open warns, and closes its socket.
"""

from __future__ import annotations

import contextvars
import logging
import warnings
from asyncio import constants, transports, trsock
from collections.abc import Callable
from typing import Any

from ferrio.testing.network.connection import Address
from ferrio.testing.network.sockets import SimulatedSocket

__all__ = ("SimulatedBase", "logger", "set_unless_done")

logger = logging.getLogger("asyncio")


class SimulatedBase(transports._FlowControlMixin):
    """A transport over a simulated socket."""

    _loop: Any
    # Of the base class, which the types of the standard library don't have.
    _extra: dict[str, Any]
    _protocol: Any
    _context: contextvars.Context
    _closing = False
    # Counts what was written after the connection was lost.
    _conn_lost = 0

    def set_protocol(self, protocol: Any) -> None:
        """Let another protocol have what comes from now on."""
        self._protocol = protocol

    def get_protocol(self) -> Any:
        """Return the protocol."""
        return self._protocol

    def is_closing(self) -> bool:
        """Return whether the transport is closed or about to be."""
        return self._closing

    def _take(self, sock: SimulatedSocket, local: Address) -> None:
        """Makes the socket the transport's."""
        self._sock = sock
        sock.description.transport = self
        self._extra["socket"] = trsock.TransportSocket(sock)
        self._extra["sockname"] = local

    def _is_open(self) -> bool:
        raise NotImplementedError

    def _note_lost_write(self) -> None:
        """Counts and reports a write after the connection was lost."""
        if self._conn_lost >= constants.LOG_THRESHOLD_FOR_CONNLOST_WRITES:
            logger.warning("socket.send() raised exception.")
        self._conn_lost += 1

    def _close_end(self) -> None:
        if self._sock.fileno() != -1:
            self._sock.description.transport = None
        self._sock.close()

    def _soon(self, callback: Callable[..., object], *arguments: Any) -> None:
        self._loop.call_soon(callback, *arguments, context=self._context)

    def __del__(self, _warn: Any = warnings.warn) -> None:
        if self._is_open():
            _warn(f"unclosed transport {self!r}", ResourceWarning, source=self)
            self._close_end()


def set_unless_done(waiter: Any) -> None:
    """Lets the maker of the transport go on, unless it was cancelled."""
    if not waiter.done():
        waiter.set_result(None)
