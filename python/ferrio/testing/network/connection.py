"""`Connection` and its two `Endpoint`s: TCP as the two hosts' systems keep it, without a socket or a transport.

An endpoint behaves like a non-blocking socket. `receive` and `send` do what they can at once or raise
`BlockingIOError`; `start_reading` and `start_writing` call back when they can do more. Transports are one user of an
endpoint, and sockets are another.

Invariant: an endpoint calls its user from the loop only, never within a call that the user or the peer makes.
"""

from __future__ import annotations

import collections
import contextvars
import errno
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ferrio.testing.network.pipe import HEADER, Pipe, Signal

if TYPE_CHECKING:
    from ferrio.testing.network.hosts import Host
    from ferrio.testing.network.listening import Listener
    from ferrio.testing.network.network import Network

__all__ = ("Address", "Connection", "Endpoint", "failure")

#: An IPv4 address and a port.
Address = tuple[str, int]

_Callback = Callable[[], object]


def failure(number: int, details: str = "") -> OSError:
    """Returns the exception that the system raises for an error number."""
    return OSError(number, os.strerror(number) + (f": {details}" if details else ""))


class Connection:
    """A TCP connection between two hosts."""

    def __init__(
        self, number: int, client: tuple[Host, Address], server: tuple[Host, Address], listener: Listener
    ) -> None:
        self.network: Network = client[0].network
        self.number = number
        """Counts the connections and datagram ports of a network from 1."""
        self.opened_at = self.network.time()
        """When the server's host heard of it, by the loop's clock."""
        self._listener = listener
        self.client_end = Endpoint(self, *client, server[1])
        self.server_end = Endpoint(self, *server, client[1])
        there, back = self.network.path(client[0], server[0]), self.network.path(server[0], client[0])
        self.client_end._join(self.server_end, there, back)
        self.server_end._join(self.client_end, back, there)

    @property
    def client(self) -> Host:
        """The host that connected."""
        return self.client_end.host

    @property
    def server(self) -> Host:
        """The host that listens."""
        return self.server_end.host

    @property
    def client_address(self) -> Address:
        """The client's address and port."""
        return self.client_end.local

    @property
    def server_address(self) -> Address:
        """The server's address and port."""
        return self.server_end.local

    def reset(self) -> None:
        """Breaks the connection: from the next turn on, both ends raise `ConnectionResetError`."""
        self.network.note("reset", self.client, self.server)
        for end in (self.client_end, self.server_end):
            self.network.call_at(self.network.time(), end.fail, failure(errno.ECONNRESET), context=end.context)

    def refresh(self) -> None:
        """Forgets the connection if neither end needs it any more."""
        if all(end.is_over and end.outgoing.is_empty for end in (self.client_end, self.server_end)):
            self.end()

    def end(self) -> None:
        """Drops everything that is on its way."""
        self.client_end.outgoing.end()
        self.server_end.outgoing.end()
        self.network.forget(self)

    def __repr__(self) -> str:
        return (
            f"<Connection {self.number} from {self.client.name} ({self.client_address[0]}:{self.client_address[1]})"
            f" to {self.server.name} ({self.server_address[0]}:{self.server_address[1]})>"
        )


class Endpoint:
    """One end of a connection. `local` and `remote` are the two addresses, `host` is the host that has this end."""

    peer: Endpoint
    """The other end."""
    incoming: Pipe
    """What comes from the peer."""
    outgoing: Pipe
    """What goes to the peer."""

    def __init__(self, connection: Connection, host: Host, local: Address, remote: Address) -> None:
        self.connection = connection
        self.host = host
        self.local = local
        self.remote = remote
        self.context: contextvars.Context | None = None
        """The context of callbacks."""
        self.has_vanished = False
        """Whether its host crashed."""
        self._inbox: collections.deque[bytes] = collections.deque()
        self._has_end = False
        self._error: OSError | None = None
        self._is_broken = False
        self._is_shut = False
        self._is_closed = False
        self._on_readable: _Callback | None = None
        self._on_writable: _Callback | None = None
        self._turns: dict[str, Any] = {}

    def _join(self, peer: Endpoint, there: Any, back: Any) -> None:
        self.peer = peer
        self.outgoing = peer.incoming = Pipe(self, peer, there, back, self.host.network.window)

    # ---- what a user calls

    @property
    def is_readable(self) -> bool:
        """Whether `receive` does something else than raise `BlockingIOError`."""
        return bool(self._inbox) or self._has_end or self._is_broken

    @property
    def is_writable(self) -> bool:
        """Whether `send` does something else than raise `BlockingIOError`."""
        return self._is_broken or self._is_shut or self.outgoing.room > 0

    @property
    def available(self) -> int:
        """How many bytes have arrived and not been read."""
        return sum(map(len, self._inbox))

    def receive(self, limit: int) -> bytes:
        """Returns up to `limit` bytes of one piece, or b"" at the end.

        Raises `BlockingIOError` if there is nothing yet, and the connection's error after what came before it.
        """
        if not self._inbox:
            if self._error is not None:
                raise self._take_error()
            if self._has_end or self._is_broken:
                return b""
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        data = self._inbox.popleft()
        if self.incoming.joins_pieces:
            data = self._joined(data, limit)
        if len(data) > limit:
            self._inbox.appendleft(data[limit:])
            data = data[:limit]
        self.incoming.was_read(len(data))
        return data

    def send(self, data: bytes | bytearray | memoryview) -> int:
        """Sends as many bytes as there is room for, and returns their number.

        Raises `BlockingIOError` if there is no room, the connection's error, or `BrokenPipeError` after `shutdown`
        and after an error.
        """
        if self._error is not None:
            raise self._take_error()
        if self._is_broken or self._is_shut or self._is_closed:
            raise failure(errno.EPIPE)
        room = self.outgoing.room
        if room <= 0:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        sent = bytes(memoryview(data).cast("B")[:room])
        if sent:
            self.outgoing.send(sent)
        return len(sent)

    def shutdown(self) -> None:
        """Sends the end of the data: the peer reads it after all bytes. Receiving goes on."""
        if not (self._is_shut or self._is_broken):
            self._is_shut = True
            self.outgoing.signal(Signal.END)

    def close(self) -> None:
        """Ends both directions. What was sent still arrives; what wasn't read resets the connection, as in TCP."""
        if self._is_closed:
            return
        if self._inbox and not self._is_broken:
            self._is_shut = True
            self.outgoing.signal(Signal.RESET)
        else:
            self.shutdown()
        self._is_closed = True
        self.stop_reading()
        self.stop_writing()
        self._inbox.clear()
        self.connection.refresh()

    def reset(self) -> None:
        """Ends both directions; the peer raises `ConnectionResetError` after what was sent before."""
        if not (self._is_closed or self._is_broken):
            self._is_shut = True
            self.outgoing.signal(Signal.RESET)
        self._inbox.clear()
        self.close()

    def start_reading(self, callback: _Callback) -> None:
        """Calls `callback()` from the loop, once a turn, as long as `is_readable`."""
        self._on_readable = callback
        if self.is_readable:
            self._later("read", self._read)

    def stop_reading(self) -> None:
        """Ends what `start_reading` began."""
        self._on_readable = None

    def start_writing(self, callback: _Callback) -> None:
        """Calls `callback()` from the loop, once a turn, as long as `is_writable`."""
        self._on_writable = callback
        if self.is_writable:
            self._later("write", self._write)
        else:
            self.outgoing.wait_for_room()

    def stop_writing(self) -> None:
        """Ends what `start_writing` began."""
        self._on_writable = None

    # ---- what the network calls

    @property
    def is_over(self) -> bool:
        """Whether the program has closed this end, or an error has."""
        return self._is_closed or self._is_broken

    @property
    def waits_for_room(self) -> bool:
        """Whether the user wants to hear of room."""
        return self._on_writable is not None

    def arrived(self, item: bytes | Signal) -> None:
        """Something has come from the peer."""
        network = self.host.network
        note = item.value if isinstance(item, Signal) else "data"
        network.note(note, self.peer.host, self.host, len(item) if isinstance(item, bytes) else 0)
        if item is Signal.RESET:
            # The system says something else if the peer had ended its data before.
            self.fail(failure(errno.EPIPE if self._has_end and not self._is_shut else errno.ECONNRESET))
        elif self._is_broken:
            # The system knows nothing of the connection any more; it may have restarted.
            network.path(self.host, self.peer.host).send_surely(HEADER, self._refuse_peer)
        elif item is Signal.ESTABLISHED:
            self.connection._listener.established(self)
        elif self._is_closed:
            if isinstance(item, bytes):
                self._is_broken = True
                self.outgoing.signal(Signal.RESET)
        else:
            if isinstance(item, bytes):
                self._inbox.append(item)
            else:
                self._has_end = True
            self._read()
        self.connection.refresh()

    def has_room(self) -> None:
        """The window has opened."""
        self._write()

    def timed_out(self) -> None:
        """The peer hasn't answered for a quarter of an hour."""
        self.fail(failure(errno.ETIMEDOUT))

    def vanish(self) -> None:
        """Its host has crashed: the peer hears nothing, and what still uses this end gets an error."""
        self.has_vanished = True
        self._break(failure(errno.ECONNABORTED, f"the host {self.host.name} crashed"))
        self._later("read", self._read)
        self._later("write", self._write)

    def fail(self, error: OSError) -> None:
        """Breaks this end; its user gets `error`."""
        if not self._is_broken:
            self._break(error)
            self.outgoing.end()
            self._read()
            self._write()
            self.connection.refresh()

    def _break(self, error: OSError) -> None:
        self._is_broken = True
        if not self._is_closed:
            self._error = error

    def _refuse_peer(self) -> None:
        self.host.network.note("reset", self.host, self.peer.host)
        if self.peer.context is not None:
            self.peer.context.run(self.peer.fail, failure(errno.ECONNRESET))
        else:
            self.peer.fail(failure(errno.ECONNRESET))

    def _take_error(self) -> OSError:
        error, self._error = self._error, None
        assert error is not None
        return error

    def _joined(self, data: bytes, limit: int) -> bytes:
        """Pieces that wait together may be read together."""
        while self._inbox and len(data) < limit and self.host.network.random.random() < 0.5:
            data += self._inbox.popleft()
        return data

    # ---- turns

    def _read(self) -> None:
        if self._on_readable is not None and self.is_readable:
            self._on_readable()
            if self._on_readable is not None and self.is_readable:
                self._later("read", self._read)

    def _write(self) -> None:
        if self._on_writable is not None:
            if self.is_writable:
                self._on_writable()
            if self._on_writable is not None:
                self.start_writing(self._on_writable)

    def _later(self, what: str, callback: _Callback) -> None:
        """Calls in a later turn, if that isn't going to happen already."""
        if what not in self._turns:
            network = self.host.network
            self._turns[what] = network.call_at(network.time(), self._turn, what, callback, context=self.context)

    def _turn(self, what: str, callback: _Callback) -> None:
        del self._turns[what]
        callback()

    def __repr__(self) -> str:
        return f"<Endpoint of {self.host.name}, {self.local} to {self.remote}>"
