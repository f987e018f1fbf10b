"""The switches of the command line and the environment. A program that uses neither imports nothing of this."""

from __future__ import annotations

import math
import os
import warnings

__all__ = ("DEFAULT_THRESHOLD", "WATCH", "follow_environment", "threshold", "watch_program")

# The environment's switch of the watchdog: a number of seconds; empty or 0 for off.
WATCH = "FERRIO_WATCH"

# asyncio's own limit for slow callbacks, in seconds.
DEFAULT_THRESHOLD = 0.1

_stop_watching = None


def follow_environment() -> None:
    """Turns on what the environment asks for. A value that makes no sense is reported and ignored."""
    text = os.environ.get(WATCH, "")
    if not text or text.strip() == "0":
        return
    try:
        seconds = threshold(text)
    except ValueError as error:
        warnings.warn(f"{WATCH}={text}: {error}", RuntimeWarning, stacklevel=2)
    else:
        watch_program(seconds)


def threshold(text: str) -> float:
    """Returns the number of seconds in `text`. Raises `ValueError` with advice if there is none."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise ValueError("a number of seconds is needed, such as 0.1")
    return seconds


def watch_program(seconds: float) -> None:
    """Watches the whole program's loops; another call replaces the threshold."""
    global _stop_watching
    from ferrio.sight import watchdog

    if _stop_watching is not None:
        _stop_watching()
    _stop_watching = watchdog.watch(seconds).stop
