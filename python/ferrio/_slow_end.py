"""Says what the end of `run()`, or of a server, is waiting for, if that takes long.

`ferrio.sight.shutdown` finds the words. Invariant: an end that is quick imports nothing of that, and
costs one timer for each thing that it waits for.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, Self

__all__ = ("Reporting", "catching")

# Seconds until the first report. Each further one comes after twice the time.
FIRST_REPORT = 1.0


class Reporting:
    """While it is entered: reports what `loop` waits for, after a second and at each doubling of the time.

    `kind`: the name of a function of `ferrio.sight.shutdown`, which is called with `things` and `more`. Nothing is done
    if there are no things. `who` waits.
    """

    def __init__(self, loop: Any, kind: str, things: Sequence[Any], *more: Any, who: str = "run()") -> None:
        self._who = who
        self._loop = loop
        self._kind = kind
        self._arguments = (things, *more)
        self._timer: Any = None
        self._began = time.monotonic()
        if things:
            self._set_timer(FIRST_REPORT)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _set_timer(self, seconds: float) -> None:
        self._timer = self._loop.call_later(seconds - (time.monotonic() - self._began), self._report, seconds)

    def _report(self, seconds: float) -> None:
        if time.monotonic() - self._began < seconds / 2:
            return  # a virtual clock jumps, and nobody has waited
        from ferrio._modules import log
        from ferrio.sight import shutdown

        find: Callable[..., str | None] = getattr(shutdown, self._kind)
        if text := find(*self._arguments):
            length = "a second" if seconds == 1 else f"{seconds:.0f} seconds"
            log.logger.warning("After %s, %s is still waiting for %s", length, self._who, text)
        self._set_timer(2 * seconds)


def is_looked_at(loop: Any) -> bool:
    """Returns whether debug mode or a watchdog is on."""
    watchdog = sys.modules.get("ferrio.sight.watchdog")
    return loop.get_debug() or (watchdog is not None and watchdog.is_watching())


def catching(loop: Any) -> Any:
    """Returns what notes where tasks catch their cancellation, if debug mode or a watchdog is on; else `None`."""
    if not is_looked_at(loop):
        return None
    from ferrio.sight import caught

    catches = caught.Catches()
    catches.start()
    return catches
