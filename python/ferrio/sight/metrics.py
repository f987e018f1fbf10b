"""The numbers of a loop: what it ran, where its time went, how late it was, and what it has open.

The loop's thread counts while it runs (`ferrio_engine::meter`); here its numbers become a snapshot, once per call. Any
thread may take one. Nothing here runs per callback.
"""

from __future__ import annotations

import dataclasses
import math
import os
import threading
from collections.abc import Iterable
from typing import Any

from ferrio import _ferrio, events
from ferrio.sight.stoppable import Stoppable

__all__ = ("Histogram", "Metering", "Metrics", "meter", "metrics")

# How many `Metering`s are on.
_active = 0
_lock = threading.RLock()


@dataclasses.dataclass(frozen=True)
class Histogram:
    """How often each duration came. All times are in seconds.

    The buckets grow with the durations: each is at most a sixteenth as wide as its durations are long.
    """

    sum: float = 0.0
    """The sum of all durations."""
    min: float = 0.0
    """The shortest one; 0 if there are none."""
    max: float = 0.0
    """The longest one; 0 if there are none."""
    buckets: tuple[tuple[float, float, int], ...] = ()
    """For each bucket that isn't empty: its shortest duration, the shortest one too long for it, how many it has."""

    @property
    def count(self) -> int:
        """How many durations there are."""
        return sum(count for _, _, count in self.buckets)

    @property
    def mean(self) -> float:
        """The average; 0 if there are none."""
        return self.sum / count if (count := self.count) else 0.0

    @property
    def stddev(self) -> float:
        """The standard deviation, computed from the middles of the buckets."""
        count, mean = self.count, self.mean
        if not count:
            return 0.0
        return math.sqrt(sum(n * ((low + high) / 2 - mean) ** 2 for low, high, n in self.buckets) / count)

    def percentile(self, percent: float) -> float:
        """Returns the duration that `percent` of all don't exceed; 0 if there are none. It is off by at most 3.2 %.

        Raises `ValueError` unless `percent` is between 0 and 100.
        """
        if not 0 <= percent <= 100:
            raise ValueError(f"a percentage between 0 and 100 is needed, got {percent!r}")
        rank, seen = max(1, math.ceil(self.count * percent / 100)), 0
        for low, high, count in self.buckets:
            seen += count
            if seen >= rank:
                return min(max((low + high) / 2, self.min), self.max)
        return 0.0

    def __add__(self, other: Histogram) -> Histogram:
        """Both together."""
        buckets = _merged(self.buckets, other.buckets, 1)
        some = [each for each in (self, other) if each.buckets]
        return Histogram(
            self.sum + other.sum,
            min((each.min for each in some), default=0.0),
            max((each.max for each in some), default=0.0),
            buckets,
        )

    def __sub__(self, earlier: Histogram) -> Histogram:
        """What came after `earlier`. Its `min` and `max` are the bounds of buckets."""
        buckets = _merged(self.buckets, earlier.buckets, -1)
        if not buckets:
            return Histogram()
        least, most = max(buckets[0][0], self.min), min(buckets[-1][1], self.max)
        return Histogram(max(0.0, self.sum - earlier.sum), least, most, buckets)


def _merged(
    these: Iterable[tuple[float, float, int]], others: Iterable[tuple[float, float, int]], sign: int
) -> tuple[tuple[float, float, int], ...]:
    counts = {(low, high): count for low, high, count in these}
    for low, high, count in others:
        counts[low, high] = counts.get((low, high), 0) + sign * count
    return tuple((low, high, count) for (low, high), count in sorted(counts.items()) if count > 0)


def _gauge() -> Any:
    """A field that says how many there are at this moment; all other fields only grow."""
    return dataclasses.field(default=0, metadata={"gauge": True})


@dataclasses.dataclass(frozen=True)
class Metrics:
    """The numbers of a loop at one moment. Times are in seconds; `later - earlier` is what happened in between.

    Turns, steps, callbacks, times, delays and jobs count from when metering was turned on; everything else from when
    the loop was made.
    """

    time: float = 0.0
    """When this snapshot was taken, by `time.monotonic()`. For a difference: how long it covers."""

    turns: int = 0
    """Turns of the loop."""
    steps: int = 0
    """Steps of tasks that the loop ran. The first step of an eager task belongs to the step that made it."""
    callbacks: int = 0
    """Everything else that the ready queue brought: callbacks, done callbacks, ends of sleeps and of other waits."""
    slow_callbacks: int = 0
    """Steps and callbacks that debug mode or a watchdog reported as slow; without both, none."""

    busy: float = 0.0
    """The time in which the loop turned."""
    polling: float = 0.0
    """The time in which it waited in the kernel, with nothing to do."""
    resuming: float = 0.0
    """The time in which it had events, and waited for the interpreter because another thread ran."""
    timer_delay: Histogram = Histogram()
    """By how much each timer was late when the loop noticed that it was due."""
    ready_delay: Histogram = Histogram()
    """How long what was ready waited to run: samples, at most one in a tick of the system's clock, 1 to 10 ms."""

    tasks_pending: int = _gauge()
    """Tasks that haven't ended."""
    tasks_created: int = 0
    """Tasks that were made."""
    tasks_finished: int = 0
    """Tasks that ended, in whatever way."""
    tasks_failed: int = 0
    """Those of them that raised an exception."""
    tasks_cancelled: int = 0
    """Those of them that were cancelled."""

    ready: int = _gauge()
    """What is ready to run."""
    timers: int = _gauge()
    """Timers that wait."""
    descriptors: int = _gauge()
    """File descriptors that the loop watches."""

    bytes_received: int = 0
    """Bytes that came through transports, `sock_recv` and `sock_recv_into`; with TLS, encrypted ones."""
    bytes_sent: int = 0
    """Bytes that left through transports, `sock_sendall` and `sendfile`. What waits in a buffer hasn't left."""
    connections_open: int = _gauge()
    """Stream connections that have a transport and aren't closed."""
    connections_accepted: int = 0
    """Those that servers accepted."""
    connections_made: int = 0
    """All others: those that the program made or wrapped."""

    jobs_queued: int = _gauge()
    """Calls in the loop's threads that haven't begun."""
    jobs_running: int = _gauge()
    """Calls in threads and processes that run. For another executor than ferrio's, also those that haven't begun."""
    jobs_finished: int = 0
    """Calls that have ended."""
    job_wait: Histogram = Histogram()
    """How long calls waited for one of the loop's threads."""

    @property
    def utilization(self) -> float:
        """The share of the time, from 0 to 1, in which the loop didn't wait for events; 0 if it never ran."""
        active = self.busy + self.resuming
        return active / (active + self.polling) if active else 0.0

    def __sub__(self, earlier: Metrics) -> Metrics:
        """What happened since `earlier`; what isn't a count (`ready`, `tasks_pending`) is as in the later one."""
        return Metrics(*(_difference(field, self, earlier) for field in dataclasses.fields(self)))

    def __add__(self, other: Metrics) -> Metrics:
        """The numbers of both loops together; `time` is the later one."""
        values = {
            field.name: getattr(self, field.name) + getattr(other, field.name) for field in dataclasses.fields(self)
        }
        return Metrics(**values | {"time": max(self.time, other.time)})

    def without_gauges(self) -> Metrics:
        """Only what counts and grows, as it stays when the loop is gone."""
        zeros: Any = {field.name: 0 for field in dataclasses.fields(self) if field.metadata}
        return dataclasses.replace(self, **zeros)


def _difference(field: dataclasses.Field[Any], later: Metrics, earlier: Metrics) -> Any:
    this, that = getattr(later, field.name), getattr(earlier, field.name)
    if field.metadata:
        return this
    # Two threads may read the clock in one order, and note it in the other.
    return this - that if isinstance(this, Histogram) else max(0, this - that)


_HISTOGRAMS = ("timer_delay", "ready_delay", "job_wait")


def snapshot(loop: Any) -> Metrics:
    """The numbers of a ferrio loop as they are."""
    found = _ferrio._metrics(loop)
    return Metrics(**found | {name: Histogram(*found[name]) for name in _HISTOGRAMS})


def metrics(loop: Any = None) -> Metrics:
    """Returns the numbers of `loop` (default: the running one) at this moment.

    Any thread may ask, also about a closed loop.

    If the loop isn't metered yet, it is from now on. So its first snapshot has no turns, times, delays and jobs.

    Raises `TypeError` if that isn't a ferrio loop, `RuntimeError` if no loop is given and none runs.
    """
    if loop is None:
        loop = events.get_running_loop()
    if not isinstance(loop, _ferrio.Loop):
        raise TypeError(f"a ferrio loop is needed, such as ferrio.new_event_loop() makes, not {loop!r}")
    if not loop.is_closed():
        _ferrio._meter(loop, True)
    return snapshot(loop)


class Metering(Stoppable):
    """What `meter` returns: `stop()` ends the metering, and so does leaving it as a context manager."""

    def __init__(self) -> None:
        global _active
        with _lock:
            self._is_on, _active = True, _active + 1
            _ferrio._meter_loops(True)

    def stop(self) -> None:
        """Ends the metering, unless another one goes on. What was counted stays. Calling it again does nothing."""
        global _active
        with _lock:
            if self._is_on:
                self._is_on, _active = False, _active - 1
                if not _active:
                    _ferrio._meter_loops(False)


def meter() -> Metering:
    """Meters all of the program's loops from now on, those included that aren't made yet.

    So their numbers are whole when `metrics` is first asked. It ends with `stop()` of the returned object, which is
    also a context manager.
    """
    return Metering()


def _renew_lock_after_fork() -> None:
    global _lock
    # Whoever held it may be a thread of the parent.
    _lock = threading.RLock()


os.register_at_fork(after_in_child=_renew_lock_after_fork)
