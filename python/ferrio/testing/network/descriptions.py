"""`Description`: what the system keeps of a socket that a program made, whichever objects and numbers stand for it.

It begins unbound, and gets a `Listener`, an `Endpoint` or a `DatagramEnd` when the program binds or connects it.
Everything here acts at once or raises `BlockingIOError`. `watch` calls back while something can be done.
"""

from __future__ import annotations

import asyncio
import contextvars
import errno
import os
import socket
import struct
import weakref
from collections.abc import Callable
from typing import Any

import ferrio
from ferrio.testing.network import names
from ferrio.testing.network.connection import Address, Endpoint, failure
from ferrio.testing.network.datagrams import DatagramEnd
from ferrio.testing.network.hosts import ANY
from ferrio.testing.network.listening import Attempt, Listener
from ferrio.testing.network.network import Network

__all__ = ("Description",)

#: The numbers of simulated sockets. No descriptor of the system's is as high.
_FIRST_NUMBER = 1 << 30

# A socket that nobody refers to any more isn't kept by its number. Those of `detach` have nothing but that.
_numbers: weakref.WeakValueDictionary[int, Description] = weakref.WeakValueDictionary()
_detached: dict[int, Description] = {}

# All numbers below this one are taken.
_lowest = _FIRST_NUMBER


class Description:
    """A socket as the system sees it."""

    def __init__(self, network: Network, kind: int, proto: int = 0) -> None:
        self.network = network
        self.kind = socket.SocketKind(kind)
        self.proto = proto
        self.options: dict[tuple[int, int], Any] = {}
        self.endpoint: Endpoint | None = None
        self.listener: Listener | None = None
        self.datagrams: DatagramEnd | None = None
        # The transport that has it. It is kept alive by its connection alone, so that a forgotten one warns.
        self._transport: weakref.ref[Any] | None = None
        self._attempt: Attempt | None = None
        # Whether the program was told by `connect` that it is connected: the system says so once.
        self._has_heard = True
        self._error: OSError | None = None
        self._numbers: set[int] = set()
        # What `watch` calls, by whether it is for writing.
        self._watchers: dict[bool, list[_Watcher]] = {False: [], True: []}

    @property
    def transport(self) -> Any:
        """The transport that has it, or `None`."""
        return None if self._transport is None else self._transport()

    @transport.setter
    def transport(self, transport: Any) -> None:
        self._transport = None if transport is None else weakref.ref(transport)

    @property
    def is_gone(self) -> bool:
        """Whether its host has crashed, so that nothing is left to be closed."""
        vanished = self.endpoint is not None and self.endpoint.has_vanished
        return vanished or (self.listener is not None and self.listener.is_closed)

    # ---- numbers

    @staticmethod
    def of(number: object) -> Description | None:
        """Returns the socket with this number; `None` if it isn't a simulated one."""
        return _numbers.get(number) if isinstance(number, int) else None

    def number(self) -> int:
        """Returns a new number, the lowest that is free."""
        global _lowest
        number = _lowest
        while number in _numbers:
            number += 1
        _numbers[number] = self
        self._numbers.add(number)
        _lowest = number + 1
        return number

    def keep(self, number: int) -> None:
        """Keeps the socket by its number, without an object of the program's, until `claim`."""
        _detached[number] = self

    def claim(self, number: int) -> None:
        """An object of the program's has the number again."""
        _detached.pop(number, None)

    def free(self, number: int) -> None:
        """Takes a number back. The last one closes the socket."""
        global _lowest
        if number in self._numbers:
            self._numbers.remove(number)
            _numbers.pop(number, None)
            _lowest = min(_lowest, number)
            if not self._numbers:
                self._close()

    def _close(self) -> None:
        for watchers in self._watchers.values():
            watchers.clear()
        attempt, self._attempt = self._attempt, None
        if attempt is not None:
            attempt.done.cancel()
        linger = self.options.get((socket.SOL_SOCKET, socket.SO_LINGER))
        if self.endpoint is not None and isinstance(linger, bytes) and linger == struct.pack("ii", 1, 0):
            # With no time to linger, closing resets the connection.
            self.endpoint.reset()
        for part in (self.endpoint, self.listener, self.datagrams):
            if part is not None:
                part.close()

    # ---- addresses

    def resolved(self, address: Any) -> Address:
        """Returns the address with a number for the host. Raises what `socket` raises for one that is none."""
        if not isinstance(address, tuple):
            raise TypeError(f"AF_INET address must be tuple, not {type(address).__name__}")
        if len(address) != 2:
            raise TypeError("AF_INET address must be a pair (host, port)")
        host, port = address
        if not isinstance(port, int):
            raise TypeError(f"'{type(port).__name__}' object cannot be interpreted as an integer")
        if not 0 <= port <= 65535:
            raise OverflowError("bind(): port must be 0-65535.")
        if host in ("", b""):
            return ANY, port
        if host == "<broadcast>":
            return "255.255.255.255", port
        if isinstance(host, str) and names.numeric(host):
            return host, port
        found: Address = names.look_up(self.network, host, port, socket.AF_INET, self.kind)[0][4]
        return found

    @property
    def local(self) -> Address:
        """Its own address."""
        if self.endpoint is not None:
            return self.endpoint.local
        if self.listener is not None:
            return self.listener.address
        return self.datagrams.address if self.datagrams is not None else (ANY, 0)

    @property
    def remote(self) -> Address:
        """The peer's address. Raises `OSError` if there is none."""
        remote = None
        if self.endpoint is not None:
            remote = self.endpoint.remote
        elif self.datagrams is not None:
            remote = self.datagrams.remote
        if remote is None:
            raise failure(errno.ENOTCONN)
        return remote

    def bind(self, address: Any) -> None:
        """Takes a port. Raises `OSError` if it has one, or if that isn't free."""
        address = self.resolved(address)
        if self.local[1]:
            raise failure(errno.EINVAL)
        host = self.network.current_host
        if self.kind == socket.SOCK_STREAM:
            self.listener = Listener(host, address, reuse_port=self._has(socket.SO_REUSEPORT))
        else:
            self.datagrams = self._new_datagrams(local=address)

    def listen(self, backlog: int) -> None:
        """Begins to take connections, at a free port if it has none."""
        if self.kind != socket.SOCK_STREAM:
            raise failure(errno.EOPNOTSUPP)
        if self.endpoint is not None or self._attempt is not None:
            raise failure(errno.EINVAL)
        if self.listener is None:
            self.listener = Listener(self.network.current_host, (ANY, 0))
        self.listener.listen(backlog)

    def accept(self) -> Endpoint:
        """Returns the connection that has waited longest."""
        if self.listener is None or not self.listener.is_listening:
            raise failure(errno.EINVAL)
        return self.listener.accept()

    def connect(self, address: Address) -> None:
        """Begins to connect; a datagram socket is connected at once. Raises `BlockingIOError` while it isn't done."""
        self._adopt_loop()
        if self.kind == socket.SOCK_DGRAM:
            if self.datagrams is None:
                self.datagrams = self._new_datagrams(remote=address)
            else:
                self.datagrams.connect(address)
            return
        if self.endpoint is not None:
            has_heard, self._has_heard = self._has_heard, True
            if has_heard:
                raise failure(errno.EISCONN)
            return
        if self._attempt is not None:
            raise failure(errno.EALREADY)
        if self._error is not None:
            raise self.take_error()
        local = None
        if self.listener is not None:
            if self.listener.is_listening:
                raise failure(errno.EISCONN)
            local = self.listener.address
            self.listener.close()
            self.listener = None
        self._has_heard = False
        attempt = self._attempt = Attempt(self.network.current_host, address, local)
        attempt.done.add_done_callback(lambda done: self._has_connected(attempt))
        raise BlockingIOError(errno.EINPROGRESS, os.strerror(errno.EINPROGRESS))

    def _has_connected(self, attempt: Attempt) -> None:
        if self._attempt is not attempt:
            return
        self._attempt = None
        error = attempt.done.exception()
        if isinstance(error, OSError):
            self._error = error
        else:
            self.endpoint = attempt.done.result()
        self._watch_again()
        # A failed attempt makes a socket readable and writable.
        for_writing = list(self._watchers[True])
        for watcher in [*self._watchers[False], *for_writing] if error is not None else for_writing:
            watcher.call()

    def finish_connecting(self) -> None:
        """Comes after connecting. Raises why it failed."""
        if self.endpoint is None:
            raise self.take_error()
        self._has_heard = True

    def bound(self) -> DatagramEnd:
        """Returns what sends and receives datagrams."""
        if self.datagrams is None:
            self.datagrams = self._new_datagrams()
        return self.datagrams

    def take_error(self) -> OSError:
        """Returns and forgets why connecting failed."""
        error, self._error = self._error, None
        return error or failure(errno.ECONNABORTED)

    def error_number(self) -> int:
        """Returns and forgets the number of the error, as `SO_ERROR` does."""
        return self.take_error().errno or 0 if self._error is not None else 0

    # ---- data

    def receive(self, limit: int) -> bytes:
        """Returns what has arrived."""
        if self.kind == socket.SOCK_DGRAM:
            return self.receive_from(limit)[0]
        return self.connected().receive(limit) if limit else b""

    def receive_from(self, limit: int) -> tuple[bytes, Any]:
        """Returns a datagram and where it came from; of a connection, what has arrived and `None`."""
        if self.kind == socket.SOCK_STREAM:
            return self.receive(limit), None
        if self.datagrams is None:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        data, source = self.datagrams.receive()
        return data[:limit], source

    def send(self, data: Any, to: Address | None = None) -> int:
        """Sends what there is room for, or a datagram."""
        if self.kind == socket.SOCK_DGRAM:
            self._adopt_loop()
            is_new = self.datagrams is None
            end = self.bound()
            end.allow_broadcast = self._has(socket.SO_BROADCAST)
            if is_new:
                self._watch_again()
            return end.send(data, to)
        view = memoryview(data).cast("B")
        return self.connected(errno.EPIPE).send(view)

    @property
    def is_readable(self) -> bool:
        """Whether receiving or accepting does something else than raise `BlockingIOError`."""
        if self._attempt is not None:
            return False
        if self.listener is not None:
            return self.listener.has_waiting
        part = self.endpoint or self.datagrams
        return part is None or part.is_readable

    @property
    def is_writable(self) -> bool:
        """Whether sending does something else than raise `BlockingIOError`."""
        return self._attempt is None and (self.endpoint is None or self.endpoint.is_writable)

    def shutdown(self, how: int) -> None:
        """Ends one direction, or both."""
        endpoint = self.connected()
        if how in (socket.SHUT_WR, socket.SHUT_RDWR):
            endpoint.shutdown()

    def connected(self, number: int = errno.ENOTCONN) -> Endpoint:
        """Returns its end of a connection. Raises `OSError` with the number if there is none."""
        if self._attempt is not None:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        if self._error is not None:
            raise self.take_error()
        if self.endpoint is None:
            raise failure(number)
        return self.endpoint

    def _adopt_loop(self) -> None:
        """A program may use the network by this call for the first time."""
        running = asyncio._get_running_loop()
        if running is not None:
            self.network.adopt(running)

    def _new_datagrams(self, local: Address | None = None, remote: Address | None = None) -> DatagramEnd:
        return DatagramEnd(
            self.network.current_host,
            local,
            remote,
            reuse_port=self._has(socket.SO_REUSEPORT),
            allow_broadcast=self._has(socket.SO_BROADCAST),
        )

    def _has(self, option: int) -> bool:
        return bool(self.options.get((socket.SOL_SOCKET, option)))

    # ---- watching

    def watch(self, loop: Any, writing: bool, callback: Callable[..., object], *arguments: Any) -> _Watcher:
        """Calls back from the loop, once a turn, as long as something can be read, or written."""
        watcher = _Watcher(ferrio.Handle(callback, arguments, loop, contextvars.copy_context()))
        self._watchers[writing].append(watcher)
        self._watch_again()
        return watcher

    def unwatch(self, writing: bool, watcher: _Watcher | None = None) -> bool:
        """Ends it; without a watcher, for all of them. Returns whether there was one."""
        watchers = self._watchers[writing]
        gone = [each for each in watchers if watcher in (None, each)]
        for each in gone:
            each.handle.cancel()
            watchers.remove(each)
        self._watch_again()
        return bool(gone)

    def _watch_again(self) -> None:
        """Watches what the socket has now, if anybody wants to know."""
        if self.transport is not None:
            return
        reads, writes = bool(self._watchers[False]), bool(self._watchers[True])
        for part in (self.endpoint, self.datagrams):
            if part is not None:
                part.start_reading(self._readable) if reads else part.stop_reading()
        if self.endpoint is not None:
            self.endpoint.start_writing(self._writable) if writes else self.endpoint.stop_writing()
        elif self.datagrams is not None and writes:
            # There is always room for a datagram.
            self.network.call_at(self.network.time(), self._datagram_writable)
        if self.listener is not None and self.listener.is_listening:
            self.listener.start_accepting(self._acceptable) if reads else self.listener.stop_accepting()

    def _readable(self) -> None:
        for watcher in list(self._watchers[False]):
            watcher.call()

    def _writable(self) -> None:
        for watcher in list(self._watchers[True]):
            watcher.call()

    def _datagram_writable(self) -> None:
        self._writable()
        self._watch_again()

    def _acceptable(self) -> None:
        self._readable()
        if self._watchers[False] and self.listener is not None:
            self.listener.start_accepting(self._acceptable)

    def __repr__(self) -> str:
        return f"<simulated {self.kind.name} at {self.local}>"


class _Watcher:
    """Somebody who wants to hear that a socket is readable or writable."""

    def __init__(self, handle: Any) -> None:
        self.handle = handle

    def call(self) -> None:
        if not self.handle.cancelled():
            self.handle._run()
