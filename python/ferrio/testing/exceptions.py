"""No exception is lost: what a loop's exception handler gets is a problem of the test.

That is an exception of a task or future that nobody retrieved, or of a callback. A test that sets an exception handler
of its own handles them itself.
"""

from __future__ import annotations

import gc
import traceback
from collections.abc import Sequence
from typing import Any

from ferrio.sight import stacks
from ferrio.testing.check import Check
from ferrio.testing.loops import BenchLoop

__all__ = ("ExceptionsCheck",)


class ExceptionsCheck(Check):
    """Finds exceptions that nobody handled, with their tracebacks."""

    def loop_failed(self, loop: BenchLoop, context: dict[str, Any]) -> None:
        """Notes the exception. It keeps no reference to it."""
        error = context.get("exception")
        if not isinstance(error, BaseException) or not self.owns(loop) or _is_handled_by_test(loop):
            return
        thing = next((context[name] for name in ("task", "future", "handle") if name in context), None)
        place = "" if thing is None else f" of {stacks.brief(thing)}"
        lines = "".join(traceback.format_exception(error)).rstrip()
        self._found.append(f"Nobody handled an exception{place}. {context.get('message', '')}\n{lines}")

    def test_ends(self) -> None:
        """A task says that its exception was never retrieved when it is collected."""
        gc.collect()

    def end(self, loops: Sequence[BenchLoop]) -> None:
        """The same for what the fixtures kept."""
        gc.collect()


def _is_handled_by_test(loop: BenchLoop) -> bool:
    handler = loop.get_exception_handler()
    # anyio's plugin sets one on each loop, which only collects.
    return handler is not None and not str(getattr(handler, "__module__", "")).startswith("anyio.")
