"""`Host`: a computer of the network, with a name, an address and ports. Code runs on it by a context variable.

Invariant: code outside of all hosts runs on the network's default host, "localhost".
"""

from __future__ import annotations

import asyncio
import contextvars
import errno
import re
from collections.abc import Coroutine
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar

from ferrio import tasks
from ferrio.testing.network.connection import Address, failure
from ferrio.testing.network.listening import Listener

if TYPE_CHECKING:
    from ferrio.testing.network.network import Network

__all__ = ("ANY", "LOOPBACK", "Host", "Ports", "current_host")

_Result = TypeVar("_Result")

ANY, LOOPBACK = "0.0.0.0", "127.0.0.1"

#: The ports that are given out for port 0.
_FIRST_FREE, _LAST_FREE = 49152, 65535

# The hosts that the code has entered, innermost last.
_entered: contextvars.ContextVar[tuple[Host, ...]] = contextvars.ContextVar("ferrio_testing_hosts", default=())


def current_host(network: Network) -> Host:
    """Returns the host that the running code is on."""
    entered = _entered.get()
    return entered[-1] if entered and entered[-1].network is network else network.default_host


class Holder(Protocol):
    """What has a port."""

    address: Address
    reuse_port: bool

    def close(self) -> None:
        """Frees the port."""


class Ports:
    """The ports of a host, for one protocol."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._held: dict[int, list[Any]] = {}
        self._next = _FIRST_FREE

    def take(self, holder: Any, address: Address) -> Address:
        """Gives the port to `holder`; 0 means a free one. Returns the address with the port.

        Raises `OSError` if the port is taken, or if the address isn't the host's.
        """
        ip = self._host.checked_address(address[0])
        port = address[1] or self.ephemeral()
        for other in self._held.get(port, ()):
            overlaps = ip in (other.address[0], ANY) or other.address[0] == ANY
            if overlaps and not (holder.reuse_port and other.reuse_port):
                raise failure(errno.EADDRINUSE)
        self._held.setdefault(port, []).append(holder)
        return ip, port

    def free(self, holder: Any) -> None:
        """Takes the port back."""
        held = self._held.get(holder.address[1], [])
        if holder in held:
            held.remove(holder)
        if not held:
            self._held.pop(holder.address[1], None)

    def holders(self, address: Address) -> list[Any]:
        """Returns what has the port at this address; usually one."""
        return [each for each in self._held.get(address[1], ()) if each.address[0] in (address[0], ANY)]

    def ephemeral(self) -> int:
        """Returns a free port; the ports come in order."""
        for _ in range(_FIRST_FREE, _LAST_FREE + 1):
            port = self._next
            self._next = port + 1 if port < _LAST_FREE else _FIRST_FREE
            if port not in self._held:
                return port
        raise failure(errno.EADDRNOTAVAIL, "all ports are taken")

    def close_all(self) -> None:
        """Closes all that have ports."""
        for holders in list(self._held.values()):
            for holder in list(holders):
                holder.close()


class Host:
    """A host of a simulated network; `Network.host` makes one.

    As a context manager it makes the code inside the block run on the host. Tasks that are made there stay there.
    """

    def __init__(self, network: Network, name: str, address: str) -> None:
        self.network = network
        self.name = name
        self.address = address
        self.is_up = True
        """Whether it runs: `crash` and `restart` change that."""
        self._ports = {"tcp": Ports(self), "udp": Ports(self)}
        self._crashes = 0

    def __enter__(self) -> Self:
        _entered.set((*_entered.get(), self))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _entered.set(_entered.get()[:-1])

    async def run(self, coroutine: Coroutine[Any, Any, _Result]) -> _Result:
        """Runs a coroutine on this host, as a task, and returns its result.

        Raises `ConnectionAbortedError` if the host crashes meanwhile.
        """
        task, crashes = self.create_task(coroutine), self._crashes
        try:
            return await task
        except asyncio.CancelledError:
            current = tasks.current_task()
            if self._crashes == crashes or not task.cancelled() or (current is not None and current.cancelling()):
                raise
            # The caller itself isn't cancelled.
            raise failure(errno.ECONNABORTED, f"the host {self.name} crashed") from None

    def create_task(self, coroutine: Coroutine[Any, Any, _Result], *, name: str | None = None) -> asyncio.Task[_Result]:
        """Returns a task that runs on this host."""
        with self:
            context = contextvars.copy_context()
        return asyncio.get_running_loop().create_task(coroutine, name=name, context=context)

    def crash(self) -> None:
        """Stops the host at once: its peers hear nothing, neither now nor when they send something.

        Its tasks are cancelled, and its connections and servers are gone. What still uses them gets
        `ConnectionAbortedError`. Raises `RuntimeError` for "localhost", on which the test itself runs.
        """
        if self is self.network.default_host:
            raise RuntimeError(f"the host {self.name!r} can't crash: the test runs on it. Make a host with net.host()")
        if not self.is_up:
            return
        self.network.note("crash", self, self)
        self.is_up = False
        self._crashes += 1
        self.network.host_crashed(self)
        for ports in self._ports.values():
            ports.close_all()
        for task in self._tasks():
            task.cancel(f"the host {self.name!r} crashed")

    def restart(self) -> None:
        """Starts the host again, without connections, servers and tasks. Peers that send something are reset."""
        if not self.is_up:
            self.network.note("restart", self, self)
            self.is_up = True
            self.network.host_changed(self)

    # ---- what the network and its users call

    def ports(self, protocol: str) -> Ports:
        """Returns the ports of "tcp" or "udp"."""
        return self._ports[protocol]

    def listener(self, address: Address) -> Listener | None:
        """Returns what listens at the address; of several, one by chance."""
        found: list[Listener] = [each for each in self._ports["tcp"].holders(address) if each.is_listening]
        if len(found) > 1:
            return self.network.random.choice(found)
        return found[0] if found else None

    def forget_ports(self) -> None:
        """Drops all that has ports: its loop is closed."""
        self._ports = {"tcp": Ports(self), "udp": Ports(self)}

    def own_address(self, remote: str) -> str:
        """Returns the address by which this host talks to `remote`."""
        return remote if remote.startswith("127.") else self.address

    def checked_address(self, address: str) -> str:
        """Returns one of the host's own addresses. Raises `OSError` for another one, and if the host is down."""
        if not self.is_up:
            raise failure(errno.ENETDOWN, f"the host {self.name} has crashed")
        if address in ("", ANY):
            return ANY
        if address != self.address and not address.startswith("127."):
            raise failure(errno.EADDRNOTAVAIL, f"the host {self.name} has the address {self.address}, not {address}")
        return address

    def _tasks(self) -> list[Any]:
        """The tasks that run here, in an order that doesn't depend on memory addresses."""
        loop = self.network.current_loop
        found = [task for task in tasks.all_tasks(loop) if _host_of(task) is self] if loop is not None else []
        return sorted(found, key=lambda task: [(len(part), part) for part in re.split(r"(\d+)", task.get_name())])

    def __repr__(self) -> str:
        return f"<Host {self.name!r} at {self.address}{'' if self.is_up else ', down'}>"


def _host_of(task: Any) -> Host | None:
    entered = task.get_context().get(_entered, ())
    return entered[-1] if entered else None
