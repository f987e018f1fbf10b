"""`SimulatedDatagramTransport`: asyncio's datagram transport over a `DatagramEnd`."""

from __future__ import annotations

import contextvars
import socket
from asyncio import transports
from typing import Any

from ferrio.testing.network.connection import Address
from ferrio.testing.network.datagrams import DatagramEnd
from ferrio.testing.network.sockets import SimulatedSocket
from ferrio.testing.network.transport import SimulatedBase, set_unless_done

__all__ = ("SimulatedDatagramTransport",)


class SimulatedDatagramTransport(SimulatedBase, transports.DatagramTransport):
    """A transport over a simulated UDP port. It never makes the protocol wait: datagrams leave at once."""

    _end: DatagramEnd | None = None

    def __init__(
        self, loop: Any, end: DatagramEnd, protocol: Any, address: Address | None, waiter: Any, sock: Any = None
    ) -> None:
        """`sock` is the socket that the program made, which the transport owns from now on."""
        super().__init__({}, loop)
        self._take(sock or SimulatedSocket.of(end, socket.IPPROTO_UDP), end.address)
        self._extra["peername"] = end.remote
        self._end = end
        self._number = end.number
        self._address = address
        self._protocol = protocol
        self._context = end.context = contextvars.copy_context()
        self._soon(protocol.connection_made, self)
        self._soon(self._start_reading)
        self._soon(set_unless_done, waiter)

    def sendto(self, data: bytes | bytearray | memoryview, addr: Any = None) -> None:
        """Send a datagram to `addr`, or to the address that the transport was made with."""
        if not isinstance(data, bytes | bytearray | memoryview):
            raise TypeError(f"data argument must be a bytes-like object, not {type(data).__name__!r}")
        if self._address:
            if addr not in (None, self._address):
                raise ValueError(f"Invalid address: must be None or {self._address}")
            addr = self._address
        if self._end is None or (self._conn_lost and self._address):
            self._note_lost_write()
            return
        try:
            self._end.send(data, None if self._end.remote is not None else addr)
        except OSError as error:
            self._protocol.error_received(error)

    def get_write_buffer_size(self) -> int:
        """Return 0: datagrams leave at once."""
        return 0

    def close(self) -> None:
        """Receive nothing more, and close."""
        self._force_close(None)

    def abort(self) -> None:
        """Close at once."""
        self._force_close(None)

    def _start_reading(self) -> None:
        if not self._closing and self._end is not None:
            self._end.start_reading(self._read_ready)

    def _read_ready(self) -> None:
        if self._conn_lost or self._end is None:
            return
        try:
            data, source = self._end.receive()
        except BlockingIOError:
            pass
        except OSError as error:
            self._protocol.error_received(error)
        else:
            self._protocol.datagram_received(data, source)

    def _force_close(self, error: BaseException | None) -> None:
        if self._closing or self._end is None:
            return
        self._closing = True
        self._conn_lost += 1
        self._end.stop_reading()
        self._soon(self._call_connection_lost, error)

    def _call_connection_lost(self, error: BaseException | None) -> None:
        end, self._end = self._end, None
        try:
            self._protocol.connection_lost(error)
        finally:
            if end is not None:
                self._close_end()
            self._protocol = self._loop = None

    def _is_open(self) -> bool:
        return self._end is not None

    def __repr__(self) -> str:
        state = "closed" if self._end is None else "closing" if self._closing else "open"
        return f"<{type(self).__name__} {state} number={self._number} at {self._extra['sockname']}>"
