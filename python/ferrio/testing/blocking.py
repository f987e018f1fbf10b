"""Nothing blocks the loop for longer than so many seconds: a step of a task or a callback that doesn't await.

The watchdog (`ferrio.sight.watchdog`) sees it while it lasts, so the report has the stack. That is real time.
"""

from __future__ import annotations

from collections.abc import Sequence

from ferrio.sight import stacks, watchdog
from ferrio.testing.check import Check
from ferrio.testing.loops import BenchLoop

__all__ = ("BlockingCheck",)

# Where the test runner's frames end and the test's begin.
_RUNNERS = ("/asyncio/runners.py", "/asyncio/base_events.py", "/ferrio/runners.py", "/anyio/_backends/_asyncio.py")


class BlockingCheck(Check):
    """Finds what blocks a loop during the test itself."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._seconds = seconds
        # The loops that are blocked and have been reported.
        self._lasting: set[int] = set()
        self._watch: watchdog.Watch | None = None

    def test_begins(self, loops: Sequence[BenchLoop]) -> None:
        """Begins to watch."""
        self._watch = watchdog.watch(self._seconds, self._note, log=False)

    def test_ends(self) -> None:
        """Ends the watching; a report that is being made is finished first."""
        self.close()

    def close(self) -> None:
        """Ends the watching."""
        if self._watch is not None:
            self._watch.stop()
            self._watch = None

    def _note(self, block: watchdog.Block) -> None:
        """Called in the watching thread. Only the first report about a block counts; the others say that it lasts."""
        key = id(block.loop)
        if key not in self._lasting:
            self._found.append(_words(block))
        if block.is_over:
            self._lasting.discard(key)
        else:
            self._lasting.add(key)


def _words(block: watchdog.Block) -> str:
    """The report, without the frames of the test runner."""
    if not block.stack:
        return block.text
    below = [at for at, entry in enumerate(block.stack) if entry.filename.endswith(_RUNNERS)]
    own = block.stack[below[-1] + 1 :] if below else block.stack
    what = "The loop" if block.object is None else stacks.brief(block.object)
    return f"{what} blocked the loop for more than {block.seconds:.3f} seconds:\n{stacks.lines_of(own or block.stack)}"
