"""`select.select` and `select.poll` for simulated sockets: libraries ask them whether an idle connection was closed.

They answer at once. Invariant: a call without simulated sockets is the system's.
"""

from __future__ import annotations

import contextlib
import select
from collections.abc import Iterator
from typing import Any

from ferrio.testing.network.descriptions import Description

__all__ = ("replaced",)

_select = select.select
_poll: Any = getattr(select, "poll", None)


def _number(file: Any) -> int:
    return file if isinstance(file, int) else int(file.fileno())


def _is_ready(description: Description, writing: bool) -> bool:
    return description.is_writable if writing else description.is_readable


def _select_with_simulated(rlist: Any, wlist: Any, xlist: Any, timeout: float | None = None, /) -> Any:
    """As `select.select`."""
    lists = [list(rlist), list(wlist), list(xlist)]
    known = [[Description.of(_number(file)) for file in files] for files in lists]
    if not any(each is not None for descriptions in known for each in descriptions):
        return _select(lists[0], lists[1], lists[2], timeout)
    found: list[list[Any]] = [[], [], []]
    for place in (0, 1):
        for file, description in zip(lists[place], known[place], strict=True):
            if description is not None and _is_ready(description, place == 1):
                found[place].append(file)
    real = [[file for file, each in zip(*pair, strict=True) if each is None] for pair in zip(lists, known, strict=True)]
    for place, files in enumerate(_select(real[0], real[1], real[2], 0)):
        found[place] += files
    if not any(found) and timeout != 0:
        raise _would_wait("select.select")
    return tuple(found)


class _PollWithSimulated:
    """As `select.poll()`."""

    def __init__(self) -> None:
        self._real = _poll()
        self._simulated: dict[int, tuple[Description, int]] = {}

    def register(self, fd: Any, eventmask: int = select.POLLIN | select.POLLPRI | select.POLLOUT, /) -> None:
        """Watch a descriptor."""
        description = Description.of(_number(fd))
        if description is None:
            self._real.register(fd, eventmask)
        else:
            self._simulated[_number(fd)] = (description, eventmask)

    def modify(self, fd: Any, eventmask: int, /) -> None:
        """Watch it for something else."""
        if _number(fd) in self._simulated:
            self.register(fd, eventmask)
        else:
            self._real.modify(fd, eventmask)

    def unregister(self, fd: Any, /) -> None:
        """Stop watching it."""
        if self._simulated.pop(_number(fd), None) is None:
            self._real.unregister(fd)

    def poll(self, timeout: float | None = None, /) -> list[tuple[int, int]]:
        """Return what is ready."""
        if not self._simulated:
            found: list[tuple[int, int]] = self._real.poll(timeout)
            return found
        found = []
        for number, (description, mask) in self._simulated.items():
            events = select.POLLIN if mask & select.POLLIN and _is_ready(description, False) else 0
            events |= select.POLLOUT if mask & select.POLLOUT and _is_ready(description, True) else 0
            if events:
                found.append((number, events))
        found += self._real.poll(0)
        if not found and timeout != 0:
            raise _would_wait("poll")
        return found


def _would_wait(what: str) -> RuntimeError:
    return RuntimeError(
        f"{what}() would have to wait for a simulated socket, and a simulated network moves only while the loop runs."
        " Use loop.add_reader() or loop.sock_recv()"
    )


@contextlib.contextmanager
def replaced() -> Iterator[None]:
    """Lets the functions of `select` know simulated sockets inside the block."""
    changes: dict[str, Any] = {"select": _select_with_simulated}
    if _poll is not None:
        changes["poll"] = _PollWithSimulated
    before = {name: getattr(select, name) for name in changes}
    for name, value in changes.items():
        setattr(select, name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(select, name, value)
