"""`SimulatedTransport`: asyncio's transport over an `Endpoint`, step by step what `asyncio.selector_events` does.

Invariants: the protocol is called from the loop only, `connection_made` first and `connection_lost` once and last. An
open transport that is collected warns.
"""

from __future__ import annotations

import asyncio
import collections
import contextvars
import errno
import socket
from asyncio import constants, transports
from collections.abc import Callable, Iterable
from typing import Any

from ferrio.testing.network.connection import Endpoint
from ferrio.testing.network.sockets import SimulatedSocket
from ferrio.testing.network.transport import SimulatedBase, logger, set_unless_done

__all__ = ("SimulatedTransport",)

#: How many bytes are read at a time, as in asyncio.
_MOST_AT_ONCE = 256 * 1024


class SimulatedTransport(SimulatedBase, transports.Transport):
    """A transport over one end of a simulated connection."""

    _start_tls_compatible = True
    _sendfile_compatible = constants._SendfileMode.FALLBACK
    _endpoint: Endpoint | None = None

    def __init__(
        self,
        loop: Any,
        endpoint: Endpoint,
        protocol: Any,
        waiter: Any = None,
        extra: dict[str, Any] | None = None,
        server: Any = None,
        sock: Any = None,
    ) -> None:
        """`sock` is the socket that the program made, which the transport owns from now on."""
        super().__init__(extra, loop)
        sock = sock or SimulatedSocket.of(endpoint, socket.IPPROTO_TCP)
        self._take(sock, endpoint.local)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._extra.setdefault("peername", endpoint.remote)
        self._endpoint = endpoint
        self._number = endpoint.connection.number
        self._context = endpoint.context or contextvars.copy_context()
        endpoint.context = self._context
        self._protocol = protocol
        self._server = server
        self._buffer: collections.deque[memoryview] = collections.deque()
        self._paused = False
        self._eof = False
        if server is not None:
            server._attach(self)
        self._soon(protocol.connection_made, self)
        # Reading begins after `connection_made`.
        self._soon(self._start_reading)
        if waiter is not None:
            loop.call_soon(set_unless_done, waiter)

    # ---- reading

    def is_reading(self) -> bool:
        """Return whether data is received."""
        return not self._closing and not self._paused

    def pause_reading(self) -> None:
        """Receive nothing until `resume_reading`."""
        if self.is_reading():
            self._paused = True
            self._end().stop_reading()
            if self._loop.get_debug():
                logger.debug("%r pauses reading", self)

    def resume_reading(self) -> None:
        """Receive data again."""
        if self._closing or not self._paused:
            return
        self._paused = False
        self._start_reading()
        if self._loop.get_debug():
            logger.debug("%r resumes reading", self)

    def _start_reading(self) -> None:
        if self.is_reading():
            self._end().start_reading(self._read_ready)

    def _read_ready(self) -> None:
        if self._conn_lost:
            return
        if isinstance(self._protocol, asyncio.BufferedProtocol):
            self._read_into_buffer()
            return
        data = self._receive(_MOST_AT_ONCE)
        if data:
            self._call("protocol.data_received() call failed.", self._protocol.data_received, data)

    def _read_into_buffer(self) -> None:
        try:
            buffer = self._protocol.get_buffer(-1)
            if not len(buffer):
                raise RuntimeError("get_buffer() returned an empty buffer")
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            self._fatal_error(error, "Fatal error: protocol.get_buffer() call failed.")
            return
        view = memoryview(buffer).cast("B")
        data = self._receive(len(view))
        if data:
            view[: len(data)] = data
            view.release()
            self._call("protocol.buffer_updated() call failed.", self._protocol.buffer_updated, len(data))

    def _receive(self, limit: int) -> bytes | None:
        """Return what has arrived; `None` for nothing, and after the end, which it handles."""
        try:
            data = self._end().receive(limit)
        except BlockingIOError:
            return None
        except OSError as error:
            self._fatal_error(error, "Fatal read error on socket transport")
            return None
        if not data:
            self._received_end()
        return data

    def _received_end(self) -> None:
        if self._loop.get_debug():
            logger.debug("%r received EOF", self)
        kept = self._call("protocol.eof_received() call failed.", self._protocol.eof_received)
        if self._endpoint is None or self._conn_lost:
            return
        if kept:
            self._end().stop_reading()
        else:
            self.close()

    def _call(self, what: str, method: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return method(*arguments)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            self._fatal_error(error, f"Fatal error: {what}")
            return None

    # ---- writing

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send `data`; what there is no room for waits in a buffer."""
        if not isinstance(data, bytes | bytearray | memoryview):
            kind = type(data).__name__
            raise TypeError(f"data argument must be a bytes, bytearray, or memoryview object, not {kind!r}")
        if self._eof:
            raise RuntimeError("Cannot call write() after write_eof()")
        if not data or self._is_lost():
            return
        rest = memoryview(data).cast("B")
        if not self._buffer:
            try:
                rest = rest[self._end().send(rest) :]
            except BlockingIOError:
                pass
            except OSError as error:
                self._fatal_error(error, "Fatal write error on socket transport")
                return
            if not rest:
                return
            self._end().start_writing(self._write_ready)
        self._buffer.append(memoryview(bytes(rest)))
        self._maybe_pause_protocol()  # type: ignore[attr-defined]  # of the base class, as below

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        """Send all of the data, as one piece if there is room."""
        if self._eof:
            raise RuntimeError("Cannot call writelines() after write_eof()")
        self.write(b"".join(list_of_data))

    def write_eof(self) -> None:
        """Close the sending direction after what has been written."""
        if self._closing or self._eof:
            return
        self._eof = True
        if not self._buffer:
            self._end().shutdown()

    def can_write_eof(self) -> bool:
        """Return `True`."""
        return True

    def get_write_buffer_size(self) -> int:
        """Return how many bytes wait in the transport."""
        return sum(map(len, self._buffer))

    def _write_ready(self) -> None:
        if self._conn_lost:
            return
        try:
            while self._buffer:
                sent = self._end().send(self._buffer[0])
                if sent < len(self._buffer[0]):
                    self._buffer[0] = self._buffer[0][sent:]
                    break
                self._buffer.popleft()
        except BlockingIOError:
            pass
        except OSError as error:
            self._end().stop_writing()
            self._buffer.clear()
            self._fatal_error(error, "Fatal write error on socket transport")
            return
        self._maybe_resume_protocol()  # type: ignore[attr-defined]  # it may write more
        if not self._buffer and self._endpoint is not None:
            self._end().stop_writing()
            if self._closing:
                self._call_connection_lost(None)
            elif self._eof:
                self._end().shutdown()

    def _is_lost(self) -> bool:
        """Return whether the connection was lost, and note the write if it was."""
        if self._conn_lost:
            self._note_lost_write()
        return bool(self._conn_lost)

    # ---- the end

    def close(self) -> None:
        """Receive nothing more, send what has been written, then close."""
        if self._closing:
            return
        self._closing = True
        self._end().stop_reading()
        if not self._buffer:
            self._conn_lost += 1
            self._end().stop_writing()
            self._soon(self._call_connection_lost, None)

    def abort(self) -> None:
        """Close at once, and drop what waits in the transport."""
        self._force_close(None)

    def _fatal_error(self, error: BaseException, message: str) -> None:
        if isinstance(error, OSError):
            if self._loop.get_debug():
                logger.debug("%r: %s", self, message, exc_info=True)
        else:
            context = {"message": message, "exception": error, "transport": self, "protocol": self._protocol}
            self._loop.call_exception_handler(context)
        self._force_close(error)

    def _force_close(self, error: BaseException | None) -> None:
        if self._conn_lost:
            return
        self._buffer.clear()
        self._end().stop_writing()
        if not self._closing:
            self._closing = True
            self._end().stop_reading()
        self._conn_lost += 1
        self._soon(self._call_connection_lost, error)

    def _call_connection_lost(self, error: BaseException | None) -> None:
        try:
            self._protocol.connection_lost(error)
        finally:
            self._close_end()
            self._endpoint = self._protocol = self._loop = None
            server, self._server = self._server, None
            if server is not None:
                server._detach(self)

    def _end(self) -> Endpoint:
        if self._endpoint is None:
            raise OSError(errno.EBADF, "the transport is closed")
        return self._endpoint

    def _is_open(self) -> bool:
        return self._endpoint is not None

    def __repr__(self) -> str:
        state = "closed" if self._endpoint is None else "closing" if self._closing else "open"
        words = [type(self).__name__, state, f"number={self._number}", f"peer={self._extra.get('peername')}"]
        if state != "closed":
            words.append(f"read={'polling' if self.is_reading() else 'idle'}")
            words.append(f"write=<bufsize={self.get_write_buffer_size()}>")
        return f"<{' '.join(words)}>"
