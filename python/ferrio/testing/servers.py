"""No server is left listening: a test that starts one closes it before its loop ends."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Iterator, Sequence
from typing import Any

from ferrio import _ferrio
from ferrio.sight import objects, stacks
from ferrio.testing.check import Check
from ferrio.testing.loops import BenchLoop
from ferrio.testing.population import objects_of

__all__ = ("ServersCheck",)

# A server may outlive the test that left it.
_said: weakref.WeakSet[Any] = weakref.WeakSet()


class ServersCheck(Check):
    """Finds servers that still listen, and names their addresses."""

    kinds = (asyncio.AbstractServer, _ferrio.Server)

    def __init__(self) -> None:
        super().__init__()
        self._known: weakref.WeakSet[Any] = weakref.WeakSet()

    def test_begins(self, loops: Sequence[BenchLoop]) -> None:
        """Servers of fixtures aren't the test's."""
        self._known.update(self._listening(loops))

    def loop_closes(self, loop: BenchLoop) -> None:
        """Those that tasks close when they are cancelled aren't left."""
        self._say([loop])

    def end(self, loops: Sequence[BenchLoop]) -> None:
        """The loops live on, and so may the servers of their fixtures."""
        self._say(loops)

    def _say(self, loops: Sequence[BenchLoop]) -> None:
        for server in self._listening(loops):
            if server not in self._known and server not in _said:
                _said.add(server)
                self._found.append(f"The test left a server listening{_where(server)}: {stacks.describe(server)}")

    def _listening(self, loops: Sequence[BenchLoop]) -> Iterator[Any]:
        if not loops:
            return
        for server in objects_of(self.kinds):
            home = objects.call(server, "get_loop")
            if any(home is loop for loop in loops) and objects.call(server, "is_serving") is True:
                yield server


def _where(server: Any) -> str:
    names = [objects.call(each, "getsockname") for each in objects.value(server, "sockets") or ()]
    return " at " + ", ".join(map(str, names)) if names else ""
