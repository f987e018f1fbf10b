"""The loop's methods that a simulated network replaces while it is active.

They check their arguments as the loop's own do. What the network doesn't have is left to these: Unix addresses, and
sockets that were made before. Invariant: nothing stays replaced.
"""

from __future__ import annotations

import collections.abc
import contextlib
import functools
import socket
from asyncio.base_events import BaseEventLoop
from collections.abc import Callable, Iterator
from typing import Any

from ferrio import _connect, _serve, _sockets
from ferrio._loop import EventLoop
from ferrio.testing.network import names, polling, socket_calls, sockets
from ferrio.testing.network.connection import Address
from ferrio.testing.network.datagram_transport import SimulatedDatagramTransport
from ferrio.testing.network.datagrams import DatagramEnd
from ferrio.testing.network.listening import Attempt, Listener
from ferrio.testing.network.network import Network, active
from ferrio.testing.network.server import SimulatedServer

__all__ = ("installed",)

_replaced: dict[str, Any] = {}


@contextlib.contextmanager
def installed() -> Iterator[None]:
    """Replaces the methods inside the block, and what makes sockets."""
    changes = {**_METHODS, **socket_calls.methods(_replaced, _network)}
    of_asyncio = {name: vars(BaseEventLoop)[name] for name in _METHODS}
    for name, method in changes.items():
        _replaced[name] = getattr(EventLoop, name)
        setattr(EventLoop, name, method)
    for name, method in of_asyncio.items():
        setattr(BaseEventLoop, name, _refusing(name, method))
    try:
        with sockets.replaced(), polling.replaced():
            yield
    finally:
        for name in changes:
            delattr(EventLoop, name)
        for name, method in of_asyncio.items():
            setattr(BaseEventLoop, name, method)


def _refusing(name: str, method: Any) -> Any:
    """Returns a method for asyncio's own loops: otherwise a test would use the real network unawares."""

    @functools.wraps(method)
    async def refuse(self: Any, *arguments: Any, **options: Any) -> Any:
        if options.get("sock") is not None and not isinstance(options["sock"], sockets.SimulatedSocket):
            return await method(self, *arguments, **options)
        raise RuntimeError(
            f"{name}() of asyncio's own loop can't use the simulated network: run the test on ferrio's loop, by"
            " @pytest.mark.ferrio, ferrio.testing.virtual_time() or ferrio.run()"
        )

    return refuse


def _network(loop: Any) -> Network:
    network = active()
    if network is None:
        raise RuntimeError("no simulated network is active any more")
    network.adopt(loop)
    return network


async def getaddrinfo(
    self: Any, host: Any, port: Any, *, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0
) -> list[Any]:
    """Look up a name of the simulated network."""
    return list(names.look_up(_network(self), host, port, family, type, proto, flags))


async def getnameinfo(self: Any, sockaddr: Any, flags: int = 0) -> tuple[str, str]:
    """Look up the name of an address of the simulated network."""
    return names.name_of(_network(self), sockaddr, flags)


async def create_connection(
    self: Any,
    protocol_factory: Callable[[], Any],
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
    **others: Any,
) -> tuple[Any, Any]:
    """Connect to a host of the simulated network."""
    timeouts = {"ssl_handshake_timeout": ssl_handshake_timeout, "ssl_shutdown_timeout": ssl_shutdown_timeout}
    if sock is not None or (host is None and port is None):
        connect = functools.partial(_replaced["create_connection"], self, protocol_factory, host, port, ssl=ssl)
        options = {"family": family, "proto": proto, "flags": flags, "sock": sock, "local_addr": local_addr}
        result: tuple[Any, Any] = await connect(server_hostname=server_hostname, **options, **timeouts, **others)
        return result
    _refuse_unknown("create_connection", others, ("happy_eyeballs_delay", "interleave", "all_errors"))
    server_hostname = _sockets.name_for_tls(ssl, server_hostname, host, ssl_handshake_timeout, ssl_shutdown_timeout)
    network = _network(self)
    remote = await _resolved(self, host, port, family, proto, flags)
    local = None if local_addr is None else await _resolved(self, local_addr[0], local_addr[1], family, proto, flags)
    try:
        endpoint = await Attempt(network.current_host, remote, local).done
    except OSError as error:
        if others.get("all_errors"):
            raise ExceptionGroup("create_connection failed", [error]) from None
        raise
    sock = sockets.SimulatedSocket.of(endpoint, socket.IPPROTO_TCP)
    transport, protocol = await _connect._on_socket(
        self, sock, protocol_factory, ssl, server_hostname, False, ssl_handshake_timeout, ssl_shutdown_timeout
    )
    if self.get_debug():
        shown = transport.get_extra_info("socket")
        _sockets.logger.debug("%r connected to %s:%r: (%r, %r)", shown, host, port, transport, protocol)
    return transport, protocol


async def create_server(
    self: Any,
    protocol_factory: Callable[[], Any],
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
) -> Any:
    """Listen on the current host of the simulated network."""
    timeouts = {"ssl_handshake_timeout": ssl_handshake_timeout, "ssl_shutdown_timeout": ssl_shutdown_timeout}
    own = isinstance(sock, sockets.SimulatedSocket) and host is None and port is None
    if not own and (sock is not None or (host is None and port is None)):
        serve = functools.partial(_replaced["create_server"], self, protocol_factory, host, port, ssl=ssl, sock=sock)
        options = {"family": family, "flags": flags, "backlog": backlog, "start_serving": start_serving}
        reuse = {"reuse_address": reuse_address, "reuse_port": reuse_port, "keep_alive": keep_alive}
        return await serve(**options, **reuse, **timeouts)
    if isinstance(ssl, bool):
        raise TypeError("ssl argument must be an SSLContext or None")
    _serve._refuse_timeouts(ssl, ssl_handshake_timeout, ssl_shutdown_timeout)
    current = _network(self).current_host
    made: list[sockets.SimulatedSocket] = []
    try:
        if own:
            _sockets.require_stream(sock)
            sock.setblocking(False)
            made.append(sock)
        else:
            addresses = await _addresses(self, host, port, family, flags)
            for each in addresses:
                listener = Listener(current, each, reuse_port=bool(reuse_port))
                made.append(sockets.SimulatedSocket.of(listener, socket.IPPROTO_TCP))
                chosen = {socket.SO_REUSEADDR: reuse_address in (None, True), socket.SO_REUSEPORT: reuse_port}
                for option, is_set in {**chosen, socket.SO_KEEPALIVE: keep_alive}.items():
                    if is_set:
                        made[-1].setsockopt(socket.SOL_SOCKET, option, True)
        server = SimulatedServer(self, made, protocol_factory, ssl, backlog, **timeouts)
        if start_serving:
            await server.start_serving()
    except BaseException:
        for each_made in made:
            each_made.close()
        raise
    if self.get_debug():
        _sockets.logger.info("%r is serving", server)
    return server


async def create_datagram_endpoint(
    self: Any,
    protocol_factory: Callable[[], Any],
    local_addr: Any = None,
    remote_addr: Any = None,
    *,
    family: int = 0,
    proto: int = 0,
    flags: int = 0,
    reuse_port: bool | None = None,
    allow_broadcast: bool | None = None,
    sock: Any = None,
) -> tuple[Any, Any]:
    """Take a UDP port of the current host of the simulated network."""
    if sock is not None or family == socket.AF_UNIX or not (local_addr or remote_addr or family):
        options = {"family": family, "proto": proto, "flags": flags, "sock": sock}
        reuse = {"reuse_port": reuse_port, "allow_broadcast": allow_broadcast}
        replaced = _replaced["create_datagram_endpoint"]
        result: tuple[Any, Any] = await replaced(self, protocol_factory, local_addr, remote_addr, **options, **reuse)
        return result
    addresses: list[Address | None] = []
    for address in (local_addr, remote_addr):
        if address is not None and not (isinstance(address, tuple) and len(address) == 2):
            raise TypeError("2-tuple is expected")
        kind = socket.SOCK_DGRAM
        addresses.append(address and await _resolved(self, *address, family, proto, flags, kind))
    local, remote = addresses
    end = DatagramEnd(
        _network(self).current_host,
        local,
        None if allow_broadcast else remote,
        reuse_port=bool(reuse_port),
        allow_broadcast=bool(allow_broadcast),
    )
    try:
        made: tuple[Any, Any] = await _sockets.open_transport(
            self,
            protocol_factory,
            lambda protocol, waiter: SimulatedDatagramTransport(self, end, protocol, remote, waiter),
        )
    except BaseException:
        end.close()
        raise
    return made


async def _addresses(loop: Any, host: Any, port: Any, family: int, flags: int) -> list[Address]:
    """Returns the addresses of one host, or of several, each once."""
    hosts = list(host) if isinstance(host, collections.abc.Iterable) and not isinstance(host, str) else [host or None]
    found = [await _resolved(loop, each, port, family, socket.IPPROTO_TCP, flags) for each in hosts]
    return list(dict.fromkeys(found))


async def _resolved(
    loop: Any, host: Any, port: Any, family: int, proto: int, flags: int, kind: int = socket.SOCK_STREAM
) -> Address:
    """Returns the address of a host. The loop's method is asked, which a program may have replaced as well."""
    infos = await loop.getaddrinfo(host, port, family=family, type=kind, proto=proto, flags=flags)
    if not infos:
        raise OSError(f"getaddrinfo({host!r}) returned empty list")
    address: Address = infos[0][4][:2]
    return address


def _refuse_unknown(what: str, options: dict[str, Any], known: tuple[str, ...]) -> None:
    for name in options:
        if name not in known:
            raise TypeError(f"{what}() got an unexpected keyword argument {name!r}")


_METHODS = {
    "create_connection": create_connection,
    "create_server": create_server,
    "create_datagram_endpoint": create_datagram_endpoint,
    "getaddrinfo": getaddrinfo,
    "getnameinfo": getnameinfo,
}
