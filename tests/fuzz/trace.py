"""The log of a program on one implementation; the clock is virtual in both.

    python3.15 -m tests.fuzz.trace asyncio 17         # the log of seed 17
    python3.13 -m tests.fuzz.trace ferrio program.py  # the log of a program in a file

asyncio leaves a few orders to chance. The order of timers with equal times is that of their creation, as in ferrio. The
order in sets of futures follows their hash, which is varied: a program whose log depends on it can't be compared.
"""

import asyncio
import functools
import hashlib
import json
import pathlib
import sys

from tests.fuzz import differences, programs
from tests.fuzz.stage import Stage

START = 1000.0  # the time that a loop's clock shows at first


class Timer(asyncio.TimerHandle):
    """Timers with equal times run in the order of their creation."""

    made = 0

    def __init__(self, *args):
        super().__init__(*args)
        Timer.made += 1
        self.number = Timer.made

    def __lt__(self, other):
        return (self._when, self.number) < (other._when, other.number)


Timer.__name__ = "TimerHandle"


class Loop(asyncio.SelectorEventLoop):
    """A loop of asyncio whose clock jumps to the next timer."""

    def __init__(self):
        super().__init__()
        self.now = START
        self._selector.select = self.jump

    def time(self):
        return self.now

    def jump(self, timeout):
        if timeout is None:
            raise RuntimeError("nothing will ever happen")
        self.now += max(timeout, 0)
        return ()


class Ordered(dict):
    """A set that keeps the order of insertion, or turns it round."""

    turned = False

    def add(self, task):
        self[task] = None

    def discard(self, task):
        self.pop(task, None)

    remove = dict.__delitem__

    def __iter__(self):
        return iter(list(reversed(self.keys())) if self.turned else list(self.keys()))


class TaskGroup(asyncio.TaskGroup):
    """A task group that cancels its tasks in the order of their creation."""

    def __init__(self):
        super().__init__()
        self._tasks = Ordered()


def begin_as_completed(self, aws, timeout):
    """`_AsCompletedIterator.__init__`, with its futures in the order in which they were given."""
    self._done = asyncio.Queue()
    self._timeout_handle = None
    loop = asyncio.get_event_loop()
    self._cur_task = asyncio.current_task()
    self._todo = todo = Ordered.fromkeys(asyncio.ensure_future(aw, loop=loop) for aw in dict.fromkeys(aws))
    for future in todo:
        future.add_done_callback(self._handle_completion)
        asyncio.future_add_to_awaited_by(future, self._cur_task)
    if todo and timeout is not None:
        self._timeout_handle = loop.call_later(timeout, self._handle_timeout)
    self._todo_left = len(todo)


@functools.cache
def ordered_asyncio():
    """Leaves nothing to chance in asyncio, in this process."""
    asyncio.events.TimerHandle = Timer
    TaskGroup.__repr__ = asyncio.TaskGroup.__repr__
    asyncio.TaskGroup = TaskGroup
    asyncio.tasks._AsCompletedIterator.__init__ = begin_as_completed


def load(implementation):
    """Imports what `log_of` needs."""
    if implementation == "ferrio":
        import ferrio  # noqa: F401
    else:
        ordered_asyncio()


def log_of(implementation, source, turned=False):
    """Returns the log of a program on "asyncio" or "ferrio"."""
    if implementation == "asyncio":
        ordered_asyncio()
        Ordered.turned = turned
        return Stage(asyncio, Loop()).play(source)
    import ferrio

    return Stage(ferrio, ferrio.EventLoop(virtual_time=virtual_clock(ferrio))).play(source)


def virtual_clock(ferrio):
    """Returns a clock that shows the time at which asyncio's starts, so that sums of times are as exact."""
    clock = ferrio._ferrio._VirtualClock()
    clock.advance(START)
    return clock


def digest(log):
    """Condenses a log into sixteen letters."""
    return hashlib.sha256("\n".join(map(differences.usual, log)).encode()).hexdigest()[:16]


def main(implementation, what):
    source = programs.source(programs.program(int(what))) if what.isdigit() else pathlib.Path(what).read_text()
    if implementation == "source":
        print(source)
        return
    for line in log_of(implementation, source):
        print(json.dumps(line))


if __name__ == "__main__":
    main(*sys.argv[1:])
