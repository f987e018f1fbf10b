"""`SocketView`: what `get_extra_info("socket")` and `Server.sockets` show: the addresses and options of a socket.

There is no descriptor: `fileno()` is -1.
"""

from __future__ import annotations

import errno
import socket
import struct
from typing import Any

from ferrio.testing.network.connection import Address, failure

__all__ = ("SocketView",)


class SocketView:
    """A socket that can be looked at, for `asyncio.trsock.TransportSocket`."""

    def __init__(self, kind: socket.SocketKind, local: Address, remote: Address | None = None) -> None:
        self.family = socket.AF_INET
        self.type = kind
        self.proto = socket.IPPROTO_TCP if kind == socket.SOCK_STREAM else socket.IPPROTO_UDP
        self._local = local
        self._remote = remote
        self._options: dict[tuple[int, int], Any] = {}

    def fileno(self) -> int:
        """Returns -1: there is no descriptor."""
        return -1

    def dup(self) -> socket.socket:
        """Raises `OSError`: there is no descriptor."""
        raise failure(errno.EBADF, "a simulated socket has no descriptor")

    def get_inheritable(self) -> bool:
        """Returns `False`."""
        return False

    def getsockname(self) -> Address:
        """Returns its own address."""
        return self._local

    def getpeername(self) -> Address:
        """Returns the peer's address. Raises `OSError` if there is none."""
        if self._remote is None:
            raise failure(errno.ENOTCONN)
        return self._remote

    def setsockopt(self, level: int, option: int, value: Any, length: int | None = None) -> None:
        """Remembers an option; it changes nothing."""
        self._options[level, option] = bytes(length or 0) if value is None else value

    def getsockopt(self, level: int, option: int, length: int | None = None) -> Any:
        """Returns what was set; the socket's type and its error, which is 0, are known as well."""
        known = {socket.SO_TYPE: int(self.type), socket.SO_ERROR: 0} if level == socket.SOL_SOCKET else {}
        value = self._options.get((level, option), known.get(option, 0))
        if length is not None and isinstance(value, int):
            return struct.pack("i", value)[:length]
        return value if length is None or isinstance(value, int) else bytes(value)[:length]

    def settimeout(self, value: float | None) -> None:
        """Does nothing if `value` is 0. Raises `ValueError` otherwise, as asyncio's view does."""
        if value != 0:
            raise ValueError("settimeout(): only 0 timeout is allowed on transport sockets")

    def gettimeout(self) -> float:
        """Returns 0: it never blocks."""
        return 0.0

    def setblocking(self, flag: bool) -> None:
        """Does nothing if `flag` is false. Raises `ValueError` otherwise, as asyncio's view does."""
        if flag:
            raise ValueError("setblocking(): transport sockets cannot be blocking")

    def shutdown(self, how: int) -> None:
        """Does nothing: asyncio has deprecated this on the sockets of transports."""

    def __repr__(self) -> str:
        peer = f" to {self._remote}" if self._remote is not None else ""
        return f"<simulated {self.type.name} at {self._local}{peer}>"
