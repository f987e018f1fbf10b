"""Traces in tests: recording a block, looking things up in a trace, and what must hold for every trace."""

import collections
import contextlib
import threading
import time

import ferrio
from ferrio.sight.picture import NONE, Trace


class Picture(Trace):
    """A trace with what tests ask for. It is checked when it is made."""

    def __init__(self, picture, **given):
        super().__init__(picture, **given)
        check(self)

    def row(self, name):
        """The row of the task with this name."""
        [found] = [row for row in self.rows if row["kind"] == "task" and row["name"] == name]
        return found

    def parent(self, row):
        return self.rows[row["parent"]]

    def source(self, wake):
        return None if wake.source == NONE else self.rows[wake.source]

    def slices_of(self, row):
        return [each for each in self.slices() if self.rows[each.row] is row]

    def slices_of_kind(self, kind):
        return [each for each in self.slices() if self.rows[each.row]["kind"] == kind]

    def waits_of(self, row):
        return [each for each in self.waits() if self.rows[each.row] is row]

    def wakes_of(self, row):
        return [each for each in self.wakes() if self.rows[each.target] is row]


def check(trace):
    """Fails unless the trace is one that can be drawn."""
    rows, end = len(trace.rows), trace.duration
    free = collections.defaultdict(int)
    previous = 0
    for each in trace.slices():
        assert previous <= each.start <= each.start + each.length <= end
        previous = each.start
        assert each.row < rows and (each.label == NONE or each.label < len(trace.labels)) and each.kind <= 4
        lane = trace.rows[each.row]["lane"]
        assert free[lane] <= each.start, f"{each} overlaps what ran before on {trace.lanes[lane]}"
        free[lane] = each.start + each.length
    previous = 0
    for each in trace.wakes():
        assert previous <= each.time <= each.time + each.delay <= end
        previous = each.time
        assert each.target < rows and (each.source == NONE or each.source < rows)
        assert each.label == NONE or each.label < len(trace.labels)
    free.clear()
    for each in trace.waits():
        assert 0 <= each.start <= each.start + each.length <= end and each.row < rows
        assert each.label < len(trace.labels)
        if trace.rows[each.row]["kind"] == "task":
            assert free[each.row] <= each.start, f"{each} overlaps another wait of {trace.rows[each.row]}"
            free[each.row] = each.start + each.length
            steps = [other for other in trace.slices() if other.row == each.row]
            assert all(other.start + other.length <= each.start or free[each.row] <= other.start for other in steps)
    free.clear()
    for each in trace.polls():
        assert free[each.lane] <= each.start <= each.start + each.length <= end and each.lane < len(trace.lanes)
        free[each.lane] = each.start + each.length
    for index, row in enumerate(trace.rows):
        assert row["lane"] < len(trace.lanes)
        assert row["parent"] is None or (row["parent"] < rows and row["parent"] != index)
        assert row["created"] is None or row["ended"] is None or row["created"] <= row["ended"] <= end
        assert row["stack"] is None or trace.stack(row["stack"]) is not None
    for kind in ("slices", "wakes", "waits", "polls"):
        assert trace.count(kind) == sum(1 for _ in getattr(trace, kind)())


class _Traced:
    def __init__(self, recorder):
        self.recorder = recorder
        self.trace = None


@contextlib.contextmanager
def recording(events=1 << 16, seconds=None):
    """Records the block; what it gives has the `trace` afterwards."""
    recorder = ferrio._ferrio._Recorder(events, seconds)
    recorder.start({thread.ident: thread.name for thread in threading.enumerate()})
    traced = _Traced(recorder)
    try:
        yield traced
        traced.trace = Picture(recorder.picture(), ended=time.time(), whole=seconds is None)
    finally:
        recorder.stop()
