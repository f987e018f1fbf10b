"""`SimulatedSocket`: what `socket.socket(AF_INET, ...)` makes while a network is active.

It is a `socket.socket` with a number that no descriptor of the system's has. A call that would have to wait raises
`RuntimeError`: the network moves only while the loop runs. Unix sockets and `socketpair()` stay real.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import struct
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from ferrio.testing.network import names
from ferrio.testing.network.connection import Address, Endpoint, failure
from ferrio.testing.network.datagrams import DatagramEnd
from ferrio.testing.network.descriptions import Description
from ferrio.testing.network.listening import Listener
from ferrio.testing.network.network import Network, active

__all__ = ("SimulatedSocket", "replaced")

#: What says in a call that nothing waits; the rest changes what a call does.
_HARMLESS_FLAGS = socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL | socket.MSG_MORE


class SimulatedSocket(socket.socket):
    """A socket of a simulated network."""

    __slots__ = ("_description", "_number", "_timeout")

    def __init__(self, family: int = -1, type: int = -1, proto: int = -1, fileno: int | None = None) -> None:
        """Raises `OSError` for a family that the network doesn't have."""
        self._io_refs = 0
        self._closed = False
        self._number = -1
        self._timeout = socket.getdefaulttimeout()
        if fileno is not None:
            description = Description.of(fileno)
            if description is None:
                raise failure(errno.EBADF)
            self._description = description
            self._number = fileno
            description.claim(fileno)
            return
        if family == socket.AF_INET6:
            raise failure(errno.EAFNOSUPPORT, "the simulated network has IPv4 addresses only")
        network = active()
        assert network is not None, "only an active network makes sockets"
        kind = socket.SOCK_STREAM if type == -1 else type & ~(socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        if type != -1 and type & socket.SOCK_NONBLOCK:
            self._timeout = 0.0
        self._description = Description(network, kind, max(proto, 0))
        self._number = self._description.number()

    @classmethod
    def of(cls, part: Endpoint | Listener | DatagramEnd, proto: int) -> SimulatedSocket:
        """Returns a non-blocking socket that has one end of a connection, or a port."""
        kind = socket.SOCK_DGRAM if isinstance(part, DatagramEnd) else socket.SOCK_STREAM
        description = Description(part.host.network, kind, proto)
        if isinstance(part, Endpoint):
            description.endpoint = part
        elif isinstance(part, Listener):
            description.listener = part
        else:
            description.datagrams = part
        made = cls(fileno=description.number())
        made.setblocking(False)
        return made

    # ---- what it is

    @property
    def family(self) -> socket.AddressFamily:
        """`AF_INET`."""
        return socket.AF_INET

    @property
    def type(self) -> socket.SocketKind:
        """`SOCK_STREAM` or `SOCK_DGRAM`."""
        return self._description.kind

    @property
    def proto(self) -> int:
        """What it was made with."""
        return self._description.proto

    @property
    def timeout(self) -> float | None:
        """What `settimeout` has set."""
        return self._timeout

    @property
    def description(self) -> Description:
        """What the network keeps of it. Raises `OSError` if it is closed."""
        if self._number == -1:
            raise failure(errno.EBADF)
        return self._description

    @property
    def listener(self) -> Listener:
        """Its port, for a server."""
        description = self.description
        if description.listener is None:
            description.bind(("", 0))
        assert description.listener is not None, "stream sockets are bound by one"
        return description.listener

    def fileno(self) -> int:
        """Return its number, or -1 if it is closed."""
        return self._number

    def getsockname(self) -> Address:
        """Return its own address."""
        return self.description.local

    def getpeername(self) -> Address:
        """Return the peer's address."""
        return self.description.remote

    def setsockopt(self, level: int, option: int, value: Any, length: int | None = None) -> None:
        """Remember an option. `SO_REUSEPORT` and `SO_BROADCAST` have their effect, the others have none."""
        self.description.options[level, option] = bytes(length or 0) if value is None else value

    def getsockopt(self, level: int, option: int, length: int | None = None) -> Any:
        """Return what was set, the type, the error, or whether it listens."""
        description = self.description
        value = description.options.get((level, option), 0)
        if level == socket.SOL_SOCKET:
            if option == socket.SO_TYPE:
                value = int(description.kind)
            elif option == socket.SO_ERROR:
                value = description.error_number()
            elif option == socket.SO_ACCEPTCONN:
                value = int(description.listener is not None and description.listener.is_listening)
        if length is not None:
            return (struct.pack("i", value) if isinstance(value, int) else bytes(value))[:length]
        return int(value) if isinstance(value, int) else value

    def settimeout(self, value: float | None) -> None:
        """Say whether calls may wait; those that would have to raise `RuntimeError`."""
        if value is not None and value < 0:
            raise ValueError("Timeout value out of range")
        self._timeout = value

    def gettimeout(self) -> float | None:
        """Return what `settimeout` has set."""
        return self._timeout

    def setblocking(self, flag: bool) -> None:
        """Say whether calls may wait."""
        self._timeout = None if flag else 0.0

    def getblocking(self) -> bool:
        """Return whether calls may wait."""
        return self._timeout != 0

    def get_inheritable(self) -> bool:
        """Return `False`: no child has it."""
        return False

    def set_inheritable(self, inheritable: bool) -> None:
        """Do nothing: no child gets it."""

    # ---- connections

    def bind(self, address: Any) -> None:
        """Take a port of the current host."""
        self.description.bind(address)

    def listen(self, backlog: int = 128) -> None:
        """Take connections."""
        self.description.listen(backlog)

    def accept(self) -> tuple[SimulatedSocket, Address]:
        """Return a connection that waits, and the peer's address."""
        endpoint = self._now("accept", self.description.accept)
        made = SimulatedSocket.of(endpoint, self.proto)
        made.settimeout(socket.getdefaulttimeout())
        return made, endpoint.remote

    def connect(self, address: Any) -> None:
        """Begin to connect, if it is non-blocking: then it raises `BlockingIOError` and becomes writable."""
        remote = self.description.resolved(address)
        if self._timeout != 0 and self.type == socket.SOCK_STREAM:
            raise _would_wait("connect", "sock_connect")
        self.description.connect(remote)

    def connect_ex(self, address: Any) -> int:
        """As `connect`, but return the number of the error."""
        try:
            self.connect(address)
        except OSError as error:
            if error.errno is None or isinstance(error, socket.gaierror):
                raise
            return error.errno
        return 0

    def shutdown(self, how: int) -> None:
        """End one direction, or both."""
        self.description.shutdown(how)

    # ---- data

    def recv(self, bufsize: int, flags: int = 0) -> bytes:
        """Return what has arrived, up to `bufsize` bytes."""
        _refuse(flags)
        data: bytes = self._now("recv", self.description.receive, bufsize)
        return data

    def recvfrom(self, bufsize: int, flags: int = 0) -> tuple[bytes, Any]:
        """Return a datagram and where it came from."""
        _refuse(flags)
        found: tuple[bytes, Any] = self._now("recvfrom", self.description.receive_from, bufsize)
        return found

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        """Put what has arrived into `buffer`, and return its size."""
        return self.recvfrom_into(buffer, nbytes, flags)[0]

    def recvfrom_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> tuple[int, Any]:
        """Put a datagram into `buffer`; return its size and where it came from."""
        _refuse(flags)
        view = memoryview(buffer).cast("B")
        limit = nbytes or len(view)
        if limit > len(view):
            raise ValueError("nbytes is greater than the length of the buffer")
        data, source = self._now("recv_into", self.description.receive_from, limit)
        view[: len(data)] = data
        return len(data), source

    def recvmsg(self, bufsize: int, ancbufsize: int = 0, flags: int = 0) -> tuple[bytes, list[Any], int, Any]:
        """Return data, no ancillary data, no flags, and where it came from."""
        data, source = self.recvfrom(bufsize, flags)
        return data, [], 0, source

    def send(self, data: Any, flags: int = 0) -> int:
        """Send what there is room for, and return how many bytes that was."""
        _refuse(flags)
        sent: int = self._now("send", self.description.send, data)
        return sent

    def sendall(self, data: Any, flags: int = 0) -> None:
        """Send all of `data`."""
        view = memoryview(data).cast("B")
        while view:
            view = view[self.send(view, flags) :]

    def sendto(self, data: Any, *rest: Any) -> int:
        """Send a datagram to the address, which is the last argument."""
        if len(rest) not in (1, 2):
            raise TypeError(f"sendto() takes 2 or 3 arguments ({len(rest) + 1} given)")
        _refuse(rest[0] if len(rest) == 2 else 0)
        to = None if self.type == socket.SOCK_STREAM else self.description.resolved(rest[-1])
        sent: int = self._now("sendto", self.description.send, data, to)
        return sent

    def sendmsg(self, buffers: Any, ancdata: Any = (), flags: int = 0, address: Any = None) -> int:
        """Send several buffers as one; ancillary data isn't supported."""
        if ancdata:
            raise failure(errno.EOPNOTSUPP, "a simulated socket sends no ancillary data")
        data = b"".join(buffers)
        return self.send(data, flags) if address is None else self.sendto(data, flags, address)

    def sendfile(self, file: Any, offset: int = 0, count: int | None = None) -> int:
        """Send a file in pieces."""
        return self._sendfile_use_send(file, offset, count)  # type: ignore[attr-defined, no-any-return]

    def _now(self, what: str, call: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return call(*arguments)
        except BlockingIOError:
            if self._timeout == 0:
                raise
        raise _would_wait(what, f"sock_{what}")

    # ---- the end

    def _real_close(self, _ss: Any = None) -> None:
        number, self._number = self._number, -1
        if number != -1:
            self._description.free(number)

    def detach(self) -> int:
        """Close the object and return its number, which `socket.socket(fileno=...)` takes."""
        self._closed = True
        number, self._number = self._number, -1
        if number != -1:
            self._description.keep(number)
        return number

    def dup(self) -> SimulatedSocket:
        """Return another object for the same socket."""
        made = SimulatedSocket(fileno=self.description.number())
        made.settimeout(self._timeout)
        return made

    def __del__(self, _warn: Any = warnings.warn) -> None:
        if getattr(self, "_number", -1) != -1:
            if not self._description.is_gone:
                _warn(f"unclosed {self!r}", ResourceWarning, source=self)
            self._real_close()


def _refuse(flags: int) -> None:
    if flags & ~_HARMLESS_FLAGS:
        raise failure(errno.EOPNOTSUPP, f"a simulated socket doesn't know the flags {flags:#x}")


def _would_wait(what: str, method: str) -> RuntimeError:
    return RuntimeError(
        f"{what}() would have to wait, and a simulated network moves only while the loop runs. Make the socket"
        f" non-blocking and await loop.{method}(), or use streams"
    )


# ---- the module `socket`


def _new(cls: type[Any], family: int = -1, type: int = -1, proto: int = -1, fileno: int | None = None) -> Any:
    """`socket.socket.__new__`: what it returns is initialised by its own class."""
    if cls is socket.socket and active() is not None:
        simulated = family in (-1, socket.AF_INET, socket.AF_INET6) and _is_known_kind(type)
        if (simulated and fileno is None) or Description.of(fileno) is not None:
            cls = SimulatedSocket
    _refuse_wrapping(cls, fileno)
    return super(socket.socket, cls).__new__(cls)


def _refuse_wrapping(cls: type[Any], fileno: int | None) -> None:
    """Raises `TypeError` for a class over a simulated socket that calls the system itself, such as `ssl.SSLSocket`."""
    if cls is not SimulatedSocket and Description.of(fileno) is not None:
        raise TypeError(
            f"{cls.__name__} needs a socket of the system, not a simulated one. For TLS use the loop's"
            " create_connection(ssl=...) and start_tls(), or ssl.MemoryBIO"
        )


def _is_known_kind(kind: int) -> bool:
    plain = kind & ~(socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    return kind == -1 or plain in (socket.SOCK_STREAM, socket.SOCK_DGRAM)


def _network() -> Network:
    network = active()
    assert network is not None, "the functions are replaced while a network is active"
    return network


def _getaddrinfo(host: Any, port: Any, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0) -> list[Any]:
    return list(names.look_up(_network(), host, port, family, type, proto, flags))


def _getnameinfo(sockaddr: Any, flags: int) -> tuple[str, str]:
    return names.name_of(_network(), sockaddr, flags)


def _gethostbyname(hostname: str) -> str:
    address: str = _getaddrinfo(hostname, None, socket.AF_INET)[0][4][0]
    return address


def _gethostbyname_ex(hostname: str) -> tuple[str, list[str], list[str]]:
    return hostname, [], [_gethostbyname(hostname)]


def _gethostbyaddr(address: str) -> tuple[str, list[str], list[str]]:
    found = _gethostbyname(address)
    return _getnameinfo((found, 0), socket.NI_NAMEREQD)[0], [], [found]


_FUNCTIONS: dict[str, Any] = {
    "getaddrinfo": _getaddrinfo,
    "getnameinfo": _getnameinfo,
    "gethostbyname": _gethostbyname,
    "gethostbyname_ex": _gethostbyname_ex,
    "gethostbyaddr": _gethostbyaddr,
    "has_ipv6": False,
}


@contextlib.contextmanager
def replaced() -> Iterator[None]:
    """Makes simulated sockets inside the block, and lets the module's functions ask the network for names."""
    before = {name: getattr(socket, name) for name in _FUNCTIONS}
    for name, function in _FUNCTIONS.items():
        setattr(socket, name, function)
    socket.socket.__new__ = staticmethod(_new)  # type: ignore[method-assign]
    try:
        yield
    finally:
        del socket.socket.__new__
        for name, function in before.items():
            setattr(socket, name, function)
