"""The switches of the command line and the environment. A program that uses neither imports nothing of this."""

from __future__ import annotations

import math
import os
import signal
import threading
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ferrio.sight.recorder import Recording

__all__ = (
    "DEFAULT_RECORD",
    "DEFAULT_SIGNAL",
    "DEFAULT_THRESHOLD",
    "DUMP_SIGNAL",
    "METRICS",
    "ON",
    "RECORD",
    "SIGHT",
    "TRACE",
    "WATCH",
    "dump_on",
    "follow_environment",
    "is_order",
    "meter_program",
    "record_order",
    "record_program",
    "see_program",
    "seconds_to_keep",
    "threshold",
    "trace_program",
    "watch_program",
)

# The environment's switches; empty or 0 for off. The watchdog: a number of seconds.
WATCH = "FERRIO_WATCH"

# Lets others look at the program.
SIGHT = "FERRIO_SIGHT"

# The name of the signal that prints what the tasks wait for.
DUMP_SIGNAL = "FERRIO_DUMP_SIGNAL"

# The metrics: `ON`, or an address at which to serve them.
METRICS = "FERRIO_METRICS"

# The recorder: where to write a trace; how many seconds to keep, or where to write the order (a file `.bin`).
TRACE = "FERRIO_TRACE"
RECORD = "FERRIO_RECORD"

# The process that writes the trace, or the order, to the very path. Its children write to others.
_TRACED = "FERRIO_TRACED"
_RECORDED = "FERRIO_RECORDED"

# The value of a switch that takes no other.
ON = "1"

# asyncio's own limit for slow callbacks, in seconds.
DEFAULT_THRESHOLD = 0.1

# The signal that programs use for such things; Python handles it nowhere else.
DEFAULT_SIGNAL = "USR1"

# How many seconds a flight recorder keeps, and the signal on which it writes them.
DEFAULT_RECORD = 10.0
RECORD_SIGNAL = "USR2"

_stop_watching = None
_stop_recording = None


def follow_environment() -> None:
    """Turns on what the environment asks for. A value that makes no sense is reported and ignored."""
    switches: tuple[tuple[str, Callable[[str], None]], ...] = (
        (WATCH, lambda text: watch_program(threshold(text))),
        (SIGHT, lambda _text: see_program()),
        (DUMP_SIGNAL, dump_on),
        (METRICS, meter_program),
        (TRACE, trace_program),
        (RECORD, _record_unless_traced),
    )
    for variable, turn_on in switches:
        text = os.environ.get(variable, "")
        if text.strip() in ("", "0"):
            continue
        try:
            turn_on(text)
        except (OSError, RuntimeError, ValueError) as error:
            warnings.warn(f"{variable}={text}: {error}", RuntimeWarning, stacklevel=2)


def _record_unless_traced(text: str) -> None:
    if is_order(text):
        record_order(text)
        return
    if os.environ.get(TRACE, "").strip() not in ("", "0"):
        raise ValueError(f"{TRACE} is set, too, and a trace has all that a record has")
    record_program(seconds_to_keep(text))


def seconds_to_keep(text: str) -> float:
    """Returns the number of seconds in `text`. Raises `ValueError` with advice if there is none."""
    try:
        return threshold(text)
    except ValueError:
        raise ValueError("a number of seconds is needed, such as 10, or a file that ends in .bin") from None


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


def trace_program(path: str) -> None:
    """Writes a trace of the whole program to `path`, at its end. Child processes write files of their own beside it.

    Raises `OSError` if the file can't be written, `ValueError` if it has the wrong suffix.
    """
    from ferrio.sight import recorder

    def begin(path: str, is_child: bool) -> None:
        _record_by(lambda: recorder.trace_of_child(path) if is_child else recorder.trace(path))

    _write_to(path, begin, TRACE, _TRACED)


def is_order(text: str) -> bool:
    """Whether that is a file for the order of what runs, and not how many seconds to keep."""
    return text.endswith(".bin")


def record_order(path: str) -> None:
    """Writes to `path` in which order the program's loops run what is ready. Child processes write to files beside it.

    Raises `OSError` if the file can't be written.
    """
    from ferrio.sight import order

    _write_to(path, lambda path, is_child: order.record_order(path, of_child=is_child), RECORD, _RECORDED)


def _write_to(path: str, begin: Callable[[str, bool], object], switch: str, owner: str) -> None:
    """Calls `begin(path, is_child)`, and lets child processes do the same: `switch` and `owner` are their variables."""
    path = os.path.abspath(path)
    here = str(os.getpid())
    is_child = os.environ.get(owner, here) != here
    begin(path, is_child)
    os.environ[switch] = path
    if not is_child:
        os.environ[owner] = here


def record_program(seconds: float) -> None:
    """Records the latest `seconds`, and writes them when something goes wrong, or a signal comes that nobody handles.

    Raises `OSError` if no file can be written in the current directory.
    """
    from ferrio.sight import recorder

    name: str | None = RECORD_SIGNAL
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(getattr(signal, f"SIG{RECORD_SIGNAL}")) is not signal.SIG_DFL:
        name = None
    _record_by(lambda: recorder.record(seconds, signal=name))


def _record_by(start: Callable[[], Recording]) -> None:
    """Starts a recording in place of the one that another switch has started."""
    global _stop_recording
    if _stop_recording is not None:
        _stop_recording()
    _stop_recording = start()._discard


def dump_on(name: str) -> None:
    """Prints what each task waits for whenever the signal with this name comes.

    Raises `ValueError` if there is no such signal, or it can't be handled here.
    """
    from ferrio.sight import stuck

    stuck.dump_on(name)
