"""A trace as JSON for Perfetto (ui.perfetto.dev) and Chrome (chrome://tracing), in the "Trace Event Format".

A loop or worker thread is a process of that format, and each of its tasks is a thread in it: so each has a track of its
own. A task's life is a slice, with the stack of its creation, around those of its steps and waits. Wake-ups are flows
from the slice that woke to the one that was woken.

The file is written piece by piece, so its size doesn't matter. Invariants: slices of a track nest or don't touch; a
flow has both ends, each in a slice; what is asynchronous has its beginning and its end.
"""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterator
from typing import Any, TextIO

from ferrio.sight import picture

__all__ = ("events", "write")

# The names of the kinds of slices.
_CATEGORIES = ("step", "callback", "io", "job", "interpreter")
_ENDS = {"finished": "returned", "cancelled": "was cancelled", "failed": "raised an exception"}
# The track of a loop's own waits.
_LOOP_TRACK = 0


def write(trace: picture.Trace, file: TextIO) -> None:
    """Writes a trace as one JSON object."""
    about = {
        "program": trace.program,
        "pid": trace.pid,
        "began": trace.began,
        "lost events": trace.lost,
        "whole": trace.whole,
    }
    file.write(f'{{"displayTimeUnit":"ns","otherData":{json.dumps(about)},"traceEvents":[\n')
    separator = ""
    for event in events(trace):
        file.write(separator)
        file.write(event)
        separator = ",\n"
    file.write("\n]}\n")


def events(trace: picture.Trace) -> Iterator[str]:
    """The events of a trace, each as JSON."""
    yield from _metadata(trace)
    yield from _lives(trace)
    places = [f'"pid":{row["lane"] + 1},"tid":{number + 1}' for number, row in enumerate(trace.rows)]
    names = [json.dumps(label) for label in trace.labels]
    steps = [json.dumps(row["coro"] or row["name"]) for row in trace.rows]
    for poll in trace.polls():
        yield (
            f'{{"ph":"X","name":"waits for events","cat":"poll","pid":{poll.lane + 1},"tid":{_LOOP_TRACK},'
            f'"ts":{_micros(poll.start)},"dur":{_micros(poll.length)}}}'
        )
    for number, wait in enumerate(trace.waits()):
        if trace.rows[wait.row]["kind"] == "jobs":
            # Several jobs may wait at a time.
            common = f'"name":{names[wait.label]},"cat":"queued","id":{number},{places[wait.row]}'
            yield f'{{"ph":"b",{common},"ts":{_micros(wait.start)}}}'
            yield f'{{"ph":"e",{common},"ts":{_micros(wait.start + wait.length)}}}'
        else:
            yield (
                f'{{"ph":"X","name":{json.dumps("waits: " + trace.labels[wait.label])},"cat":"wait",{places[wait.row]},'
                f'"ts":{_micros(wait.start)},"dur":{_micros(wait.length)}}}'
            )
    yield from _slices_and_flows(trace, places, names, steps)


def _slices_and_flows(trace: picture.Trace, places: list[str], names: list[str], steps: list[str]) -> Iterator[str]:
    """Slices, and the flows between them, in the order of time."""
    ends: dict[int, int] = {}  # of the latest slice of each row
    slices = ((each.start, 0, each) for each in trace.slices())
    wakes = ((each.time, 1, each) for each in trace.wakes())
    flow = 0
    merged: Iterator[tuple[int, int, Any]] = heapq.merge(slices, wakes, key=lambda each: each[:2])
    for time, is_wake, each in merged:
        if not is_wake:
            ends[each.row] = time + each.length
            name = steps[each.row] if each.kind == picture.STEP else _slice_name(each, names)
            blocking = ',"cname":"terrible"' if each.length > trace.threshold and each.kind != picture.JOB else ""
            yield (
                f'{{"ph":"X","name":{name},"cat":"{_CATEGORIES[each.kind]}",{places[each.row]},'
                f'"ts":{_micros(time)},"dur":{_micros(each.length)}{blocking}}}'
            )
            continue
        arrives = time + each.delay
        if each.source == picture.NONE or arrives >= trace.duration or time > ends.get(each.source, -1):
            continue
        flow += 1
        name = '"wakes"' if each.label == picture.NONE else names[each.label]
        common = f'"name":{name},"cat":"wake","id":{flow}'
        yield f'{{"ph":"s",{common},{places[each.source]},"ts":{_micros(time)}}}'
        yield f'{{"ph":"f","bp":"e",{common},{places[each.target]},"ts":{_micros(arrives)}}}'


def _slice_name(each: picture.Slice, names: list[str]) -> str:
    if each.kind == picture.INTERPRETER:
        return '"waits for the interpreter"'
    return '"?"' if each.label == picture.NONE else names[each.label]


def _metadata(trace: picture.Trace) -> Iterator[str]:
    for number, lane in enumerate(trace.lanes):
        name = f"{lane['name'] or '?'}" + (f" (loop {lane['loop']})" if lane["kind"] == "loop" else "")
        yield _named("process_name", number + 1, _LOOP_TRACK, name)
        yield json.dumps(
            {"ph": "M", "name": "process_sort_index", "pid": number + 1, "tid": 0, "args": {"sort_index": number}}
        )
        if lane["kind"] == "loop":
            yield _named("thread_name", number + 1, _LOOP_TRACK, "loop")
    for number, row in enumerate(trace.rows):
        name = f"{row['name']} ({row['coro']})" if row["coro"] else row["name"]
        yield _named("thread_name", row["lane"] + 1, number + 1, name)
        yield json.dumps(
            {
                "ph": "M",
                "name": "thread_sort_index",
                "pid": row["lane"] + 1,
                "tid": number + 1,
                "args": {"sort_index": number + 1},
            }
        )


def _named(kind: str, process: int, track: int, name: str) -> str:
    return json.dumps({"ph": "M", "name": kind, "pid": process, "tid": track, "args": {"name": name}})


def _lives(trace: picture.Trace) -> Iterator[str]:
    """A slice for the life of each task, which ends no earlier than its last step."""
    last: dict[int, int] = {}
    for each in trace.slices():
        last[each.row] = each.start + each.length
    for number, row in enumerate(trace.rows):
        if row["kind"] != "task":
            continue
        begin = row["created"] or 0
        end = trace.duration if row["ended"] is None else max(row["ended"], last.get(number, 0))
        parent = row["parent"]
        about = {
            "made by": None if parent is None else trace.rows[parent]["name"],
            "made at": [f"{file}:{line} in {function}" for file, line, function in trace.stack(row["stack"])],
            "end": _ENDS.get(row["end"], "had not ended"),
        }
        yield (
            f'{{"ph":"X","name":{json.dumps(row["name"])},"cat":"task","pid":{row["lane"] + 1},"tid":{number + 1},'
            f'"ts":{_micros(begin)},"dur":{_micros(end - begin)},"args":{json.dumps(about)}}}'
        )


def _micros(nanos: int) -> str:
    """The format counts microseconds. Written without a float, which would lose nanoseconds after some days."""
    return f"{nanos // 1000}.{nanos % 1000:03}"
