"""Connections that the program asks for: TCP, Unix sockets, accepted sockets, pipes.

Each coroutine here runs once a connection: it checks the arguments as asyncio does, gets a connected socket, and has a
transport made of it. Invariant: whoever fails or is cancelled leaves no socket open.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import ferrio  # for `staggered`, which imports the loop: at the end of a program nothing can be imported late
from ferrio import _sockets
from ferrio._sockets import AddressInfo, logger

if TYPE_CHECKING:
    from asyncio import BaseProtocol, ReadTransport, Transport, WriteTransport

_Protocol = TypeVar("_Protocol", bound="BaseProtocol")


class Connecting:
    """The methods of an event loop that make connections, and pipes' transports."""

    __slots__ = ()

    async def create_connection(
        self: Any,
        protocol_factory: Callable[[], _Protocol],
        host: Any = None,
        port: Any = None,
        *,
        ssl: Any = None,
        family: int = 0,
        proto: int = 0,
        flags: int = 0,
        sock: Any = None,
        local_addr: Any = None,
        server_hostname: str | None = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
        happy_eyeballs_delay: float | None = None,
        interleave: int | None = None,
        all_errors: bool = False,
    ) -> tuple[Transport, _Protocol]:
        """Connect to `host` and `port`, or take the connected socket `sock`; return the transport and its protocol.

        `ssl` is an `ssl.SSLContext`, or `True` for the default one; `server_hostname` is by default `host`, and must be
        given (maybe empty, to check none) where there is no host. Names are tried address by address;
        `happy_eyeballs_delay` is the head start of each in seconds (RFC 8305), with which `interleave`, how many of the
        first family come first, is 1. With `all_errors` the failure is an `ExceptionGroup` of all that was tried.

        Raises `ValueError` for arguments that contradict each other, `OSError` if no address could be reached, and what
        `protocol_factory` raises.
        """
        if not ssl:
            if server_hostname is not None:
                raise ValueError("server_hostname is only meaningful with ssl")
            _sockets.refuse_timeouts_without_ssl(ssl, ssl_handshake_timeout, ssl_shutdown_timeout)
        elif server_hostname is None:
            if not host:
                raise ValueError("You must set server_hostname when using ssl without a host")
            server_hostname = host
        if sock is not None:
            _sockets.refuse_ssl_socket(sock)
        if host is None and port is None:
            if sock is None:
                raise ValueError("host and port was not specified and no sock specified")
            _sockets.require_stream(sock)
        elif sock is not None:
            raise ValueError("host/port and sock can not be specified at the same time")
        else:
            infos = await _sockets.resolved(self, (host, port), family=family, proto=proto, flags=flags)
            local_infos = None
            if local_addr is not None:
                local_infos = await _sockets.resolved(self, local_addr, family=family, proto=proto, flags=flags)
            if interleave is None and happy_eyeballs_delay is not None:
                interleave = 1
            if interleave:
                infos = _sockets.interleaved(infos, interleave)
            sock = await _connect_to_any(self, infos, local_infos, happy_eyeballs_delay, all_errors)
        transport, protocol = await _on_socket(
            self, sock, protocol_factory, ssl, server_hostname, False, ssl_handshake_timeout, ssl_shutdown_timeout
        )
        if self.get_debug():
            logger.debug(
                "%r connected to %s:%r: (%r, %r)", transport.get_extra_info("socket"), host, port, transport, protocol
            )
        return transport, protocol

    async def create_unix_connection(
        self: Any,
        protocol_factory: Callable[[], _Protocol],
        path: Any = None,
        *,
        ssl: Any = None,
        sock: Any = None,
        server_hostname: str | None = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
    ) -> tuple[Transport, _Protocol]:
        """Connect to the Unix socket at `path` (text, bytes, a path; a leading zero byte: abstract), or take `sock`.

        Return the transport and its protocol. The other arguments are those of `create_connection`; with `ssl` the
        `server_hostname` must be given. Raises `ValueError` for arguments that contradict each other, `OSError` if
        nobody listens there, and what `protocol_factory` raises.
        """
        if not ssl:
            if server_hostname is not None:
                raise ValueError("server_hostname is only meaningful with ssl")
            _sockets.refuse_timeouts_without_ssl(ssl, ssl_handshake_timeout, ssl_shutdown_timeout)
        elif server_hostname is None:
            raise ValueError("you have to pass server_hostname when using ssl")
        if path is not None:
            if sock is not None:
                raise ValueError("path and sock can not be specified at the same time")
            address = os.fspath(path)
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0)
            try:
                sock.setblocking(False)
                await self._connect(sock, address)
            except BaseException:
                sock.close()
                raise
        elif sock is None:
            raise ValueError("no path and sock were specified")
        else:
            _sockets.require_unix_stream(sock)
        return await _on_socket(
            self, sock, protocol_factory, ssl, server_hostname, False, ssl_handshake_timeout, ssl_shutdown_timeout
        )

    async def connect_accepted_socket(
        self: Any,
        protocol_factory: Callable[[], _Protocol],
        sock: Any,
        *,
        ssl: Any = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
    ) -> tuple[Transport, _Protocol]:
        """Take `sock`, a connection that the program accepted itself; return the transport and its protocol.

        With `ssl`, an `ssl.SSLContext`, it is the server's side. Raises `ValueError` for what is no stream socket, and
        for time limits without `ssl`, and what `protocol_factory` raises.
        """
        _sockets.require_stream(sock)
        _sockets.refuse_timeouts_without_ssl(ssl, ssl_handshake_timeout, ssl_shutdown_timeout)
        _sockets.refuse_ssl_socket(sock)
        transport, protocol = await _on_socket(
            self, sock, protocol_factory, ssl, "", True, ssl_handshake_timeout, ssl_shutdown_timeout
        )
        if self.get_debug():
            logger.debug("%r handled: (%r, %r)", transport.get_extra_info("socket"), transport, protocol)
        return transport, protocol

    async def connect_read_pipe(
        self: Any, protocol_factory: Callable[[], _Protocol], pipe: Any
    ) -> tuple[ReadTransport, _Protocol]:
        """Read from `pipe`, an open file that is a pipe, socket or terminal; return the transport and its protocol.

        The transport owns the file from then on. Raises `ValueError` for other files.
        """
        transport, protocol = await _sockets.opened(
            self, protocol_factory, lambda protocol, waiter: self._make_read_pipe_transport(pipe, protocol, waiter)
        )
        if self.get_debug():
            logger.debug("Read pipe %r connected: (%r, %r)", pipe.fileno(), transport, protocol)
        return transport, protocol

    async def connect_write_pipe(
        self: Any, protocol_factory: Callable[[], _Protocol], pipe: Any
    ) -> tuple[WriteTransport, _Protocol]:
        """Write to `pipe`, an open file that is a pipe, socket or terminal; return the transport and its protocol.

        The transport owns the file from then on. Raises `ValueError` for other files.
        """
        transport, protocol = await _sockets.opened(
            self, protocol_factory, lambda protocol, waiter: self._make_write_pipe_transport(pipe, protocol, waiter)
        )
        if self.get_debug():
            logger.debug("Write pipe %r connected: (%r, %r)", pipe.fileno(), transport, protocol)
        return transport, protocol


async def _on_socket(
    loop: Any,
    sock: Any,
    protocol_factory: Callable[[], Any],
    ssl: Any,
    server_hostname: str | None,
    server_side: bool,
    handshake_timeout: float | None,
    shutdown_timeout: float | None,
) -> tuple[Any, Any]:
    """Put a transport with a new protocol on a connected socket; until there is one, a failure closes the socket."""
    loop._ensure_fd_no_transport(sock)
    try:
        sock.setblocking(False)
        protocol = protocol_factory()
        waiter = loop.create_future()
        if ssl:
            transport = loop._make_ssl_transport(
                sock,
                protocol,
                None if ssl is True else ssl,
                waiter,
                server_side=server_side,
                server_hostname=server_hostname,
                ssl_handshake_timeout=handshake_timeout,
                ssl_shutdown_timeout=shutdown_timeout,
            )
        else:
            transport = loop._make_socket_transport(sock, protocol, waiter)
    except BaseException:
        sock.close()
        raise
    try:
        await waiter
    except BaseException:
        transport.close()
        # The exception's traceback holds this frame, and the waiter the exception.
        waiter = None
        raise
    return transport, protocol


async def _connect_to_any(
    loop: Any,
    infos: list[AddressInfo],
    local_infos: list[AddressInfo] | None,
    head_start: float | None,
    all_errors: bool,
) -> Any:
    """Return a socket that is connected to one of the addresses; raise what went wrong if none answers."""
    #: A list for each attempt that was begun.
    failures: list[list[OSError]] = []
    try:
        if head_start is None:
            for info in infos:
                try:
                    return await _connect_to(loop, info, local_infos, failures)
                except OSError:
                    pass
        else:
            attempts = [lambda info=info: _connect_to(loop, info, local_infos, failures) for info in infos]
            # The race's third result holds the failures in a cycle with this frame, so it isn't kept.
            sock = (await ferrio.staggered.staggered_race(attempts, head_start, loop=loop))[0]
            if sock is not None:
                return sock
        raise _summary([failure for attempt in failures for failure in attempt], all_errors)
    finally:
        # The exception's traceback holds this frame.
        failures.clear()


def _summary(failures: list[OSError], all_errors: bool) -> Exception:
    """Return the one exception that stands for all failures."""
    try:
        if all_errors:
            return ExceptionGroup("create_connection failed", failures)
        if not failures:
            return TimeoutError("create_connection failed")
        texts = [str(failure) for failure in failures]
        if texts.count(texts[0]) == len(texts):
            return failures[0]
        return OSError(f"Multiple exceptions: {', '.join(texts)}")
    finally:
        del failures


async def _connect_to(
    loop: Any, info: AddressInfo, local_infos: list[AddressInfo] | None, failures: list[list[OSError]]
) -> socket.socket:
    """Return a socket that is connected to the one address; add what goes wrong, as a list, to `failures`."""
    mine: list[OSError] = []
    failures.append(mine)
    family, kind, proto, _, address = info
    sock = None
    try:
        # As asyncio calls it: test suites put classes of their own into its place, and audit hooks see the arguments.
        sock = socket.socket(family=family, type=kind, proto=proto)
        sock.setblocking(False)
        if local_infos is not None:
            _bind_to_any(sock, family, local_infos, mine)
        await loop._connect(sock, address)
        return sock
    except BaseException as failure:
        if isinstance(failure, OSError):
            mine.append(failure)
        if sock is not None:
            try:
                sock.close()
            except OSError:
                pass  # what went wrong before says more
        raise
    finally:
        # A failure's traceback holds this frame, which must not hold the failure.
        del mine, failures


def _bind_to_any(sock: socket.socket, family: Any, local_infos: list[AddressInfo], failures: list[OSError]) -> None:
    """Bind to the first local address of the family that can be had; add to `failures` those that couldn't."""
    for local_family, _, _, _, address in local_infos:
        if local_family != family:
            continue
        try:
            return sock.bind(address)
        except OSError as failure:
            text = f"error while attempting to bind on address {address!r}: {str(failure).lower()}"
            failures.append(OSError(failure.errno, text))
    if failures:
        raise failures.pop()
    raise OSError(f"no matching local address with {family=} found")
