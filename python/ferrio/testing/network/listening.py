"""Making connections: a `Listener` has those that its program hasn't accepted, and an `Attempt` is one to connect.

A packet goes there, one comes back, and a third one goes with the first data, as in TCP. What the path loses is sent
again after 1, 2, 4 ... 64 seconds, so an attempt that nobody answers fails after 127 seconds.
"""

from __future__ import annotations

import asyncio
import collections
import contextvars
import errno
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ferrio.testing.network.connection import Address, Connection, Endpoint
from ferrio.testing.network.pipe import HEADER, Signal

if TYPE_CHECKING:
    from ferrio.testing.network.hosts import Host

__all__ = ("Attempt", "Listener")

#: How often a connection request is repeated, as on Linux.
_REPEATS = 6


class Listener:
    """A port of a host. It accepts connections after `listen`.

    `accept` takes a connection that waits, or raises `BlockingIOError`; `start_accepting` calls back when one waits.
    """

    def __init__(self, host: Host, address: Address, *, reuse_port: bool = False) -> None:
        """Takes the port; port 0 takes a free one. Raises `OSError` if it isn't free."""
        self.host = host
        self.reuse_port = reuse_port
        self.address = host.ports("tcp").take(self, address)
        """The address and port that it has."""
        self.context: contextvars.Context | None = None
        self._backlog: int | None = None
        self._waiting: collections.deque[Endpoint] = collections.deque()
        self._on_waiting: Callable[[], object] | None = None
        self.is_closed = False
        """Whether the port is free again."""

    @property
    def is_listening(self) -> bool:
        """Whether it takes connections."""
        return self._backlog is not None and not self.is_closed

    @property
    def has_waiting(self) -> bool:
        """Whether a connection waits."""
        return bool(self._waiting)

    def listen(self, backlog: int = 100) -> None:
        """Begins to take connections; so many may wait, and one more. Further ones try again after a second."""
        self._backlog = max(0, backlog)

    def accept(self) -> Endpoint:
        """Returns the connection that has waited longest. Raises `BlockingIOError` if there is none."""
        if not self._waiting:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        return self._waiting.popleft()

    def start_accepting(self, callback: Callable[[], object]) -> None:
        """Calls `callback()` from the loop when a connection waits."""
        self._on_waiting = callback
        self.context = contextvars.copy_context()
        if self._waiting:
            network = self.host.network
            network.call_at(network.time(), self._tell, context=self.context)

    def stop_accepting(self) -> None:
        """Ends what `start_accepting` began."""
        self._on_waiting = None

    def close(self) -> None:
        """Frees the port, and resets the connections that wait."""
        if self.is_closed:
            return
        self.is_closed = True
        self._on_waiting = None
        self.host.ports("tcp").free(self)
        while self._waiting:
            self._waiting.popleft().reset()

    # ---- what the network calls

    @property
    def is_full(self) -> bool:
        """Whether no further connection may wait."""
        return self._backlog is None or len(self._waiting) > self._backlog

    def established(self, end: Endpoint) -> None:
        """The client knows that the connection stands."""
        if self.is_closed:
            end.reset()
            return
        self._waiting.append(end)
        self._tell()

    def _tell(self) -> None:
        if self._on_waiting is not None and self._waiting:
            self._on_waiting()

    def __repr__(self) -> str:
        return f"<Listener of {self.host.name} on {self.address[0]}:{self.address[1]}>"


class Attempt:
    """An attempt to connect from `host`. The future `done` has the endpoint, or the error; cancel it to stop."""

    def __init__(self, host: Host, remote: Address, local: Address | None = None) -> None:
        """`local` is the address to connect from. Raises `OSError` if there is no way to `remote`."""
        network = host.network
        target = network.host_at(remote[0], host)
        own = host.own_address(remote[0])
        if local is not None:
            own = host.checked_address(local[0]) if local[0] not in ("", "0.0.0.0") else own
        if local is not None and local[1] and host.ports("tcp").holders((own, local[1])):
            # In the words of asyncio.
            text = f"error while attempting to bind on address {(own, local[1])!r}: address already in use"
            raise OSError(errno.EADDRINUSE, text)
        port = local[1] if local is not None and local[1] else host.ports("tcp").ephemeral()
        self.done: asyncio.Future[Endpoint] = network.loop.create_future()
        self._host, self._target, self._local, self._remote = host, target, (own, port), remote
        self._there, self._back = network.path(host, target), network.path(target, host)
        self._context = contextvars.copy_context()
        self._connection: Connection | None = None
        self._repeat: Any = None
        network.note("connect", host, target)
        self.done.add_done_callback(self._stop)
        self._try(0)

    def _try(self, number: int) -> None:
        if self.done.done():
            return
        network = self._host.network
        if number > _REPEATS:
            self._fail(errno.ETIMEDOUT)
            return
        self._repeat = network.call_at(network.time() + 2.0**number, self._try, number + 1, context=self._context)
        self._there.send(HEADER, self._requested)

    def _requested(self) -> None:
        """The request has arrived."""
        if self._connection is None:
            listener = self._target.listener(self._remote)
            if listener is None:
                self._back.send(HEADER, self._refused)
                return
            if listener.is_full:
                return
            number = self._host.network.next_number()
            self._connection = Connection(number, (self._host, self._local), (self._target, self._remote), listener)
            server_end = self._connection.server_end
            if listener.context is not None:
                server_end.context = listener.context.copy()
        self._back.send(HEADER, self._accepted)

    def _refused(self) -> None:
        self._host.network.note("refused", self._target, self._host)
        self._fail(errno.ECONNREFUSED)

    def _accepted(self) -> None:
        """The answer has arrived."""
        connection = self._connection
        assert connection is not None
        if self.done.done():
            return
        end = connection.client_end
        end.context = self._context
        self._host.network.remember(connection)
        end.outgoing.signal(Signal.ESTABLISHED)
        self.done.set_result(end)

    def _fail(self, number: int) -> None:
        if not self.done.done():
            # In the words of asyncio.
            self.done.set_exception(OSError(number, f"Connect call failed {self._remote}"))

    def _stop(self, done: asyncio.Future[Endpoint]) -> None:
        if self._repeat is not None:
            self._repeat.cancel()
        if self._connection is not None and (done.cancelled() or done.exception() is not None):
            self._connection.end()
