"""The loop's methods that take a socket, for those of a simulated network: `sock_recv`, `add_reader` and the like.

Each leaves real sockets to the method that it replaces. Invariant: a socket that a transport has is refused.
"""

from __future__ import annotations

import asyncio
import functools
import socket
from collections.abc import Callable
from typing import Any

from ferrio.testing.network.connection import Address
from ferrio.testing.network.datagram_transport import SimulatedDatagramTransport
from ferrio.testing.network.descriptions import Description
from ferrio.testing.network.network import Network
from ferrio.testing.network.server import accepted
from ferrio.testing.network.sockets import SimulatedSocket

__all__ = ("methods",)


def methods(replaced: dict[str, Any], network_of: Callable[[Any], Network]) -> dict[str, Any]:
    """Returns the methods by name. `replaced` has those that they replace."""
    found = {}
    for name, method in _METHODS.items():
        found[name] = _for_simulated(name, method, replaced, network_of)
    return found


def _for_simulated(name: str, method: Any, replaced: dict[str, Any], network_of: Callable[[Any], Network]) -> Any:
    # Not a coroutine function: each method returns what it returns for a real socket.
    @functools.wraps(method)
    def call(self: Any, sock: Any, *arguments: Any, **keywords: Any) -> Any:
        description = _description(sock)
        if description is None:
            return replaced[name](self, sock, *arguments, **keywords)
        network_of(self)
        return method(self, sock if isinstance(sock, SimulatedSocket) else description, *arguments, **keywords)

    return call


def _description(sock: Any) -> Description | None:
    """Returns what is behind a socket, a number, or an object with `fileno()`; `None` if it isn't simulated."""
    if isinstance(sock, SimulatedSocket):
        return Description.of(sock.fileno()) or sock._description
    if isinstance(sock, int):
        return Description.of(sock)
    fileno = getattr(sock, "fileno", None)
    return None if fileno is None or isinstance(sock, socket.socket) else Description.of(fileno())


def _free(loop: Any, sock: Any) -> Description:
    """Returns the description. Raises `RuntimeError` if a transport has it."""
    description = sock.description if isinstance(sock, SimulatedSocket) else sock
    assert isinstance(description, Description)
    if loop.get_debug() and isinstance(sock, SimulatedSocket) and sock.gettimeout() != 0:
        raise ValueError("the socket must be non-blocking")
    _refuse_used(sock, description)
    return description


def _refuse_used(sock: Any, description: Description) -> None:
    transport = description.transport
    if transport is not None and not transport.is_closing():
        raise RuntimeError(f"File descriptor {sock!r} is used by transport {transport!r}")


async def _when_possible(loop: Any, description: Description, writing: bool, attempt: Callable[[], Any]) -> Any:
    """Calls `attempt` until it doesn't raise `BlockingIOError`; waits in between."""
    try:
        return attempt()
    except BlockingIOError:
        pass
    done: asyncio.Future[Any] = loop.create_future()

    def try_again() -> None:
        if done.done():
            return
        try:
            result = attempt()
        except BlockingIOError:
            return
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            description.unwatch(writing, watcher)
            done.set_exception(error)
        else:
            description.unwatch(writing, watcher)
            done.set_result(result)

    watcher = description.watch(loop, writing, try_again)
    try:
        return await done
    finally:
        description.unwatch(writing, watcher)


async def sock_recv(self: Any, sock: Any, nbytes: int) -> bytes:
    """Receive up to `nbytes` bytes."""
    description = _free(self, sock)
    data: bytes = await _when_possible(self, description, False, lambda: description.receive(nbytes))
    return data


async def sock_recv_into(self: Any, sock: Any, buf: Any) -> int:
    """Receive into `buf`, and return the number of bytes."""
    description = _free(self, sock)
    view = memoryview(buf).cast("B")
    data = await _when_possible(self, description, False, lambda: description.receive(len(view)))
    view[: len(data)] = data
    return len(data)


async def sock_recvfrom(self: Any, sock: Any, bufsize: int) -> tuple[bytes, Any]:
    """Receive a datagram; return it and where it came from."""
    description = _free(self, sock)
    found: tuple[bytes, Any] = await _when_possible(self, description, False, lambda: description.receive_from(bufsize))
    return found


async def sock_recvfrom_into(self: Any, sock: Any, buf: Any, nbytes: int = 0) -> tuple[int, Any]:
    """Receive a datagram into `buf`; return its size and where it came from."""
    description = _free(self, sock)
    view = memoryview(buf).cast("B")
    limit = nbytes or len(view)
    data, source = await _when_possible(self, description, False, lambda: description.receive_from(limit))
    view[: len(data)] = data
    return len(data), source


async def sock_sendall(self: Any, sock: Any, data: Any) -> None:
    """Send all of `data`."""
    description = _free(self, sock)
    view = memoryview(data).cast("B")
    while view:
        sent: int = await _when_possible(self, description, True, functools.partial(description.send, view))
        view = view[sent:]


async def sock_sendto(self: Any, sock: Any, data: Any, address: Any) -> int:
    """Send a datagram to `address`."""
    description = _free(self, sock)
    to = description.resolved(address) if description.kind == socket.SOCK_DGRAM else None
    sent: int = await _when_possible(self, description, True, lambda: description.send(data, to))
    return sent


async def sock_connect(self: Any, sock: Any, address: Any) -> None:
    """Connect to `address`."""
    description = _free(self, sock)
    if isinstance(address, tuple) and len(address) == 2:
        # The loop's method is asked, which a program may have replaced.
        infos = await self.getaddrinfo(*address, family=socket.AF_INET, type=description.kind)
        address = infos[0][4][:2]
    remote: Address = description.resolved(address)
    try:
        description.connect(remote)
    except BlockingIOError:
        pass
    else:
        return
    done: asyncio.Future[None] = self.create_future()

    def look() -> None:
        if not done.done():
            done.set_result(None)

    watcher = description.watch(self, True, look)
    try:
        await done  # if it is cancelled, the system still connects
    finally:
        description.unwatch(True, watcher)
    description.finish_connecting()


async def sock_accept(self: Any, sock: Any) -> tuple[SimulatedSocket, Address]:
    """Accept a connection; return its socket, which is non-blocking, and the peer's address."""
    description = _free(self, sock)
    endpoint = await _when_possible(self, description, False, description.accept)
    return SimulatedSocket.of(endpoint, description.proto), endpoint.remote


async def sock_sendfile(
    self: Any, sock: Any, file: Any, offset: int = 0, count: int | None = None, *, fallback: bool | None = True
) -> int:
    """Send a file in pieces that a thread reads."""
    description = _free(self, sock)
    if "b" not in getattr(file, "mode", "b"):
        raise ValueError("file should be opened in binary mode")
    if description.kind != socket.SOCK_STREAM:
        raise ValueError("only SOCK_STREAM type sockets are supported")
    if count is not None and count <= 0:
        raise ValueError(f"count must be a positive integer (got {count!r})")
    if offset < 0:
        raise ValueError(f"offset must be a non-negative integer (got {offset!r})")
    if not fallback:
        raise asyncio.SendfileNotAvailableError("a simulated socket has no sendfile")
    if hasattr(file, "seek"):
        file.seek(offset)
    memory, sent = memoryview(bytearray(256 * 1024)), 0
    try:
        while count is None or sent < count:
            piece = memory if count is None else memory[: count - sent]
            read = await self.run_in_executor(None, file.readinto, piece)
            if not read:
                break
            await sock_sendall(self, sock, piece[:read])
            sent += read
        return sent
    finally:
        if sent > 0 and hasattr(file, "seek"):
            file.seek(offset + sent)


def add_reader(self: Any, fd: Any, callback: Any, *args: Any) -> None:
    """Call back when something can be read."""
    _watch(self, fd, False, callback, args)


def add_writer(self: Any, fd: Any, callback: Any, *args: Any) -> None:
    """Call back when something can be written."""
    _watch(self, fd, True, callback, args)


def remove_reader(self: Any, fd: Any) -> bool:
    """End what `add_reader` began; return whether there was something."""
    return _unwatch(fd, False)


def remove_writer(self: Any, fd: Any) -> bool:
    """End what `add_writer` began; return whether there was something."""
    return _unwatch(fd, True)


def _watch(loop: Any, fd: Any, writing: bool, callback: Any, arguments: tuple[Any, ...]) -> None:
    description = fd.description if isinstance(fd, SimulatedSocket) else fd
    _refuse_used(fd, description)
    description.unwatch(writing)
    description.watch(loop, writing, callback, *arguments)


def _unwatch(fd: Any, writing: bool) -> bool:
    description = fd._description if isinstance(fd, SimulatedSocket) else fd
    _refuse_used(fd, description)
    done: bool = description.unwatch(writing)
    return done


def _ensure_fd_no_transport(self: Any, fd: Any) -> None:
    description = fd.description if isinstance(fd, SimulatedSocket) else fd
    _refuse_used(fd, description)


def _make_socket_transport(
    self: Any, sock: Any, protocol: Any, waiter: Any = None, *, extra: Any = None, server: Any = None
) -> Any:
    description = sock.description
    return accepted(self, description.connected(), protocol, waiter, None, server=server, sock=sock)[1]


def _make_ssl_transport(
    self: Any,
    rawsock: Any,
    protocol: Any,
    sslcontext: Any,
    waiter: Any = None,
    *,
    server_side: bool = False,
    server_hostname: str | None = None,
    extra: Any = None,
    server: Any = None,
    ssl_handshake_timeout: float | None = None,
    ssl_shutdown_timeout: float | None = None,
) -> Any:
    return accepted(
        self,
        rawsock.description.connected(),
        protocol,
        waiter,
        True if sslcontext is None else sslcontext,
        server=server,
        server_side=server_side,
        server_hostname=server_hostname,
        ssl_handshake_timeout=ssl_handshake_timeout,
        ssl_shutdown_timeout=ssl_shutdown_timeout,
        sock=rawsock,
    )[1]


def _make_datagram_transport(
    self: Any, sock: Any, protocol: Any, address: Any = None, waiter: Any = None, extra: Any = None
) -> Any:
    return SimulatedDatagramTransport(self, sock.description.bound(), protocol, address, waiter, sock=sock)


_METHODS: dict[str, Any] = {
    method.__name__: method
    for method in (
        sock_recv,
        sock_recv_into,
        sock_recvfrom,
        sock_recvfrom_into,
        sock_sendall,
        sock_sendto,
        sock_connect,
        sock_accept,
        sock_sendfile,
        add_reader,
        add_writer,
        remove_reader,
        remove_writer,
        _ensure_fd_no_transport,
        _make_socket_transport,
        _make_ssl_transport,
        _make_datagram_transport,
    )
}
