"""The log of a program on one implementation; the clock is virtual in both.

    python3.15 -m tests.fuzz.trace asyncio 17         # the log of seed 17
    python3.13 -m tests.fuzz.trace ferrio program.py  # the log of a program in a file

asyncio leaves a few orders to chance. The order of timers with equal times is that of their creation, as in ferrio. The
order in sets of futures follows their hash, which is varied: a program whose log depends on it can't be compared.

Where ferrio differs on purpose (`docs/differences.md`), the asyncio here is changed to do what ferrio does.
"""

import asyncio
import functools
import hashlib
import json
import pathlib
import re
import sys
import types
import warnings

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


class StreamReader(asyncio.StreamReader):
    """A reader with the fixes of ferrio's that `docs/differences.md` names.

    `readexactly` and `readline` sleep until they have enough. A read that wakes leaves the waiting one of another task
    in its place, and isn't told of an end of input if that task has taken the data.
    """

    def is_enough(self):
        return True

    async def _wait_for_data(self, func_name):
        if self._waiter is not None:
            await super()._wait_for_data(func_name)  # which refuses it
        read, caller = sys._getframe(1), sys._getframe(2)
        least = read.f_locals["n"] if func_name == "readexactly" else 0
        self.is_enough = functools.partial(self.has, least, caller.f_code.co_name == "readline")
        waiter = self._waiter = self._loop.create_future()
        try:
            await waiter
        finally:
            if self._waiter is waiter:
                self._waiter = None

    def has(self, least, line):
        length = len(self._buffer)
        return length >= least and (not line or length > self._limit or b"\n" in self._buffer)

    def _wakeup_waiter(self):
        if self._eof or self.is_enough():
            super()._wakeup_waiter()

    async def read(self, n=-1):
        if n <= 0 or self._exception or self._buffer or self._eof:
            return await super().read(n)
        while not (self._buffer or self._eof):
            if self._exception is not None:
                raise self._exception
            await self._wait_for_data("read")
        data = bytes(self._buffer[:n])
        del self._buffer[:n]
        self._maybe_resume_transport()
        return data


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


def ordered_set(elements=None):
    """`set`, for what `wait` is given."""
    return set() if elements is None else Ordered.fromkeys(elements)


class OrderedTasks(types.ModuleType):
    """asyncio's or ferrio's module `tasks`, for its module `runners`: a runner cancels all tasks in order of names."""

    def __init__(self, tasks):
        super().__init__(tasks.__name__)
        self.tasks = tasks

    def __getattr__(self, name):
        return getattr(self.tasks, name)

    def all_tasks(self, loop):
        return sorted(self.tasks.all_tasks(loop), key=self.place)

    def place(self, task):
        number = re.fullmatch(r"Task-(\d+)", task.get_name())
        return (int(number[1]), "") if number else (0, task.get_name())


@functools.cache
def ordered_asyncio():
    """Leaves nothing to chance in asyncio, in this process."""
    asyncio.events.TimerHandle = Timer
    TaskGroup.__repr__ = asyncio.TaskGroup.__repr__
    asyncio.TaskGroup = TaskGroup
    asyncio.StreamReader = StreamReader
    asyncio.tasks.set = ordered_set
    asyncio.runners.tasks = OrderedTasks(asyncio.tasks)
    asyncio.tasks._AsCompletedIterator.__init__ = begin_as_completed


@functools.cache
def ordered_ferrio():
    """Leaves nothing to chance in ferrio, in this process, and returns it."""
    import ferrio
    import ferrio.runners

    ferrio.runners.tasks = OrderedTasks(ferrio.tasks)
    return ferrio


def load(implementation):
    """Imports what `log_of` needs."""
    if implementation == "ferrio":
        ordered_ferrio()
    else:
        ordered_asyncio()


def compiled(source):
    """Returns the code of a program, which runs on both implementations."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return compile(source, "program.py", "exec")


def log_of(implementation, code, turned=False):
    """Returns the log of a program on "asyncio" or "ferrio"."""
    if implementation == "asyncio":
        ordered_asyncio()
        Ordered.turned = turned
        return Stage(asyncio, Loop()).play(code)
    ferrio = ordered_ferrio()
    return Stage(ferrio, ferrio.EventLoop(virtual_time=virtual_clock(ferrio))).play(code)


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
    for line in log_of(implementation, compiled(source)):
        print(json.dumps(line))


if __name__ == "__main__":
    main(*sys.argv[1:])
