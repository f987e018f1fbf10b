"""`Network`: the hosts, the links between them, their faults, and what has happened.

Everything that travels is an entry in the loop's timers, and every chance comes from one random generator. So the same
seed gives the same run. The network makes no system call.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import contextvars
import errno
import ipaddress
import random
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Any, NamedTuple, Self

from ferrio.testing.network.connection import Connection, failure
from ferrio.testing.network.hosts import Host, current_host
from ferrio.testing.network.links import Conditions, Path

__all__ = ("Event", "Network")

#: How many events a network remembers.
_MOST_EVENTS = 100_000

_active: Network | None = None


def active() -> Network | None:
    """Returns the network that programs use now."""
    return _active


class Event(NamedTuple):
    """Something that happened in a network."""

    time: float
    """The loop's time."""
    what: str
    """"connect", "refused", "established", "data", "end", "reset", "datagram", "lost", "crash", "restart", "cut",
    "heal" or "link". What travels is noted when it arrives, a connection attempt when it begins."""
    source: str
    """The host that it comes from."""
    target: str
    """The host that it goes to."""
    size: int
    """The number of bytes."""


class Network:
    """A simulated network for tests. While it is active, programs on ferrio's loops use it in place of the real one.

        with Network(seed=0, latency=0.05) as net:
            asyncio.run(main())

    That goes for the loop's connections, servers, datagram endpoints and names, and for what is made of them: streams,
    TLS and libraries. `socket.socket()` makes simulated sockets too, with which `sock_recv` and the like work. Unix
    sockets, pipes and child processes stay real. Addresses are IPv4.

    One loop at a time uses a network. Loops one after the other are fine, but a second loop that runs in another thread
    gets `RuntimeError`. After a loop is closed, its connections and servers are gone.

    `conditions` are those of all links that `link` doesn't change. `window` is how many bytes of a connection may be
    under way or wait for the receiver's program, in each direction; beyond that, senders wait.
    """

    def __init__(self, seed: int | str = 0, *, window: int = 128 * 1024, **conditions: Any) -> None:
        if type(seed) not in (int, str):
            raise TypeError(f"seed must be a whole number or a text, not {seed!r}: the same seed gives the same run")
        if type(window) is not int:
            raise TypeError(f"window must be a whole number of bytes, not {window!r}")
        if window < 1:
            raise ValueError(f"window must be a positive number of bytes, not {window!r}")
        self.seed = seed
        self.window = window
        self.random = random.Random(seed)
        self._conditions = Conditions().changed(conditions)
        self._paths: dict[tuple[str, str], Path] = {}
        self._hosts: dict[str, Host] = {}
        self._connections: dict[Connection, None] = {}
        self._made = 0
        self._events: collections.deque[Event] = collections.deque(maxlen=_MOST_EVENTS)
        self._loop: Any = None
        self._undo = contextlib.ExitStack()
        self.default_host = self.host("localhost", "10.0.0.254")
        """Where code runs that is on no other host."""

    def __enter__(self) -> Self:
        """Raises `RuntimeError` if another network is active."""
        from ferrio.testing.network.installing import installed

        global _active
        if _active is not None:
            raise RuntimeError("a simulated network is active already: there can be only one at a time")
        self._undo.enter_context(installed())
        _active = self
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        global _active
        _active = None
        self._undo.close()

    # ---- hosts

    @property
    def hosts(self) -> tuple[Host, ...]:
        """All hosts, the default one first."""
        return tuple(self._hosts.values())

    def host(self, name: str, address: str | None = None) -> Host:
        """Returns a new host. Without an address it gets the next one of 10.0.0.1, 10.0.0.2, ...

        Raises `ValueError` if the name or the address is taken, or if the address isn't one of IPv4.
        """
        if not isinstance(name, str):
            raise TypeError(f"the name of a host must be a text, not {name!r}")
        if not name:
            raise ValueError("the name of a host can't be empty")
        if name in self._hosts:
            raise ValueError(f"there is a host {name!r} already")
        taken = [host.address for host in self._hosts.values()]
        if address is None:
            address = next(each for each in _addresses() if each not in taken)
        if address in taken:
            raise ValueError(f"the address {address} is taken")
        if ipaddress.IPv4Address(address).is_loopback or ipaddress.IPv4Address(address).is_unspecified:
            raise ValueError(f"{address} means every host itself, so no host can have it alone")
        host = self._hosts[name] = Host(self, name, address)
        return host

    @property
    def current_host(self) -> Host:
        """The host that the calling code runs on."""
        return current_host(self)

    def host_named(self, name: str) -> Host | None:
        """Returns the host with this name, if there is one; "localhost" is the current host."""
        name = name.rstrip(".").lower()
        if name == "localhost":
            return current_host(self)
        return next((host for host in self._hosts.values() if host.name.lower() == name), None)

    def host_at(self, address: str, source: Host) -> Host:
        """Returns the host that `source` reaches at the address. Raises `OSError` if there is none."""
        source.checked_address("")
        if address.startswith("127.") or address == "0.0.0.0":
            return source
        for host in self._hosts.values():
            if host.address == address:
                return host
        raise failure(errno.ENETUNREACH, f"no host has the address {address}; there are {self.known_hosts()}")

    def known_hosts(self) -> str:
        """The hosts in words."""
        return ", ".join(f"{host.name} ({host.address})" for host in self._hosts.values())

    # ---- links and faults

    def link(self, a: Host | str, b: Host | str, *, both: bool = True, **conditions: Any) -> None:
        """Changes the link between two hosts, for all that is sent from now on. Without `both`, only from `a` to `b`.

        `latency`: the seconds that a packet takes. `jitter`: up to so many seconds more, at random. `bandwidth`: bytes
        a second, for all that goes this way. `loss`: the probability that a packet is lost. A connection sends it
        again, so it only comes later; a datagram is gone. `reorder` and `duplicate`: the probability that a datagram
        is overtaken, or comes twice. `segment`: how the bytes of connections are cut for the receiver: at most so many
        at a time, or "random" for cuts at random places, or `None` for what was written, up to 64 KiB at a time.
        """
        self._forget_closed_loop()
        for path in self._between(a, b, both):
            path.conditions = path.conditions.changed(conditions)
            self.note("link", path.source, path.target)
            path.has_changed()

    def partition(
        self, a: Host | str | Iterable[Host | str], b: Host | str | Iterable[Host | str], *, both: bool = True
    ) -> None:
        """Cuts the link between two hosts, or two groups of them: nothing arrives, and nobody hears of it.

        Connections send again what was under way, and go on after `heal`. After a quarter of an hour, senders get
        `TimeoutError`. Connecting fails after 127 seconds. Without `both`, only what goes from `a` to `b` is lost.
        """
        self._cut(a, b, both, True)

    def heal(
        self,
        a: Host | str | Iterable[Host | str] | None = None,
        b: Host | str | Iterable[Host | str] | None = None,
        *,
        both: bool = True,
    ) -> None:
        """Joins what `partition` has cut; without hosts, all of it."""
        everybody = self.hosts
        self._cut(everybody if a is None else a, everybody if b is None else b, both, False)

    def reset(self, a: Host | str, b: Host | str) -> None:
        """Breaks all connections between two hosts: both ends raise `ConnectionResetError`."""
        self._forget_closed_loop()
        pair = {self._known(a), self._known(b)}
        for connection in self.connections:
            if {connection.client, connection.server} == pair:
                connection.reset()

    # ---- what has happened

    @property
    def connections(self) -> tuple[Connection, ...]:
        """The connections that stand, the oldest first; also those that one end has left."""
        return tuple(self._connections)

    @property
    def events(self) -> tuple[Event, ...]:
        """What has happened, the last hundred thousand events. The same seed gives the same ones."""
        return tuple(self._events)

    def __repr__(self) -> str:
        return f"<Network of {self.known_hosts()}, seed {self.seed!r}, {len(self._connections)} connections>"

    # ---- for what the network consists of

    @property
    def loop(self) -> Any:
        """The loop that uses the network. Raises `RuntimeError` if there is none yet."""
        if self._loop is None:
            raise RuntimeError("no loop uses the network yet")
        return self._loop

    @property
    def current_loop(self) -> Any:
        """The loop that uses the network, or `None`."""
        return self._loop

    def adopt(self, loop: Any) -> None:
        """Lets `loop` use the network. Raises `RuntimeError` if another loop uses it and isn't closed."""
        if self._loop is loop:
            return
        if self._loop is not None:
            if not self._loop.is_closed():
                raise RuntimeError(
                    f"the simulated network is used by {self._loop!r}, and one loop at a time can use it. Close that"
                    " one first, or run everything on one loop"
                )
            self._forget_closed_loop()
        self._loop = loop

    def time(self) -> float:
        """Returns the loop's time; 0 before there is a loop."""
        return 0.0 if self._loop is None else self._loop.time()

    def call_at(
        self, time: float, callback: Callable[..., object], *arguments: Any, context: contextvars.Context | None = None
    ) -> Any:
        """Calls back from the loop at that time, in a later turn in any case; never after the loop was closed."""
        if self.loop.is_closed():
            return asyncio.TimerHandle(time, callback, arguments, self.loop, context)
        return self.loop.call_at(time, callback, *arguments, context=context)

    def path(self, source: Host, target: Host) -> Path:
        """Returns the way from one host to another."""
        key = (source.name, target.name)
        path = self._paths.get(key)
        if path is None:
            path = self._paths[key] = Path(self, source, target, self._conditions)
        return path

    def next_number(self) -> int:
        """Returns the number of a new connection or datagram port."""
        self._made += 1
        return self._made

    def remember(self, connection: Connection) -> None:
        """The connection stands."""
        self._connections[connection] = None

    def forget(self, connection: Connection) -> None:
        """The connection is over."""
        self._connections.pop(connection, None)

    def host_crashed(self, host: Host) -> None:
        """Takes the host's ends from its connections."""
        self._forget_closed_loop()
        for connection in self.connections:
            for end in (connection.client_end, connection.server_end):
                if end.host is host:
                    end.vanish()
        self.host_changed(host)

    def host_changed(self, host: Host) -> None:
        """The host has gone down or come up."""
        self._forget_closed_loop()
        for path in list(self._paths.values()):
            if path.target is host:
                path.has_changed()

    def note(self, what: str, source: Host, target: Host, size: int = 0) -> None:
        """Remembers an event."""
        self._events.append(Event(self.time(), what, source.name, target.name, size))

    def _forget_closed_loop(self) -> None:
        """Drops what belongs to a loop that is closed: nothing can arrive there any more."""
        if self._loop is not None and self._loop.is_closed():
            self._connections.clear()
            for path in self._paths.values():
                path.clear()
            for host in self.hosts:
                host.forget_ports()

    def _known(self, host: Host | str) -> Host:
        if isinstance(host, Host):
            if host.network is not self:
                raise ValueError(f"{host!r} belongs to another network")
            return host
        found = self._hosts.get(host)
        if found is None:
            raise ValueError(f"the network has no host {host!r}; there are {self.known_hosts()}")
        return found

    def _between(self, a: Host | str, b: Host | str, both: bool) -> Iterator[Path]:
        first, second = self._known(a), self._known(b)
        yield self.path(first, second)
        if both and first is not second:
            yield self.path(second, first)

    def _cut(self, a: Any, b: Any, both: bool, is_cut: bool) -> None:
        self._forget_closed_loop()
        changed: dict[Path, None] = {}
        for one in _group(a):
            for other in _group(b):
                for path in self._between(one, other, both):
                    if path.is_cut is not is_cut:
                        path.is_cut = is_cut
                        changed[path] = None
        for path in changed:
            self.note("cut" if is_cut else "heal", path.source, path.target)
            path.has_changed()


def _group(hosts: Any) -> list[Host | str]:
    return [hosts] if isinstance(hosts, Host | str) else list(hosts)


def _addresses() -> Iterator[str]:
    return (str(ipaddress.IPv4Address(number)) for number in range(0x0A000001, 0x0B000000) if 0 < number & 0xFF < 0xFF)
