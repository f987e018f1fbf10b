"""What exporters show of the numbers of a loop: one table for all of them, with names, kinds, units and descriptions.

Names follow OpenTelemetry's for Node.js, `nodejs.eventloop.*`, with `asyncio` in place of `nodejs`. Times and
delays, which have a form of their own, are in the exporters.
"""

from __future__ import annotations

import dataclasses
from typing import Literal

__all__ = ("DELAYS", "PREFIX", "TABLE", "Number")

PREFIX = "asyncio.eventloop"


@dataclasses.dataclass(frozen=True)
class Number:
    """A field of `Metrics`, for exporters."""

    field: str
    """The name of the field."""
    name: str
    """The name, after the prefix."""
    kind: Literal["counter", "level"]
    """Whether it only grows, or says how many there are."""
    unit: str
    """What it counts: a unit of UCUM ("s", "By"), or an annotation ("{task}")."""
    description: str
    """A sentence."""


TABLE = (
    Number("turns", "turns", "counter", "{turn}", "Turns of the loop."),
    Number("steps", "steps", "counter", "{step}", "Steps of tasks."),
    Number("callbacks", "callbacks", "counter", "{callback}", "Callbacks and ends of waits."),
    Number(
        "slow_callbacks", "callbacks.slow", "counter", "{callback}", "Steps and callbacks that were reported as slow."
    ),
    Number("resuming", "interpreter.wait", "counter", "s", "Time in which the loop waited for the interpreter."),
    Number("tasks_pending", "tasks.pending", "level", "{task}", "Tasks that haven't ended."),
    Number("tasks_created", "tasks.created", "counter", "{task}", "Tasks that were made."),
    Number("tasks_finished", "tasks.finished", "counter", "{task}", "Tasks that ended, in whatever way."),
    Number("tasks_failed", "tasks.failed", "counter", "{task}", "Tasks that raised an exception."),
    Number("tasks_cancelled", "tasks.cancelled", "counter", "{task}", "Tasks that were cancelled."),
    Number("ready", "ready", "level", "{callback}", "What is ready to run."),
    Number("timers", "timers", "level", "{timer}", "Timers that wait."),
    Number("descriptors", "descriptors", "level", "{descriptor}", "File descriptors that are watched."),
    Number("bytes_received", "received", "counter", "By", "Bytes received."),
    Number("bytes_sent", "sent", "counter", "By", "Bytes sent."),
    Number("connections_open", "connections.open", "level", "{connection}", "Open connections."),
    Number(
        "connections_accepted", "connections.accepted", "counter", "{connection}", "Connections that were accepted."
    ),
    Number(
        "connections_made",
        "connections.made",
        "counter",
        "{connection}",
        "Connections that weren't accepted by a server.",
    ),
    Number("jobs_queued", "jobs.queued", "level", "{job}", "Calls that wait for a thread."),
    Number("jobs_running", "jobs.running", "level", "{job}", "Calls that run in threads and processes."),
    Number("jobs_finished", "jobs.finished", "counter", "{job}", "Calls in threads and processes that have ended."),
)

# Durations that have histograms: the field, its name for exporters, and what it is.
DELAYS = (
    ("timer_delay", "timer", "How late timers were noticed."),
    ("ready_delay", "ready", "How long what was ready waited to run; a sample."),
    ("job_wait", "job", "How long calls waited for a thread."),
)
