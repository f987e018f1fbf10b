"""The switches of the command line and the environment. A program that uses neither imports nothing of this."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable

__all__ = (
    "DEFAULT_SIGNAL",
    "DEFAULT_THRESHOLD",
    "DUMP_SIGNAL",
    "METRICS",
    "ON",
    "SIGHT",
    "WATCH",
    "dump_on",
    "follow_environment",
    "meter_program",
    "see_program",
    "threshold",
    "watch_program",
)

# The environment's switch of the watchdog: a number of seconds; empty or 0 for off.
WATCH = "FERRIO_WATCH"

# The environment's switch that lets others look at the program; empty or 0 for off.
SIGHT = "FERRIO_SIGHT"

# The environment's name of the signal that prints what the tasks wait for.
DUMP_SIGNAL = "FERRIO_DUMP_SIGNAL"

# The environment's switch of the metrics: `ON`, or an address at which to serve them; empty or 0 for off.
METRICS = "FERRIO_METRICS"

# The value of a switch that takes no other.
ON = "1"

# The signal that programs use for such things; Python handles it nowhere else.
DEFAULT_SIGNAL = "USR1"

# asyncio's own limit for slow callbacks, in seconds.
DEFAULT_THRESHOLD = 0.1

_stop_watching = None


def follow_environment() -> None:
    """Turns on what the environment asks for. A value that makes no sense is reported and ignored."""
    text = os.environ.get(WATCH, "")
    if text.strip() not in ("", "0"):
        _try(WATCH, text, lambda: watch_program(threshold(text)))
    if os.environ.get(SIGHT, "").strip() not in ("", "0"):
        see_program()
    name = os.environ.get(DUMP_SIGNAL, "")
    if name.strip() not in ("", "0"):
        _try(DUMP_SIGNAL, name, lambda: dump_on(name))
    address = os.environ.get(METRICS, "")
    if address.strip() not in ("", "0"):
        _try(METRICS, address, lambda: meter_program(address))


def _try(variable: str, value: str, turn_on: Callable[[], None]) -> None:
    try:
        turn_on()
    except ValueError as error:
        warnings.warn(f"{variable}={value}: {error}", RuntimeWarning, stacklevel=3)


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


def meter_program(address: str) -> None:
    """Meters the whole program's loops, and serves the numbers at `address` for Prometheus, unless that is `ON`.

    Raises `ValueError` if they can't be served.
    """
    if address.strip() == ON:
        from ferrio.sight import ledger

        ledger.keep_all()
        return
    try:
        from ferrio.integrations import prometheus

        prometheus.serve(address.strip())
    except (ImportError, OSError) as error:
        raise ValueError(str(error)) from error


def see_program() -> None:
    """Lets `ferrio top` of the same user look at the program as soon as a loop runs."""
    from ferrio.sight import agent

    agent.follow()


def dump_on(name: str) -> None:
    """Prints what each task waits for whenever the signal with this name comes.

    Raises `ValueError` if there is no such signal, or it can't be handled here.
    """
    from ferrio.sight import stuck

    stuck.dump_on(name)
