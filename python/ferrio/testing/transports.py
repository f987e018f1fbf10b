"""No transport is left open: connections, datagram endpoints, pipes and subprocesses.

A transport that the program has dropped is seen by its `ResourceWarning`, one that it keeps when its loop closes.
"""

from __future__ import annotations

import asyncio
import asyncio.sslproto
import functools
import re
import warnings
import weakref
from collections.abc import Iterable, Sequence
from typing import Any, TextIO

from ferrio import _ferrio
from ferrio.sight import objects, stacks
from ferrio.testing.check import Check
from ferrio.testing.loops import BenchLoop, open_loops
from ferrio.testing.population import objects_of

__all__ = ("TransportsCheck",)

# The warnings of transports, of their writers, and of writers whose loop is closed.
_OF_TRANSPORTS = re.compile(r"unclosed (transport|<StreamWriter)|loop is closed$")

# A transport may outlive the test that left it.
_said: weakref.WeakSet[Any] = weakref.WeakSet()


class TransportsCheck(Check):
    """Finds transports that are left open, and names their peers."""

    kinds = (asyncio.BaseTransport,)

    def __init__(self) -> None:
        super().__init__()
        self._known: weakref.WeakSet[Any] = weakref.WeakSet()
        self._warnings = warnings.catch_warnings()
        self._is_open = False
        # The descriptors of the transports that were said. A closed one names no more than that.
        self._numbers: set[str] = set()

    def begin(self) -> None:
        """Hears the warnings about transports, whatever the filters are."""
        self._warnings.__enter__()
        self._is_open = True
        show = warnings.showwarning

        def note(
            message: Warning | str,
            category: type[Warning],
            filename: str,
            lineno: int,
            file: TextIO | None = None,
            line: str | None = None,
        ) -> None:
            text = str(message)
            if not (issubclass(category, ResourceWarning) and _OF_TRANSPORTS.match(text) and self._is_ours(text)):
                show(message, category, filename, lineno, file, line)

        warnings.filterwarnings("always", _OF_TRANSPORTS.pattern, ResourceWarning)
        warnings.showwarning = note

    def close(self) -> None:
        """Puts back what was there."""
        if self._is_open:
            self._is_open = False
            self._warnings.__exit__(None, None, None)

    def test_begins(self, loops: Sequence[BenchLoop]) -> None:
        """Transports of fixtures aren't the test's."""
        self._known.update(_open_transports(loops))

    def loop_closes(self, loop: BenchLoop) -> None:
        """All that are open are left."""
        self._say(_open_transports([loop]))

    def end(self, loops: Sequence[BenchLoop]) -> None:
        """The loops live on, and so may the transports of their fixtures."""
        if loops:
            self._say(transport for transport in _open_transports(loops) if transport not in self._known)

    def _is_ours(self, warning: str) -> bool:
        """Whether a warning is about a transport of this test; then it is said here."""
        if self._numbers & _numbers(warning) or (warning == "loop is closed" and self._numbers):
            return True  # it was left open, which has been said
        seen = ((each, objects.call(each, "__repr__", "")) for each in objects_of((asyncio.BaseTransport,)))
        transport = next((each for each, shown in seen if shown and shown in warning), None)
        if transport is None:
            # It can't be asked for its loop and its peer while it is being collected.
            if not any(self.owns(loop) for loop in open_loops()):
                return False
            self._found.append(f"The test dropped a transport without closing it: {warning}")
            return True
        if self.owns(objects.value(transport, "_loop")):
            self._note("The test dropped a transport without closing it", transport)
            return True
        return False

    def _note(self, what: str, transport: Any) -> None:
        _said.add(transport)
        self._numbers |= _numbers(stacks.describe(transport))
        self._found.append(f"{what}: {_named(transport)}")

    def _say(self, found: Iterable[Any]) -> None:
        for transport in found:
            if transport not in _said:
                self._note("The test left a transport open", transport)


def _numbers(text: str) -> set[str]:
    """The descriptors that the text of a transport names; simulated ones have other numbers."""
    return set(re.findall(r"\b(?:fd|number)=\d+", text))


def _open_transports(loops: Sequence[BenchLoop]) -> list[Any]:
    return [
        transport
        for transport in objects_of((asyncio.BaseTransport,))
        if any(objects.value(transport, "_loop") is loop for loop in loops)
        and objects.call(transport, "is_closing") is False
        and not _is_below_tls(transport)
    ]


def _is_below_tls(transport: Any) -> bool:
    """TLS has a transport of its own, which is the one that the program knows."""
    return objects.is_a(objects.call(transport, "get_protocol"), (asyncio.sslproto.SSLProtocol, _ferrio.SSLProtocol))


def _named(transport: Any) -> str:
    peer, process = _extra(transport, "peername"), objects.call(transport, "get_pid")
    to = f" to {peer!r}" if peer else f" of process {process}" if process else ""
    return f"{stacks.describe(transport)}{to}"


def _extra(transport: Any, name: str) -> Any:
    get = objects.value(transport, "get_extra_info", lambda name: None)
    return objects.call(functools.partial(get, name), "__call__")
