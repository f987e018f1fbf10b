"""Random programs of timeouts, task groups and cancellations, and a log of what happens when one runs.

A seed makes the same program on every Python. On the newest asyncio, this module writes down what asyncio does:

    python3.15 -m tests.properties.scopes > tests/properties/scopes_of_asyncio.json   # a digest for each seed
    python3.15 -m tests.properties.scopes asyncio 17                                  # the log of seed 17
    python3.13 -m tests.properties.scopes ferrio 17                                   # ferrio's, to compare

The clock is virtual in both. Two things that asyncio leaves to chance follow the order of creation, as on ferrio: the
order of timers with equal times, and the order in which a group cancels its tasks.
"""

import asyncio
import functools
import hashlib
import json
import random
import sys

SEEDS = range(400)
LENGTH = 3000  # the maximum length of a log


class Broken(BaseException):
    """An exception that isn't an `Exception`."""


# ---- programs


class Author:
    """Writes a program: nested lists of statements `(kind, number, ...)`."""

    SIMPLE = ("sleep", "sleep", "sleep", "turn", "turn", "count", "cancel", "cancel group", "raise", "future")
    NESTED = ("timeout", "wait_for", "group", "group", "try", "finally", "context", "spawn", "shield")

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.number = 0
        self.left = 45

    def block(self, depth=4):
        """Returns some statements."""
        return [self.statement(depth) for _ in range(self.random.randint(1, 4))]

    def statement(self, depth):
        """Returns one statement, nested `depth` levels at most."""
        pick = self.random.choice
        self.number += 1
        self.left -= 1
        number = self.number
        nested = depth > 0 and self.left > 0
        kind = pick(self.SIMPLE + self.NESTED * 2 if nested else self.SIMPLE)
        match kind:
            case "sleep":
                return kind, number, pick([1, 1, 2, 3, 5])
            case "cancel" | "cancel group":
                return kind, number, self.random.randrange(9)
            case "raise":
                return kind, number, pick(["nothing", "nothing", "ValueError", "KeyError", "Broken"])
            case "future":
                return kind, number, pick([1, 2, 3, 4])
            case "timeout":
                moved = pick([None, None, None, 1, 4, 0])
                return kind, number, pick([None, 0, -1, 1, 2, 3, 4]), moved, pick([True, False]), self.block(depth - 1)
            case "wait_for":
                what = pick(["coroutine", "coroutine", "task", "eager task", "future"])
                limit = pick([None, 0, -1, 1, 2, 3])
                return kind, number, what, limit, pick([True, False]), self.block(depth - 1)
            case "group":
                children = [(pick([True, False, False]), self.block(depth - 1)) for _ in range(pick([0, 1, 2, 3]))]
                return kind, number, children, pick([True, False]), pick([True] + 9 * [False]), self.block(depth - 1)
            case "try":
                return kind, number, pick(["swallow", "uncancel", "again", "other"]), self.block(depth - 1)
            case "finally":
                return kind, number, self.block(depth - 1), self.block(depth - 1)
            case "spawn":
                return kind, number, pick([True, False]), pick([True, False]), self.block(depth - 1)
            case "context" | "shield":
                return kind, number, self.block(depth - 1)
        return kind, number


# ---- running them


class Run:
    """Runs one program on `aio` and `loop`, and keeps its log."""

    def __init__(self, aio, loop, seed):
        self.aio, self.loop = aio, loop
        self.start = loop.time()
        self.program = Author(seed).block()
        self.log, self.tasks, self.groups = [], [], []

    def run(self):
        """Runs the program to its end and returns the log."""
        self.loop.set_exception_handler(lambda loop, context: None)
        try:
            self.loop.run_until_complete(self.main())
        except BaseException as error:
            self.log.append(["left the loop", describe(error)])
        return self.log

    def tell(self, *words):
        task = self.aio.current_task()
        name = task and task.get_name()
        self.log.append([round(self.loop.time() - self.start, 6), name, *words])
        if len(self.log) > LENGTH:
            raise SystemExit("this program is too long")

    def task(self, coroutine, name, eager=False):
        keywords = {"eager_start": True} if eager else {}
        task = self.loop.create_task(coroutine, name=name, **keywords)
        self.tasks.append(task)
        return task

    def cancelling(self):
        return self.aio.current_task().cancelling()

    async def main(self):
        main = self.aio.current_task()
        main.set_name("main")
        self.tasks.append(main)
        try:
            self.tell("result", await self.block(self.program))
        except BaseException as error:
            self.tell("failed", describe(error))
        for _ in range(50):
            left = [task for task in self.tasks if task is not main and not task.done()]
            for task in left:
                task.cancel()
            try:
                await self.aio.sleep(0.5)
            except self.aio.CancelledError:
                self.tell("cancelled late")
            if not left:
                break
        ends = [(task.get_name(), task.cancelled()) for task in self.tasks if task is not main]
        failures = [describe(task.exception()) for task in self.tasks if task.done() and not task.cancelled()]
        self.tell(ends, failures)

    async def block(self, statements):
        for statement in statements:
            self.tell(*statement[:2])
            await getattr(self, "do_" + statement[0].replace(" ", "_"))(*statement[1:])
        return statements[-1][1]

    async def do_sleep(self, number, seconds):
        await self.aio.sleep(seconds)

    async def do_turn(self, number):
        await self.aio.sleep(0)

    async def do_count(self, number):
        self.tell("cancelling", self.cancelling())

    async def do_cancel(self, number, which):
        self.tell("cancels", self.tasks[which % len(self.tasks)].cancel(f"by {number}"))

    async def do_cancel_group(self, number, which):
        if self.groups:
            group = self.groups[which % len(self.groups)]
            group.cancel()
            self.tell(repr(group))

    async def do_raise(self, number, what):
        if what != "nothing":
            raise {"ValueError": ValueError, "KeyError": KeyError, "Broken": Broken}[what](number)

    async def do_future(self, number, seconds):
        self.tell("got", await self.later(number, seconds))

    def later(self, number, seconds):
        future = self.loop.create_future()
        self.loop.call_later(seconds, lambda: future.done() or future.set_result(number))
        return future

    async def do_timeout(self, number, delay, moved, catch, inside):
        try:
            async with self.aio.timeout(delay) as scope:
                if moved is not None:
                    scope.reschedule(self.loop.time() + moved)
                await self.block(inside)
                if moved is not None and not scope.expired():
                    scope.reschedule(self.loop.time() + moved + 1)
        except BaseException as error:
            self.tell("timeout raises", scope.expired(), describe(error), self.cancelling())
            if not (catch and isinstance(error, TimeoutError)):
                raise
        self.tell("timeout ends", repr(scope))

    async def do_wait_for(self, number, what, limit, catch, inside):
        if what == "future":
            awaitable = self.later(number, 2)
        elif what == "coroutine":
            awaitable = self.block(inside)
        else:
            awaitable = self.task(self.block(inside), f"waited for in {number}", what == "eager task")
        try:
            self.tell("wait_for returns", await self.aio.wait_for(awaitable, limit))
        except BaseException as error:
            self.tell("wait_for raises", describe(error), self.cancelling())
            if not (catch and isinstance(error, TimeoutError)):
                raise

    async def do_group(self, number, children, catch, cancelled_before, inside):
        group = self.aio.TaskGroup()
        self.groups.append(group)
        if cancelled_before:
            group.cancel()
        try:
            async with group:
                for index, (eager, statements) in enumerate(children):
                    keywords = {"eager_start": True} if eager else {}
                    body = self.block(statements)
                    try:
                        child = group.create_task(body, name=f"child {number}.{index}", **keywords)
                        self.tasks.append(child)
                    except RuntimeError as error:
                        self.tell("refused", str(error))
                        body.close()  # before 3.13 a group leaves this to its caller
                self.tell(repr(group))
                await self.block(inside)
        except BaseException as error:
            self.tell("group raises", describe(error), self.cancelling(), repr(group))
            if not catch or isinstance(error, self.aio.CancelledError):
                raise
        self.tell("group ends", repr(group), self.cancelling())

    async def do_try(self, number, then, inside):
        try:
            await self.block(inside)
        except self.aio.CancelledError as error:
            self.tell("caught", describe(error), self.cancelling())
            if then == "uncancel":
                self.tell("left", self.aio.current_task().uncancel())
            elif then == "again":
                raise
            elif then == "other":
                raise KeyError(number) from None
        except Exception as error:
            self.tell("caught", describe(error))

    async def do_finally(self, number, inside, after):
        try:
            await self.block(inside)
        finally:
            self.tell("finally")
            await self.block(after)

    async def do_context(self, number, inside):
        try:
            await self.block(inside)
        except BaseException:
            raise KeyError(number)  # noqa: B904 — the chain that this makes is what is compared

    async def do_spawn(self, number, eager, wait, inside):
        task = self.task(self.block(inside), f"spawned {number}", eager)
        if wait:
            await self.reporting(task)

    async def do_shield(self, number, inside):
        await self.reporting(self.aio.shield(self.task(self.block(inside), f"shielded {number}")))

    async def reporting(self, awaitable):
        try:
            self.tell("returns", await awaitable)
        except BaseException as error:
            self.tell("raises", describe(error))
            raise


def describe(error, depth=6):
    """Returns an exception with its chains and groups as plain data."""
    if error is None or depth == 0:
        return None
    parts = [describe(part, depth - 1) for part in getattr(error, "exceptions", ())]
    chain = [describe(error.__cause__, depth - 1), describe(error.__context__, depth - 1), error.__suppress_context__]
    return [type(error).__name__, [str(argument) for argument in error.args[:1]], chain, parts]


# ---- asyncio with a virtual clock, in order


@functools.cache
def ordered_asyncio():
    """Leaves nothing to chance in asyncio. Returns the class of a loop whose clock jumps to the next timer."""

    class Timer(asyncio.TimerHandle):
        made = 0

        def __init__(self, *args):
            super().__init__(*args)
            Timer.made += 1
            self.number = Timer.made

        def __lt__(self, other):
            return (self.when(), self.number) < (other.when(), other.number)

    class Tasks(dict):
        """A set that keeps the order of insertion."""

        def add(self, task):
            self[task] = None

        def discard(self, task):
            self.pop(task, None)

    class Group(asyncio.TaskGroup):
        def __init__(self):
            super().__init__()
            self._tasks = Tasks()

    class Loop(asyncio.SelectorEventLoop):
        def __init__(self):
            super().__init__()
            self.now = 0.0
            self._selector.select = self.jump

        def time(self):
            return self.now

        def jump(self, timeout):
            assert timeout is not None, "nothing will ever happen"
            self.now += max(timeout, 0)
            return ()

    asyncio.events.TimerHandle = Timer
    Group.__repr__ = asyncio.TaskGroup.__repr__
    asyncio.TaskGroup = Group
    return Loop


def log_of(implementation, seed):
    """Returns the log of a seed on "asyncio" or "ferrio"."""
    if implementation == "asyncio":
        aio, loop = asyncio, ordered_asyncio()()
    else:
        import ferrio as aio

        loop = aio.EventLoop(virtual_time=True)
    try:
        return Run(aio, loop, seed).run()
    finally:
        loop.close()


def digest(log):
    """Condenses a log into sixteen letters."""
    return hashlib.sha256(json.dumps(log).encode()).hexdigest()[:16]


if __name__ == "__main__":
    if len(sys.argv) == 3:
        for line in log_of(sys.argv[1], int(sys.argv[2])):
            print(json.dumps(line))
    else:
        print(json.dumps({str(seed): digest(log_of("asyncio", seed)) for seed in SEEDS}, indent=0))
