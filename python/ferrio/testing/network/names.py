"""Names and addresses of a simulated network: its `getaddrinfo` and `getnameinfo`.

Invariant: nothing asks the system, neither for names nor for services.
"""

from __future__ import annotations

import ipaddress
import socket
from typing import Any

from ferrio.testing.network.hosts import ANY, LOOPBACK
from ferrio.testing.network.network import Network

__all__ = ("look_up", "name_of", "numeric")

#: Ports that have names.
_SERVICES = {
    "ftp": 21,
    "ssh": 22,
    "smtp": 25,
    "domain": 53,
    "http": 80,
    "imap2": 143,
    "https": 443,
    "imaps": 993,
    "mqtt": 1883,
    "mysql": 3306,
    "postgresql": 5432,
    "amqp": 5672,
    "redis": 6379,
}

_KINDS: list[tuple[int, int]] = [
    (socket.SOCK_STREAM, socket.IPPROTO_TCP),
    (socket.SOCK_DGRAM, socket.IPPROTO_UDP),
    (socket.SOCK_RAW, 0),
]

_Info = tuple[Any, Any, int, str, tuple[str, int]]


def look_up(
    network: Network, host: Any, port: Any, family: int = 0, kind: int = 0, proto: int = 0, flags: int = 0
) -> list[_Info]:
    """Returns what `socket.getaddrinfo` would. Raises `socket.gaierror` for what the network doesn't know."""
    if family not in (socket.AF_UNSPEC, socket.AF_INET):
        raise socket.gaierror(socket.EAI_FAMILY, "the simulated network has IPv4 addresses only")
    number = _port(port)
    address = _address(network, _text(host), flags)
    name = _text(host) or "" if flags & socket.AI_CANONNAME else ""
    found: list[_Info] = []
    for each, its_proto in _KINDS:
        if kind in (0, each) and proto in (0, its_proto):
            shown = name if not found else ""
            found.append((socket.AF_INET, socket.SocketKind(each), its_proto, shown, (address, number)))
    if not found:
        raise socket.gaierror(socket.EAI_SOCKTYPE, "ai_socktype not supported")
    return found


def name_of(network: Network, address: Any, flags: int = 0) -> tuple[str, str]:
    """Returns what `socket.getnameinfo` would: the name of a host, and of a service."""
    ip, port = address[:2]
    if not numeric(ip):
        raise socket.gaierror(socket.EAI_NONAME, f"{ip!r} is no IPv4 address")
    name = "localhost" if ip.startswith("127.") else None
    name = name or next((host.name for host in network.hosts if host.address == ip), None)
    if flags & socket.NI_NUMERICHOST or name is None:
        if flags & socket.NI_NAMEREQD:
            raise _unknown(network, ip)
        name = ip
    service = next((name for name, number in _SERVICES.items() if number == port), None)
    return name, str(port) if flags & socket.NI_NUMERICSERV or service is None else service


def numeric(host: str) -> bool:
    """Whether this is an IPv4 address."""
    try:
        ipaddress.IPv4Address(host)
    except ValueError:
        return False
    return True


def _address(network: Network, host: str | None, flags: int) -> str:
    if not host:
        return ANY if flags & socket.AI_PASSIVE else LOOPBACK
    if numeric(host):
        return host
    if ":" in host:
        raise socket.gaierror(socket.EAI_FAMILY, f"the simulated network has IPv4 addresses only, not {host!r}")
    found = None if flags & socket.AI_NUMERICHOST else network.host_named(host)
    if found is None:
        raise _unknown(network, host)
    return LOOPBACK if host.rstrip(".").lower() == "localhost" else found.address


def _unknown(network: Network, host: str) -> socket.gaierror:
    text = f"the simulated network has no host {host!r}; there are {network.known_hosts()}"
    return socket.gaierror(socket.EAI_NONAME, text)


def _text(host: Any) -> str | None:
    if isinstance(host, bytes | bytearray):
        return host.decode("ascii")
    if host is not None and not isinstance(host, str):
        raise TypeError("getaddrinfo() argument 1 must be string or None")
    return host


def _port(port: Any) -> int:
    if isinstance(port, bytes):
        port = port.decode("ascii")
    if port is None or port == "":
        return 0
    if isinstance(port, str):
        number = int(port) if port.isascii() and port.isdigit() else _SERVICES.get(port)
        if number is None:
            raise socket.gaierror(socket.EAI_SERVICE, f"the simulated network has no service {port!r}")
    elif isinstance(port, int):
        number = int(port)
    else:
        raise OSError("Int or String expected")
    if not 0 <= number <= 65535:
        raise OverflowError("getsockaddrarg: port must be 0-65535.")
    return number
