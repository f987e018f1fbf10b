"""Traces of programs that never ran, as large as wanted: a server with requests, a lock, a queue, jobs and a stall.

A small model of a loop decides what happens; the same seed gives the same trace. No test of the recorder belongs here.
"""

import base64
import bisect
import heapq
import random
import sys
import zlib
from array import array
from typing import Any

NONE = 0xFFFFFFFF
STEP, CALLBACK, IO, JOB, INTERPRETER = range(5)
MS = 1_000_000


def column(typecode: str, numbers: list[int]) -> str:
    """Returns one column as the page reads it."""
    values = array(typecode, numbers)
    if sys.byteorder == "big":
        values.byteswap()
    return base64.b64encode(zlib.compress(values.tobytes(), 6)).decode()


def lengths(numbers: list[int]) -> str:
    """Returns a column of nanoseconds; what needs more than 32 bits takes three numbers."""
    words: list[int] = []
    for number in numbers:
        words += [number] if number < NONE else [NONE, number & NONE, number >> 32]
    return column("I", words)


def times(numbers: list[int]) -> str:
    """Returns a column of ascending times."""
    before = [0, *numbers][: len(numbers)]
    return lengths([time - last for time, last in zip(numbers, before, strict=True)])


def table(rows: list[tuple[int, ...]], *names: str) -> dict[str, Any]:
    """Returns a table whose first column is the time that it is sorted by."""
    rows.sort(key=lambda row: row[0])
    encoders = {
        "start": times,
        "time": times,
        "length": lengths,
        "delay": lengths,
        "kind": lambda numbers: column("B", numbers),
    }
    found: dict[str, Any] = {"count": len(rows)}
    for at, name in enumerate(names):
        numbers = [row[at] for row in rows]
        found[name] = encoders[name](numbers) if name in encoders else column("I", numbers)
    return found


class Model:
    """A loop in a model world, and what a recorder would have seen of it."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.now = 0
        self.due: list[tuple[int, int, int, int, str]] = []
        self.labels: dict[str, int] = {}
        self.rows: list[dict[str, Any]] = []
        self.slices: list[tuple[int, ...]] = []
        self.wakes: list[tuple[int, ...]] = []
        self.waits: list[tuple[int, ...]] = []
        self.polls: list[tuple[int, ...]] = []
        self.waiting: dict[int, tuple[int, str]] = {}
        self.plans: dict[int, Any] = {}
        self.lock_queue: list[int] = []
        self.locked = False
        self.queued = 0
        self.consumers: list[int] = []
        self.frames = [
            ["/srv/shop/__main__.py", 12, "<module>"],
            ["/srv/shop/app.py", 40, "main"],
            ["/srv/shop/app.py", 88, "accept"],
            ["/srv/shop/background.py", 17, "start"],
            ["/usr/lib/python3.13/site-packages/uvicorn/protocols/http/h11_impl.py", 251, "handle_events"],
        ]
        self.stacks = [[0, 1], [0, 1, 3], [0, 1, 2, 4]]
        self.lanes = [
            {"name": "MainThread", "kind": "loop", "loop": 0},
            {"name": "ferrio-worker_0", "kind": "worker", "loop": None},
            {"name": "ferrio-worker_1", "kind": "worker", "loop": None},
        ]
        for kind, name, lane in (
            ("callbacks", "callbacks", 0),
            ("io", "I/O", 0),
            ("jobs", "jobs", 1),
            ("jobs", "jobs", 2),
        ):
            self.rows.append({"kind": kind, "name": name, "coro": None, "lane": lane, "created": None, "ended": None})
            self.rows[-1].update(end=None, parent=None, stack=None)
        self.worker_free = [0, 0]

    @property
    def events(self) -> int:
        return len(self.slices) + len(self.wakes) + len(self.waits) + len(self.polls)

    def label(self, text: str) -> int:
        return self.labels.setdefault(text, len(self.labels))

    def length(self, typical: int) -> int:
        return max(300, int(self.random.lognormvariate(0, 0.8) * typical))

    def wake(self, row: int, time: int, source: int, why: str) -> None:
        heapq.heappush(self.due, (time, len(self.wakes) + len(self.due), row, source, why))

    def start(self, name: str, coro: str, plan: Any, parent: int | None, stack: int) -> int:
        row = len(self.rows)
        about = {"kind": "task", "name": name, "coro": coro, "lane": 0, "created": self.now, "ended": None, "end": None}
        self.rows.append({**about, "parent": parent, "stack": stack})
        self.plans[row] = plan(row)
        self.wake(row, self.now, NONE if parent is None else parent, "created")
        return row

    def run(self, events: int) -> None:
        while self.events < events and self.due:
            time, _, row, source, why = heapq.heappop(self.due)
            if time > self.now + 2000:
                self.polls.append((self.now + 500, time - self.now - 700, 0))
            self.now = max(self.now, time)
            if why == "data":
                self.run_slice(1, "recv", IO, 6000)
                self.wakes.append((self.now - 500, 1, row, self.label("data_received")))
            elif why == "timer":
                self.run_slice(0, "call_later", CALLBACK, 2500)
                self.wakes.append((self.now - 400, 0, row, self.label("sleep")))
            else:
                self.wakes.append((time, source, row, self.label(why)))
            if row in self.waiting:
                since, what = self.waiting.pop(row)
                until = self.wakes[-1][0]
                self.waits.append((since, until - since, row, self.label(what)))
            self.step(row)

    def woken(self) -> list[tuple[int, ...]]:
        """Returns the wake-ups with the time until the next slice of what was woken."""
        starts: dict[int, list[int]] = {}
        for start, _, row, _, _ in self.slices:
            starts.setdefault(row, []).append(start)
        end = max(self.now, *self.worker_free)
        found = []
        for time, source, row, label in self.wakes:
            at = bisect.bisect_left(starts[row], time)
            then = starts[row][at] if at < len(starts[row]) else end
            found.append((time, source, row, label, then - time))
        return found

    def run_slice(self, row: int, name: str, kind: int, typical: int) -> None:
        length = self.length(typical)
        self.slices.append((self.now, length, row, self.label(name), kind))
        self.now += length + 200

    def step(self, row: int) -> None:
        """Runs one step: the plan says how long it takes and what the task waits for after it."""
        begin = self.now
        outcome = next(self.plans[row], None)
        if outcome is None:
            self.slices.append((begin, self.length(9000), row, NONE, STEP))
            self.now = begin + self.slices[-1][1]
            end = "finished" if self.random.random() > 0.03 else self.random.choice(["cancelled", "failed"])
            self.rows[row].update(ended=self.now, end=end)
            del self.plans[row]
            self.now += 300
            return
        typical, what, act = outcome
        length = typical if typical > 50 * MS else self.length(typical)
        self.slices.append((begin, length, row, NONE, STEP))
        self.now = begin + length
        self.waiting[row] = (self.now, what)
        act()
        self.now += 300

    def sleep(self, row: int, delay: float) -> Any:
        return lambda: self.wake(row, self.now + int(delay), NONE, "timer")

    def receive(self, row: int, delay: float) -> Any:
        return lambda: self.wake(row, self.now + int(delay), NONE, "data")

    def job(self, row: int, typical: int) -> Any:
        def send() -> None:
            worker = 0 if self.worker_free[0] <= self.worker_free[1] else 1
            begin = max(self.worker_free[worker], self.now + 30_000)
            length = self.length(typical)
            self.slices.append((begin, length, 2 + worker, self.label("resize_image"), JOB))
            self.worker_free[worker] = begin + length + 10_000
            self.wake(row, begin + length, 2 + worker, "to_thread")

        return send

    def acquire(self, row: int) -> Any:
        def queue() -> None:
            if self.locked:
                self.lock_queue.append(row)
            else:
                self.locked = True
                self.wake(row, self.now, NONE, "Lock.acquire")

        return queue

    def release(self, row: int) -> None:
        if self.lock_queue:
            self.wake(self.lock_queue.pop(0), self.now, row, "Lock.release")
        else:
            self.locked = False

    def request(self, row: int) -> Any:
        chance = self.random.random
        yield 24_000, "StreamReader.read", self.receive(row, self.length(500_000))
        if chance() < 0.3:
            yield 15_000, "Lock.acquire", self.acquire(row)
            yield 30_000, "Database.fetch", self.receive(row, self.length(1_500_000))
            self.release(row)
        if chance() < 0.05:
            yield 20_000, "to_thread", self.job(row, 6 * MS)
        if chance() < 0.3:
            self.queued += 1
            if self.consumers:
                self.wake(self.consumers.pop(0), self.now + 4000, row, "Queue.put")
        yield 60_000, "StreamWriter.drain", self.receive(row, self.length(200_000))

    def accept(self, row: int, pause: int) -> Any:
        number = 0
        while True:
            for _ in range(self.random.choice([1, 1, 2, 3])):
                number += 1
                self.start(f"request-{number}", "RequestResponseCycle.run_asgi", self.request, row, 2)
            yield 14_000, "Server.accept", self.receive(row, self.length(pause))

    def consume(self, row: int) -> Any:
        while True:
            if self.queued:
                self.queued -= 1
                yield 45_000, "sleep", self.sleep(row, 300_000)
            else:
                yield 5_000, "Queue.get", lambda: self.consumers.append(row)

    def beat(self, row: int, period: int) -> Any:
        while True:
            yield 8_000, "sleep", self.sleep(row, period)

    def report(self, row: int) -> Any:
        pause = 60 * MS
        while True:
            yield 40_000, "sleep", self.sleep(row, pause)
            pause = 300 * MS
            yield self.random.randrange(110, 260) * MS, "to_thread", self.job(row, 40 * MS)

    def main(self, row: int) -> Any:
        for plan in (
            ("acceptor", "Server.serve_forever", lambda at: self.accept(at, 1_800_000), 0),
            ("heartbeat", "heartbeat", lambda at: self.beat(at, 20 * MS), 1),
            ("cache-refresh", "Cache.refresh", lambda at: self.beat(at, 70 * MS), 1),
            ("price-report", "build_report", self.report, 1),
            *((f"mailer-{number}", "send_mails", self.consume, 1) for number in range(1, 4)),
        ):
            self.start(plan[0], plan[1], plan[2], row, plan[3])
        yield 400_000, "TaskGroup.__aexit__", lambda: None


def make_trace(events: int, seed: int = 1, program: str = "shop/__main__.py") -> dict[str, Any]:
    """Returns a trace of about so many events, as `page.render` takes it."""
    model = Model(seed)
    model.start("main", "main", model.main, None, 0)
    model.run(events)
    tables = {
        "slices": table(model.slices, "start", "length", "row", "label", "kind"),
        "wakes": table(model.woken(), "time", "from", "to", "label", "delay"),
        "waits": table(model.waits, "start", "length", "row", "label"),
        "polls": table(model.polls, "start", "length", "lane"),
    }
    head = {"version": 1, "program": program, "python": "3.13.0", "ferrio": "0.1.0", "began": 1_790_000_000.25}
    names = {"lanes": model.lanes, "rows": model.rows, "frames": model.frames, "stacks": model.stacks}
    duration = max(model.now, *model.worker_free)
    return {
        **head,
        "duration": duration,
        "threshold": 100 * MS,
        "lost": 0,
        **names,
        "labels": list(model.labels),
        **tables,
    }
