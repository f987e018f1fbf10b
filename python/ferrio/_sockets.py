"""Shared by connections, servers and datagram endpoints: addresses, checks, socket options.

`resolve` waits for a name, and `open_transport` for its connection; nothing else waits. Everything
here runs once per connection or server that the program makes.
"""

from __future__ import annotations

import itertools
import logging
import os
import socket
import stat
import sys
from collections.abc import Callable
from typing import Any

#: As in the results of `socket.getaddrinfo`: family, type, protocol, canonical name, address.
AddressInfo = tuple[Any, Any, int, str, Any]

logger = logging.getLogger("asyncio")


async def resolve(
    loop: Any, address: Any, *, family: int = 0, kind: int = socket.SOCK_STREAM, proto: int = 0, flags: int = 0
) -> list[AddressInfo]:
    """Return what the host and port in `address` resolve to, at least one; at once if the host is numeric.

    An address of four parts keeps its flow information and scope. Raises `OSError` if nothing was found.
    """
    known = loop._known_address(address, family, kind, proto)
    if known is not None:
        return [known]
    host, port = address[:2]
    infos: list[AddressInfo] = await loop.getaddrinfo(host, port, family=family, type=kind, proto=proto, flags=flags)
    if not infos:
        raise OSError("getaddrinfo() returned empty list")
    return infos


def interleaved(infos: list[AddressInfo], first_family_count: int) -> list[AddressInfo]:
    """Return the addresses with the families alternating, after `first_family_count` of the first one (RFC 8305, 4)."""
    families: dict[Any, list[AddressInfo]] = {}
    for info in infos:
        families.setdefault(info[0], []).append(info)
    first, *others = families.values()
    ahead = max(first_family_count - 1, 0)
    turns = itertools.zip_longest(first[ahead:], *others)
    return first[:ahead] + [info for turn in turns for info in turn if info is not None]


def refuse_ssl_socket(sock: Any) -> None:
    """Raise `TypeError` for an `ssl.SSLSocket`: the loop does TLS itself."""
    ssl = sys.modules.get("ssl")  # if it isn't imported, there is no such socket
    if ssl is not None and isinstance(sock, ssl.SSLSocket):
        raise TypeError("Socket cannot be of type SSLSocket")


def require_stream(sock: Any) -> None:
    """Raise `ValueError` unless `sock` is a stream socket, of whatever family."""
    if sock.type != socket.SOCK_STREAM:
        raise ValueError(f"A Stream Socket was expected, got {sock!r}")


def require_unix_stream(sock: Any) -> None:
    """Raise `ValueError` unless `sock` is a stream socket of the Unix family."""
    if sock.family != socket.AF_UNIX or sock.type != socket.SOCK_STREAM:
        raise ValueError(f"A UNIX Domain Stream Socket was expected, got {sock!r}")


def refuse_timeouts_without_ssl(ssl: Any, handshake: float | None, shutdown: float | None) -> None:
    """Raise `ValueError` for TLS time limits without TLS."""
    if ssl:
        return
    if handshake is not None:
        raise ValueError("ssl_handshake_timeout is only meaningful with ssl")
    if shutdown is not None:
        raise ValueError("ssl_shutdown_timeout is only meaningful with ssl")


def name_for_tls(
    ssl: Any, server_hostname: str | None, host: Any, handshake: float | None, shutdown: float | None
) -> str | None:
    """Return the name that the certificate of a server must have: `server_hostname`, else `host`.

    Raises `ValueError` for TLS without either, and for arguments of TLS without it.
    """
    if not ssl:
        if server_hostname is not None:
            raise ValueError("server_hostname is only meaningful with ssl")
        refuse_timeouts_without_ssl(ssl, handshake, shutdown)
    elif server_hostname is None:
        if not host:
            raise ValueError("You must set server_hostname when using ssl without a host")
        server_hostname = host
    return server_hostname


def share_port(sock: socket.socket) -> None:
    """Let several sockets be bound to one port. Raises `ValueError` if the system can't."""
    option = getattr(socket, "SO_REUSEPORT", None)
    if option is None:
        raise ValueError("reuse_port not supported by socket module")
    try:
        sock.setsockopt(socket.SOL_SOCKET, option, 1)
    except OSError:
        raise ValueError(
            "reuse_port not supported by socket module, SO_REUSEPORT defined but not implemented."
        ) from None


def has_file(path: str | bytes) -> bool:
    """Return whether the Unix socket address `path` is a file name: not abstract, not empty."""
    return bool(path) and path[0] not in (0, "\x00")


def remove_stale(path: str | bytes) -> None:
    """Remove the socket file that an earlier server left at `path`; log it if that fails.

    Raises `IndexError` for an empty path, as asyncio does.
    """
    if path[0] in (0, "\x00"):
        return
    try:
        if stat.S_ISSOCK(os.stat(path).st_mode):
            os.remove(path)
    except FileNotFoundError:
        pass
    except OSError as error:
        # A directory may allow creating sockets and nothing else.
        logger.error("Unable to check or remove stale UNIX socket %r: %r", path, error)


async def open_transport(
    loop: Any, protocol_factory: Callable[[], Any], make: Callable[[Any, Any], Any]
) -> tuple[Any, Any]:
    """Make a protocol and its transport, with `make(protocol, waiter)`; wait for the connection, return both.

    A failure or cancellation before that closes the transport.
    """
    protocol = protocol_factory()
    waiter = loop.create_future()
    transport = make(protocol, waiter)
    try:
        await waiter
    except BaseException:
        transport.close()
        # The exception's traceback holds this frame, and the waiter holds the exception.
        waiter = None
        raise
    return transport, protocol
