"""`create_datagram_endpoint`: UDP and Unix datagram sockets, up to the transport that sends and receives.

Invariant: a call that fails or is cancelled leaves no socket open.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from ferrio import _sockets
from ferrio._sockets import logger

if TYPE_CHECKING:
    from asyncio import BaseProtocol, DatagramTransport

_Protocol = TypeVar("_Protocol", bound="BaseProtocol")

#: Family and protocol, local and remote address; `None` for an address that wasn't requested.
_Candidate = tuple[int, int, Any, Any]


class Datagrams:
    """The method of an event loop that makes datagram endpoints."""

    __slots__ = ()

    async def create_datagram_endpoint(
        self: Any,
        protocol_factory: Callable[[], _Protocol],
        local_addr: Any = None,
        remote_addr: Any = None,
        *,
        family: int = 0,
        proto: int = 0,
        flags: int = 0,
        reuse_port: bool | None = None,
        allow_broadcast: bool | None = None,
        sock: Any = None,
    ) -> tuple[DatagramTransport, _Protocol]:
        """Make a datagram socket bound to `local_addr` and connected to `remote_addr`, or take `sock`.

        Return the transport and its protocol. Both addresses are optional. For IP, each is a pair of host and port; for
        Unix sockets it is a path, and `family` must be `AF_UNIX`. With `allow_broadcast` the socket may send to
        broadcast addresses and isn't connected.

        Raises `ValueError` and `TypeError` for arguments that contradict each other, `OSError` for addresses that
        aren't available, and whatever `protocol_factory` raises.
        """
        given = sock is not None
        remote = None
        if given:
            options = {
                "local_addr": local_addr,
                "remote_addr": remote_addr,
                "family": family,
                "proto": proto,
                "flags": flags,
                "reuse_port": reuse_port,
                "allow_broadcast": allow_broadcast,
            }
            _require_alone(sock, options)
            sock.setblocking(False)
        else:
            candidates = await _candidates(self, local_addr, remote_addr, family, proto, flags)
            sock, remote = await _open_any(self, candidates, reuse_port, allow_broadcast)
        taken = False

        def make(protocol: Any, waiter: Any) -> Any:
            nonlocal taken
            transport = self._make_datagram_transport(sock, protocol, remote, waiter)
            taken = True
            return transport

        try:
            transport, protocol = await _sockets.open_transport(self, protocol_factory, make)
        except BaseException:
            if not (taken or given):
                sock.close()
            raise
        if self.get_debug():
            if local_addr:
                logger.info(
                    "Datagram endpoint local_addr=%r remote_addr=%r created: (%r, %r)",
                    local_addr,
                    remote_addr,
                    transport,
                    protocol,
                )
            else:
                logger.debug("Datagram endpoint remote_addr=%r created: (%r, %r)", remote_addr, transport, protocol)
        return transport, protocol


def _require_alone(sock: Any, options: dict[str, Any]) -> None:
    """Raise `ValueError` for a stream socket, and for socket options if the program passed its own socket."""
    if sock.type == socket.SOCK_STREAM:
        raise ValueError(f"A datagram socket was expected, got {sock!r}")
    problems = ", ".join(f"{name}={value}" for name, value in options.items() if value)
    if problems:
        raise ValueError(f"socket modifier keyword arguments can not be used when sock is specified. ({problems})")


async def _candidates(
    loop: Any, local_addr: Any, remote_addr: Any, family: int, proto: int, flags: int
) -> list[_Candidate]:
    """Return the possible addresses, in the order in which to try them."""
    if not (local_addr or remote_addr):
        if family == 0:
            raise ValueError("unexpected address family")
        return [(family, proto, None, None)]
    if family == socket.AF_UNIX:
        for address in (local_addr, remote_addr):
            if address is not None and not isinstance(address, str):
                raise TypeError("string is expected")
        if local_addr:
            _sockets.remove_stale(local_addr)
        return [(family, proto, local_addr or None, remote_addr or None)]
    #: By family and protocol: the local and the remote address; if there are several, the last.
    pairs: dict[tuple[int, int], list[Any]] = {}
    for side, address in enumerate((local_addr, remote_addr)):
        if address is None:
            continue
        if not (isinstance(address, tuple) and len(address) == 2):
            raise TypeError("2-tuple is expected")
        infos = await _sockets.resolve(loop, address, family=family, kind=socket.SOCK_DGRAM, proto=proto, flags=flags)
        for found_family, _, found_proto, _, found in infos:
            pairs.setdefault((found_family, found_proto), [None, None])[side] = found
    wanted = (bool(local_addr), bool(remote_addr))
    complete: list[_Candidate] = [
        (*key, local, remote)
        for key, (local, remote) in pairs.items()
        if not (wanted[0] and local is None) and not (wanted[1] and remote is None)
    ]
    if not complete:
        raise ValueError("can not get address information")
    return complete


async def _open_any(
    loop: Any, candidates: list[_Candidate], reuse_port: bool | None, allow_broadcast: bool | None
) -> tuple[socket.socket, Any]:
    """Return the first socket that can be made, and its address; if none can, raise the first failure."""
    failures = []
    for candidate in candidates:
        try:
            return await _open(loop, *candidate, reuse_port, allow_broadcast), candidate[3]
        except OSError as failure:
            failures.append(failure)
    try:
        raise failures[0]
    finally:
        # The exception's traceback holds this frame.
        del failures


async def _open(
    loop: Any,
    family: int,
    proto: int,
    local: Any,
    remote: Any,
    reuse_port: bool | None,
    allow_broadcast: bool | None,
) -> socket.socket:
    sock = socket.socket(family=family, type=socket.SOCK_DGRAM, proto=proto)
    try:
        if reuse_port:
            _sockets.share_port(sock)
        if allow_broadcast:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        sock.setblocking(False)
        if local:
            sock.bind(local)
        if remote and not allow_broadcast:
            await loop.sock_connect(sock, remote)
    except BaseException:
        sock.close()
        raise
    return sock
