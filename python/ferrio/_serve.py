"""Servers that the program makes: the listening sockets of `create_server` and `create_unix_server`.

From then on, `ferrio._server.Server` accepts the connections. Invariant: a call that fails or is cancelled leaves no
socket open.
"""

from __future__ import annotations

import collections.abc
import errno
import functools
import os
import socket
from collections.abc import Callable
from typing import Any

from ferrio import _ferrio, _sockets
from ferrio._server import Server
from ferrio._sockets import AddressInfo, logger

_Factory = Callable[[], Any]


class Serving:
    """The methods of an event loop that make servers."""

    __slots__ = ()

    async def create_server(
        self: Any,
        protocol_factory: _Factory,
        host: Any = None,
        port: Any = None,
        *,
        family: int = socket.AF_UNSPEC,
        flags: int = socket.AI_PASSIVE,
        sock: Any = None,
        backlog: int = 100,
        ssl: Any = None,
        reuse_address: bool | None = None,
        reuse_port: bool | None = None,
        keep_alive: bool | None = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
        start_serving: bool = True,
    ) -> Server:
        """Listen on `port` of `host`, or on the socket `sock`; return the `Server`.

        `host` is one host or a sequence of them; `None` and "" mean all. Each connection gets a protocol from
        `protocol_factory`, called without arguments. With `ssl`, an `ssl.SSLContext`, connections use TLS. Each address
        gets its own socket, and so do IPv6 and IPv4; with port 0, each has its own port. `reuse_address` is on unless
        you turn it off.

        Raises `ValueError` and `TypeError` for arguments that contradict each other, `OSError` if an address isn't
        available.
        """
        if isinstance(ssl, bool):
            raise TypeError("ssl argument must be an SSLContext or None")
        _refuse_timeouts(ssl, ssl_handshake_timeout, ssl_shutdown_timeout)
        if sock is not None:
            _sockets.refuse_ssl_socket(sock)
        if host is None and port is None:
            if sock is None:
                raise ValueError("Neither host/port nor sock were specified")
            _sockets.require_stream(sock)
            sockets = [sock]
        elif sock is not None:
            raise ValueError("host/port and sock can not be specified at the same time")
        else:
            infos = await _resolve_all(self, host, port, family, flags)
            if reuse_address is None:
                reuse_address = True
            sockets = _bind_to_all(infos, reuse_address, reuse_port, keep_alive, self.get_debug())
        server = await _serve(
            self,
            sockets,
            protocol_factory,
            ssl,
            backlog,
            ssl_handshake_timeout,
            ssl_shutdown_timeout,
            start_serving,
        )
        if self.get_debug():
            logger.info("%r is serving", server)
        return server

    async def create_unix_server(
        self: Any,
        protocol_factory: _Factory,
        path: Any = None,
        *,
        sock: Any = None,
        backlog: int = 100,
        ssl: Any = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
        start_serving: bool = True,
        cleanup_socket: bool = True,
    ) -> Server:
        """Listen on a Unix socket at `path`, or on `sock`; return the `Server`.

        `path` is text, bytes or a path; a leading zero byte makes it abstract. A socket file that an earlier server
        left at `path` is replaced. With `cleanup_socket`, closing the server removes the file if it is still this
        server's. The other arguments are those of `create_server`.

        Raises `ValueError` and `TypeError` for arguments that contradict each other, `OSError` if the path isn't
        available.
        """
        if isinstance(ssl, bool):
            raise TypeError("ssl argument must be an SSLContext or None")
        _sockets.refuse_timeouts_without_ssl(ssl, ssl_handshake_timeout, ssl_shutdown_timeout)
        if path is not None:
            if sock is not None:
                raise ValueError("path and sock can not be specified at the same time")
            sock = _bind_to_path(os.fspath(path))
        elif sock is None:
            raise ValueError("path was not specified, and no sock specified")
        else:
            _sockets.require_unix_stream(sock)
        return await _serve(
            self,
            [sock],
            protocol_factory,
            ssl,
            backlog,
            ssl_handshake_timeout,
            ssl_shutdown_timeout,
            start_serving,
            _file_remover(sock) if cleanup_socket else None,
        )


def _refuse_timeouts(ssl: Any, handshake: float | None, shutdown: float | None) -> None:
    """Like `_sockets.refuse_timeouts_without_ssl`, but only `None` means no TLS, as in asyncio."""
    if ssl is None:
        _sockets.refuse_timeouts_without_ssl(ssl, handshake, shutdown)


async def _serve(
    loop: Any,
    sockets: list[Any],
    protocol_factory: _Factory,
    ssl: Any,
    backlog: int,
    handshake_timeout: float | None,
    shutdown_timeout: float | None,
    start_serving: bool,
    cleanup: Callable[[], None] | None = None,
) -> Server:
    """Return a server on sockets that are bound; a failure or cancellation closes them."""
    server = None
    try:
        for sock in sockets:
            sock.setblocking(False)
        server = Server(loop, sockets, protocol_factory, ssl, backlog, handshake_timeout, shutdown_timeout)
        server._cleanup = cleanup
        if start_serving:
            await server.start_serving()
    except BaseException:
        if server is not None:
            server.close()
        for sock in sockets:
            sock.close()
        raise
    return server


async def _resolve_all(loop: Any, host: Any, port: Any, family: int, flags: int) -> list[AddressInfo]:
    """Return the addresses of one host, or of several, each address once."""
    hosts: list[Any]
    if host == "":
        hosts = [None]
    elif isinstance(host, str) or not isinstance(host, collections.abc.Iterable):
        hosts = [host]
    else:
        hosts = list(host)
    if len(hosts) == 1:
        return list(dict.fromkeys(await _resolve(loop, hosts[0], port, family, flags)))
    found = await _ferrio.gather(*[_resolve(loop, host, port, family, flags) for host in hosts])
    return list(dict.fromkeys(info for infos in found for info in infos))


async def _resolve(loop: Any, host: Any, port: Any, family: int, flags: int) -> list[AddressInfo]:
    known = loop._known_address((host, port), family, socket.SOCK_STREAM, 0)
    if known is not None:
        return [known]
    infos: list[AddressInfo] = await loop.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM, flags=flags)
    if not infos:
        raise OSError(f"getaddrinfo({host!r}) returned empty list")
    return infos


def _bind_to_all(
    infos: list[AddressInfo],
    reuse_address: bool,
    reuse_port: bool | None,
    keep_alive: bool | None,
    debug: bool,
) -> list[socket.socket]:
    """Return a bound socket for each address whose family this machine has; a failure closes those made before."""
    sockets: list[socket.socket] = []
    try:
        for family, kind, proto, _, address in infos:
            try:
                sock = socket.socket(family, kind, proto)
            except OSError:
                # The name server knows an address of the family, but the system doesn't support it.
                if debug:
                    logger.warning(
                        "create_server() failed to create socket.socket(%r, %r, %r)", family, kind, proto, exc_info=True
                    )
                continue
            sockets.append(sock)
            if reuse_address:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, True)
            # Linux 6.12.9 and later refuse it for other families.
            if reuse_port and family in (socket.AF_INET, socket.AF_INET6):
                _sockets.share_port(sock)
            if keep_alive:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, True)
            if family == socket.AF_INET6:
                # Otherwise it would take the IPv4 address too, which has its own socket.
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, True)
            try:
                sock.bind(address)
            except OSError as failure:
                text = f"error while attempting to bind on address {address!r}: {str(failure).lower()}"
                if failure.errno != errno.EADDRNOTAVAIL:
                    raise OSError(failure.errno, text) from None
                # No interface has the family's addresses (bpo-30945).
                sockets.pop().close()
                if debug:
                    logger.warning(text)
        if not sockets:
            raise OSError(f"could not bind on any address out of {[info[4] for info in infos]!r}")
    except BaseException:
        for sock in sockets:
            sock.close()
        raise
    return sockets


def _bind_to_path(path: str | bytes) -> socket.socket:
    """Return a Unix socket that is bound to `path`."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _sockets.remove_stale(path)
        sock.bind(path)
    except BaseException as failure:
        sock.close()
        if isinstance(failure, OSError) and failure.errno == errno.EADDRINUSE:
            raise OSError(errno.EADDRINUSE, f"Address {path!r} is already in use") from None
        raise
    return sock


def _file_remover(sock: Any) -> Callable[[], None] | None:
    """Return a function that removes the file of a bound Unix socket, or `None` if it has no file."""
    path = sock.getsockname()
    if not _sockets.has_file(path):
        return None
    try:
        inode = os.stat(path).st_ino
    except FileNotFoundError:
        return None
    return functools.partial(_remove_file, path, inode)


def _remove_file(path: str | bytes, inode: int) -> None:
    """Remove the file at `path`, unless it has been replaced by another one."""
    try:
        if os.stat(path).st_ino == inode:
            os.unlink(path)
    except FileNotFoundError:
        pass
    except OSError as error:
        logger.error("Unable to clean up listening UNIX socket %r: %r", path, error)
