"""What lies between two hosts: `Conditions`, and `Path`, one direction of a link with all that travels on it.

A path carries single packets, which may be lost, and knows the pipes of connections, which send again what was lost
(`pipe`). It is open unless there is a partition or the host at its end is down.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from ferrio.testing.network.hosts import Host
    from ferrio.testing.network.network import Network
    from ferrio.testing.network.pipe import Pipe

__all__ = ("Conditions", "Path")

#: The most bytes that travel as one piece.
LARGEST_PIECE = 64 * 1024

_CHANCES = ("loss", "reorder", "duplicate")


@dataclasses.dataclass(frozen=True)
class Conditions:
    """How one direction of a link behaves. `Network.link` says what each of these does."""

    latency: float = 0.0
    jitter: float = 0.0
    bandwidth: float | None = None
    loss: float = 0.0
    reorder: float = 0.0
    duplicate: float = 0.0
    segment: int | Literal["random"] | None = None

    def __post_init__(self) -> None:
        for name in ("latency", "jitter"):
            if not 0 <= _number(name, getattr(self, name)) < math.inf:
                raise ValueError(f"{name} must be a number of seconds, not {getattr(self, name)!r}")
        if self.bandwidth is not None and _number("bandwidth", self.bandwidth) <= 0:
            raise ValueError(f"bandwidth must be a positive number of bytes a second or None, not {self.bandwidth!r}")
        for name in _CHANCES:
            if not 0 <= _number(name, getattr(self, name)) <= 1:
                raise ValueError(f"{name} must be a probability from 0 to 1, not {getattr(self, name)!r}")
        if self.segment not in (None, "random") and not (type(self.segment) is int and self.segment > 0):
            raise ValueError(f'segment must be a positive number of bytes, "random" or None, not {self.segment!r}')

    def changed(self, options: dict[str, Any]) -> Conditions:
        """Returns these conditions with some of them changed. Raises `TypeError` for a name that there isn't."""
        known = [field.name for field in dataclasses.fields(self)]
        if unknown := [name for name in options if name not in known]:
            raise TypeError(f"a link has no {unknown[0]!r}; it has: {', '.join(known)}")
        return dataclasses.replace(self, **options)


def _number(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} must be a number, not {value!r}")
    return value


class Path:
    """One direction of a link: from the host `source` to the host `target`."""

    def __init__(self, network: Network, source: Host, target: Host, conditions: Conditions) -> None:
        self.network = network
        self.source = source
        self.target = target
        self.conditions = conditions
        self.is_cut = False
        #: The pipes that depend on this path, in the order in which they were made.
        self.pipes: dict[Pipe, None] = {}
        self._free_at = 0.0

    @property
    def is_open(self) -> bool:
        """Whether anything arrives."""
        return not self.is_cut and self.target.is_up

    def has_changed(self) -> None:
        """Tells the pipes that the path may have been opened or closed, or has other conditions."""
        for pipe in list(self.pipes):
            pipe.path_changed()

    def clear(self) -> None:
        """Drops all that is on its way."""
        for pipe in list(self.pipes):
            pipe.end()
        self._free_at = 0.0

    def arrival(self, size: int) -> float:
        """Returns when `size` bytes that are sent now arrive; they take their share of the bandwidth."""
        conditions, now = self.conditions, self.network.time()
        if conditions.bandwidth is not None:
            now = self._free_at = max(now, self._free_at) + size / conditions.bandwidth
        now += conditions.latency
        if conditions.jitter:
            now += self.network.random.uniform(0, conditions.jitter)
        return now

    def loses(self) -> bool:
        """Whether the next packet is lost."""
        return self.conditions.loss > 0 and self.network.random.random() < self.conditions.loss

    def send(self, size: int, arrive: Callable[[], object]) -> None:
        """Sends a packet, on whose arrival `arrive()` is called. It may be lost."""
        if self.is_open and not self.loses():
            self.send_surely(size, arrive)

    def send_surely(self, size: int, arrive: Callable[[], object]) -> None:
        """Sends a packet that only a closed path stops."""
        self.network.call_at(self.arrival(size), self._arrive, arrive)

    def _arrive(self, arrive: Callable[[], object]) -> None:
        if self.is_open:
            arrive()

    def __repr__(self) -> str:
        return f"<Path {self.source.name} -> {self.target.name}{'' if self.is_open else ', closed'}>"
