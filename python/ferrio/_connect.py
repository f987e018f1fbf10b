"""Connections that the program makes: TCP, Unix sockets, accepted sockets, pipes.

Each coroutine here runs once per connection: it checks the arguments as asyncio does, gets a connected socket, and
makes a transport for it. Invariant: a call that fails or is cancelled leaves no socket open.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import ferrio  # for `staggered`, which imports the loop: a program that is ending can't import anything any more
from ferrio import _sockets
from ferrio._sockets import AddressInfo, logger

if TYPE_CHECKING:
    from asyncio import BaseProtocol, ReadTransport, Transport, WriteTransport

_Protocol = TypeVar("_Protocol", bound="BaseProtocol")


class Connecting:
    """The methods of an event loop that make connections, and transports for pipes."""

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

        `ssl` is an `ssl.SSLContext`, or `True` for the default one. `server_hostname` defaults to `host`; without a
        host it is required ("" checks no name). The addresses of a name are tried one after the other.
        `happy_eyeballs_delay` is the head start of each in seconds (RFC 8305). With it, `interleave`, the number of
        addresses of the first family that are tried first, is 1. With `all_errors`, a failure is an `ExceptionGroup` of
        everything that was tried.

        Raises `ValueError` for arguments that contradict each other, `OSError` if no address could be reached, and
        whatever `protocol_factory` raises.
        """
        server_hostname = _sockets.name_for_tls(ssl, server_hostname, host, ssl_handshake_timeout, ssl_shutdown_timeout)
        if sock is not None:
            _sockets.refuse_ssl_socket(sock)
        if host is None and port is None:
            if sock is None:
                raise ValueError("host and port was not specified and no sock specified")
            _sockets.require_stream(sock)
        elif sock is not None:
            raise ValueError("host/port and sock can not be specified at the same time")
        else:
            infos = await _sockets.resolve(self, (host, port), family=family, proto=proto, flags=flags)
            local_infos = None
            if local_addr is not None:
                local_infos = await _sockets.resolve(self, local_addr, family=family, proto=proto, flags=flags)
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
        """Connect to the Unix socket at `path`, or take `sock`; return the transport and its protocol.

        `path` is text, bytes or a path; a leading zero byte makes it abstract. The other arguments are those of
        `create_connection`; with `ssl`, `server_hostname` is required. Raises `ValueError` for arguments that
        contradict each other, `OSError` if nobody listens there, and whatever `protocol_factory` raises.
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

        With `ssl`, an `ssl.SSLContext`, it is the server's side. Raises `ValueError` if `sock` isn't a stream socket,
        or if there are time limits without `ssl`, and whatever `protocol_factory` raises.
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

        From then on, the transport owns the file. Raises `ValueError` for other files.
        """
        transport, protocol = await _sockets.open_transport(
            self, protocol_factory, lambda protocol, waiter: self._make_read_pipe_transport(pipe, protocol, waiter)
        )
        if self.get_debug():
            logger.debug("Read pipe %r connected: (%r, %r)", pipe.fileno(), transport, protocol)
        return transport, protocol

    async def connect_write_pipe(
        self: Any, protocol_factory: Callable[[], _Protocol], pipe: Any
    ) -> tuple[WriteTransport, _Protocol]:
        """Write to `pipe`, an open file that is a pipe, socket or terminal; return the transport and its protocol.

        From then on, the transport owns the file. Raises `ValueError` for other files.
        """
        transport, protocol = await _sockets.open_transport(
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
    """Make a transport with a new protocol for a connected socket; if that fails, close the socket."""
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
        # The exception's traceback holds this frame, and the waiter holds the exception.
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
    """Return a socket that is connected to one of the addresses; if none answers, raise what went wrong."""
    #: A list for each attempt begun.
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
            # The race's third result, the failures, would be in a cycle with this frame, so it isn't kept.
            sock = (await ferrio.staggered.staggered_race(attempts, head_start, loop=loop))[0]
            if sock is not None:
                return sock
        raise _summary([failure for attempt in failures for failure in attempt], all_errors)
    finally:
        # The exception's traceback holds this frame.
        failures.clear()


def _summary(failures: list[OSError], all_errors: bool) -> Exception:
    """Return one exception for all failures."""
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
    """Return a socket that is connected to the one address; add the errors, as a list, to `failures`."""
    mine: list[OSError] = []
    failures.append(mine)
    family, kind, proto, _, address = info
    sock = None
    try:
        # Called as asyncio calls it: test suites replace the class, and audit hooks see the arguments.
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
                pass  # the earlier error says more
        raise
    finally:
        # A failure's traceback holds this frame, so the frame must not hold the failure.
        del mine, failures


def _bind_to_any(sock: socket.socket, family: Any, local_infos: list[AddressInfo], failures: list[OSError]) -> None:
    """Bind to the first available local address of the family; add the errors of the others to `failures`."""
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
