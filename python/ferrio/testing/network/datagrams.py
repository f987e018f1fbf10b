"""`DatagramEnd`: UDP as a host's system keeps it, without a socket or a transport.

Like a non-blocking socket, it sends and receives at once or raises; `start_reading` calls back when something has
come. Datagrams get lost, overtake one another and come twice, as their path says.

Invariant: without `jitter` and `reorder`, datagrams from one end to one address keep their order.
"""

from __future__ import annotations

import collections
import contextvars
import errno
import heapq
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ferrio.testing.network.connection import Address, failure
from ferrio.testing.network.hosts import ANY, Host
from ferrio.testing.network.pipe import HEADER

if TYPE_CHECKING:
    from ferrio.testing.network.links import Path

__all__ = ("BROADCAST", "DatagramEnd")

BROADCAST = "255.255.255.255"

#: The most bytes in a datagram, and the most that wait for the program, as on Linux.
_LARGEST = 65507
_MOST_WAITING = 208 * 1024

#: What the headers of a datagram take.
_HEADERS = 28

#: By how many seconds a datagram is late at least, if others overtake it.
_SHORTEST_DELAY = 0.001


class DatagramEnd:
    """A UDP port of a host."""

    def __init__(
        self,
        host: Host,
        local: Address | None = None,
        remote: Address | None = None,
        *,
        reuse_port: bool = False,
        allow_broadcast: bool = False,
    ) -> None:
        """Takes the port `local`; without one, a free port when it sends or connects.

        With `remote` it is connected: it gets datagrams only from there, and hears that nobody is there. Raises
        `OSError` if the port isn't free, or if there is no way to `remote`.
        """
        self.host = host
        self.number = host.network.next_number()
        self.reuse_port = reuse_port
        self.allow_broadcast = allow_broadcast
        self.context: contextvars.Context | None = None
        """The context of callbacks."""
        self.address: Address = (ANY, 0)
        """Its own address and port; port 0 until it has one."""
        self.remote = remote
        """Where it is connected to."""
        self._is_closed = False
        self._error: OSError | None = None
        self._inbox: collections.deque[tuple[bytes, Address]] = collections.deque()
        self._on_readable: Callable[[], object] | None = None
        self._flows: dict[tuple[str, Address], _Flow] = {}
        if remote is not None:
            host.network.host_at(remote[0], host)
        if local is not None or remote is not None:
            self._take_port(local or (host.own_address(remote[0]) if remote is not None else ANY, 0))

    # ---- what a user calls

    @property
    def is_readable(self) -> bool:
        """Whether `receive` does something else than raise `BlockingIOError`."""
        return bool(self._inbox) or self._error is not None

    def connect(self, remote: Address) -> None:
        """Connects it to `remote`. Raises `OSError` if there is no way there."""
        self.host.network.host_at(remote[0], self.host)
        self.remote = remote
        if not self.address[1]:
            self._take_port((self.host.own_address(remote[0]), 0))
        elif self.address[0] == ANY:
            self.address = (self.host.own_address(remote[0]), self.address[1])

    def send(self, data: bytes | bytearray | memoryview, to: Address | None = None) -> int:
        """Sends a datagram and returns its size.

        Raises `OSError` if it is too large, if there is no way to the address, and if the last one was refused.
        """
        if self._error is not None:
            raise self._take_error()
        to = self.remote if to is None else to
        if to is None:
            raise failure(errno.EDESTADDRREQ)
        sent = bytes(data)
        if len(sent) > _LARGEST:
            raise failure(errno.EMSGSIZE)
        network = self.host.network
        if to[0] == BROADCAST:
            if not self.allow_broadcast:
                raise failure(errno.EACCES)
            targets = [host for host in network.hosts if host is not self.host]
        else:
            targets = [network.host_at(to[0], self.host)]
        if not self.address[1]:
            self._take_port((ANY, 0))
        source = self.address
        if source[0] == ANY:
            source = (self.host.own_address(to[0]), source[1])
        for target in targets:
            key = (target.name, to)
            flow = self._flows.get(key)
            if flow is None:
                flow = self._flows[key] = _Flow(self, network.path(self.host, target), to)
            flow.send(sent, source)
        return len(sent)

    def receive(self) -> tuple[bytes, Address]:
        """Returns a datagram and where it came from.

        Raises `BlockingIOError` if there is none, and `ConnectionRefusedError` if nobody is at the address that it is
        connected to.
        """
        if self._error is not None:
            raise self._take_error()
        if not self._inbox:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        return self._inbox.popleft()

    def start_reading(self, callback: Callable[[], object]) -> None:
        """Calls `callback()` from the loop, once a turn, as long as `is_readable`."""
        self._on_readable = callback
        self._read_later()

    def stop_reading(self) -> None:
        """Ends what `start_reading` began."""
        self._on_readable = None

    def close(self) -> None:
        """Frees the port. What was sent still arrives."""
        if not self._is_closed:
            self._is_closed = True
            self._on_readable = None
            self.host.ports("udp").free(self)

    # ---- what the network calls

    def takes(self, source: Address) -> bool:
        """Whether it gets datagrams from this address."""
        return self.remote in (None, source)

    def arrived(self, data: bytes, source: Address) -> None:
        """A datagram has come; it is dropped if too many wait."""
        if sum(len(each) for each, _ in self._inbox) + len(data) <= _MOST_WAITING:
            self._inbox.append((data, source))
            self._run(self._read)

    def refused(self) -> None:
        """Nobody is at the address that it has sent to."""
        if self.remote is not None and not self._is_closed:
            self._error = failure(errno.ECONNREFUSED)
            self._run(self._read)

    def _run(self, callback: Callable[[], object]) -> None:
        if self.context is None:
            callback()
        else:
            self.context.run(callback)

    def _read(self) -> None:
        if self._on_readable is not None and self.is_readable:
            self._on_readable()
            self._read_later()

    def _read_later(self) -> None:
        if self._on_readable is not None and self.is_readable:
            network = self.host.network
            network.call_at(network.time(), self._read, context=self.context)

    def _take_port(self, address: Address) -> None:
        self.address = self.host.ports("udp").take(self, address)

    def _take_error(self) -> OSError:
        error, self._error = self._error, None
        assert error is not None
        return error

    def __repr__(self) -> str:
        return f"<DatagramEnd of {self.host.name} at {self.address[0]}:{self.address[1]}>"


class _Flow:
    """The datagrams from one end to one address of a host."""

    def __init__(self, sender: DatagramEnd, path: Path, to: Address) -> None:
        self._sender = sender
        self._path = path
        self._to = to
        self._count = 0
        self._wire: list[tuple[float, int, bytes, Address]] = []

    def send(self, data: bytes, source: Address) -> None:
        path, random = self._path, self._path.network.random
        conditions = path.conditions
        copies = 2 if conditions.duplicate and random.random() < conditions.duplicate else 1
        for _ in range(copies):
            if not path.is_open or path.loses():
                path.network.note("lost", path.source, path.target, len(data))
                continue
            arrival = path.arrival(len(data) + _HEADERS)
            if conditions.reorder and random.random() < conditions.reorder:
                arrival += random.uniform(0.5, 1.5) * max(_SHORTEST_DELAY, conditions.latency + conditions.jitter)
            self._count += 1
            heapq.heappush(self._wire, (arrival, self._count, data, source))
            path.network.call_at(arrival, self._deliver)

    def _deliver(self) -> None:
        # The earliest one, in whatever order the timers run.
        _, _, data, source = heapq.heappop(self._wire)
        path = self._path
        if not path.is_open:
            path.network.note("lost", path.source, path.target, len(data))
            return
        path.network.note("datagram", path.source, path.target, len(data))
        address = (path.target.address, self._to[1]) if self._to[0] == BROADCAST else self._to
        holders: list[Any] = [each for each in path.target.ports("udp").holders(address) if each.takes(source)]
        connected = [each for each in holders if each.remote is not None] or holders
        if connected:
            receiver = connected[0] if len(connected) == 1 else path.network.random.choice(connected)
            receiver.arrived(data, source)
        elif self._to[0] != BROADCAST:
            path.network.path(path.target, path.source).send(HEADER, self._sender.refused)
