"""What a program of `programs.py` finds around it, and the log of what happens when it runs.

Each line of a log has the virtual time and the turn (if the program counts turns). The task with its cancellations
follows, then the context variable, the number of the statement, and what it told. Everything in it is plain data that
is the same in each run: no addresses, no numbers that depend on what the process did before.
"""

import asyncio
import concurrent.futures
import contextlib
import contextvars
import gc
import re
import types
import warnings
import weakref

# What texts have that depends on the run and the implementation.
NAME = re.compile(r"Task-(\d+)")
WHEN = re.compile(r"when=(\d+(\.\d+)?)")
MODULE = re.compile(r"<_?(?:asyncio|ferrio)[\w.]*\.(\w+)")
PLACE = re.compile(r" at 0x[0-9a-f]+| at /[^ >]*:\d+")

LENGTH = 2500  # the maximum length of a log

# Names of what a program makes or finds.
MADE = (
    "generators", "locks", "semaphores", "events", "conditions", "barriers", "queues", "futures", "readers", "writers",
    "protocols", "contexts", "elsewhere", "runner",
)  # fmt: skip

# After this time the tasks of a program are cancelled, again and again.
PATIENCE = 15


class Broken(BaseException):
    """An exception that isn't an `Exception`."""


class Generators:
    """Asynchronous generators in the order in which they were begun; a `WeakSet` leaves the order to chance."""

    def __init__(self):
        self.references = {}

    def add(self, generator):
        self.references[id(generator)] = weakref.ref(generator)

    def discard(self, generator):
        self.references.pop(id(generator), None)

    def clear(self):
        self.references.clear()

    def __len__(self):
        return len(list(iter(self)))

    def __iter__(self):
        found = [reference() for reference in self.references.values()]
        return iter([generator for generator in found if generator is not None])


class Awaits:
    """An awaitable around another; it isn't a coroutine."""

    def __init__(self, awaitable):
        self.awaitable = awaitable

    def __await__(self):
        return (yield from self.awaitable.__await__())


class Pump:
    """An asynchronous iterator whose steps are awaitables that something else makes."""

    def __init__(self, make):
        self.make, self.left = make, 3

    def __aiter__(self):
        return self

    def __anext__(self):
        # CPython 3.13.0 crashes in `anext(iterator, default)` if this raises.
        try:
            return self.step()
        except BaseException as error:
            return self.fail(error)

    def step(self):
        self.left -= 1
        if self.left < 0:
            raise StopAsyncIteration
        return self.make() if callable(self.make) else self.make

    async def fail(self, error):
        raise error


class Inline(concurrent.futures.Executor):
    """Calls at once."""

    def submit(self, function, *args, **kwargs):
        future = concurrent.futures.Future()
        future.set_running_or_notify_cancel()
        try:
            future.set_result(function(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


class Wire(asyncio.Transport):
    """A transport that leads nowhere."""

    def __init__(self, log):
        super().__init__()
        self.log, self.closing = log, False

    def write(self, data):
        self.log("wire", bytes(data))

    def writelines(self, list_of_data):
        self.write(b"".join(list_of_data))

    def can_write_eof(self):
        return True

    def write_eof(self):
        self.log("wire", "eof")

    def is_closing(self):
        return self.closing

    def close(self):
        self.closing = True
        self.log("wire", "close")

    abort = close

    def pause_reading(self):
        self.log("wire", "pause")

    def resume_reading(self):
        self.log("wire", "resume")


class Stage:
    """Runs one program on `aio` and `loop`."""

    def __init__(self, aio, loop):
        self.aio, self.loop = aio, loop
        self.start = loop.time()
        loop._asyncgens = Generators()
        self.log_lines = []
        self.tasks, self.handles, self.scopes, self.groups, self.lost = [], [], [], [], []
        self.spawned = self.turn = self.guarded = 0
        self.first_task = None
        self.counting = True
        self.over = self.ended = False
        self.var = contextvars.ContextVar("var", default=0)
        self.names = {
            name: getattr(self, name)
            for name in dir(type(self))
            if not name.startswith("_")
            and name not in ("play", "run", "tick", "guard", "cancel", "problem", "text", "plain")
        }
        self.names.update(
            aio=aio,
            loop=loop,
            var=self.var,
            Broken=Broken,
            Awaits=Awaits,
            pump=Pump,
            aclosing=contextlib.aclosing,
            contexts=[contextvars.copy_context(), contextvars.copy_context()],
            elsewhere=[concurrent.futures.Future(), concurrent.futures.Future()],
            writers=[None],
            protocols=[None],
            locks=[aio.Lock(), aio.Lock()],
            events=[aio.Event(), aio.Event()],
            futures=[loop.create_future() for _ in range(4)],
            readers=[aio.StreamReader(limit=8, loop=loop)],
            callbacks=[self.callback(-number) for number in range(1, 4)],
            __name__="program",
        )
        self.inline, self.kept = Inline(), []
        self.new_writer()

    # ---- running

    def play(self, code):
        """Runs a program to its end and returns the log."""
        loop = self.loop
        gc.disable()  # what a program has lost is collected at its end, so that both implementations notice then
        loop.set_exception_handler(self.problem)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                exec(code, self.names)
                for name in ("main", "afterwards"):
                    if name in self.names and not loop.is_closed():
                        self.run(name, self.names[name])
                self.end()
            finally:
                self.forget()
                loop.close()  # first, because a loop of ferrio keeps its tasks until then
                gc.collect()
                gc.enable()
        return self.log_lines if self.over else [*self.log_lines, sorted(self.lost, key=repr)]

    def forget(self):
        """Forgets what a program made, so that what was lost is told of, whatever the objects of asyncio refer to."""
        self.ended = True
        for name in MADE:
            self.names.pop(name, None)
        self.tasks, self.handles, self.scopes, self.groups, self.kept = [], [], [], [], []
        self.first_task = None

    def run(self, name, function):
        async def first():
            self.first_task = self.aio.current_task()
            words = re.fullmatch(r"Task-(\d+)", self.first_task.get_name())
            self.base = int(words[1])
            self.first_task.set_name(name)
            self.tasks.append(self.first_task)
            if self.names.get("ticks"):
                self.loop.call_soon(self.tick)
            self.loop.call_later(PATIENCE, self.guard)
            return await function()

        try:
            runner = self.names.get("runner")
            self.log(name, runner.run(first()) if runner else self.loop.run_until_complete(first()))
        except BaseException as error:
            self.log(name, "failed", error)

    def end(self):
        """Ends what a program has left."""

        async def nothing():
            await self.loop.shutdown_asyncgens()

        self.counting = False  # asyncio takes more tasks and turns to end the loop
        if "runner" in self.names:
            self.give_up_later()
            self.call("runner", self.names["runner"].close)
        if self.loop.is_closed():
            return
        for _ in range(20):
            left = self.left()
            if not left:
                break
            self.log("left", [task.get_name() for task in left])
            for task in left:
                self.cancel(task, "at-the-end")

            async def turns():
                for _ in range(5):
                    await self.aio.sleep(1)

            try:
                self.loop.run_until_complete(turns())
            except BaseException as error:
                self.log("end", error)
        self.give_up_later()
        try:
            self.loop.run_until_complete(nothing())
        except BaseException as error:
            self.log("end", error)
        self.log("ends", [self.state(task) for task in self.tasks])

    def give_up_later(self):
        """Stops the loop in the end, because a generator may wait for ever while it is closed."""
        self.loop.call_later(10 * PATIENCE, self.loop.stop)

    def cancel(self, task, why):
        try:
            task.cancel(why)
        except RecursionError as error:
            self.log("cancel", error)

    def left(self):
        return sorted(self.aio.all_tasks(self.loop), key=lambda task: self.text(task.get_name()))

    def tick(self):
        if not self.counting:
            return
        self.turn += 1
        if self.turn % self.names["ticks"]:
            self.loop.call_soon(self.tick)
        elif self.turn < 1000:
            self.loop.call_later(1, self.tick)

    def guard(self):
        self.guarded += 1
        if self.guarded > 20:
            self.loop.stop()
            return
        self.log("guard")
        self.loop.call_later(2, self.guard)
        for task in self.left():
            self.cancel(task, "guard")

    def problem(self, loop, context):
        words = [self.text(context["message"]), self.plain(context.get("exception")), sorted(context)]
        if "still pending" in words[0] or "destroyed" in words[0]:
            return  # a loop of ferrio reports them when it is closed, one of asyncio when they are collected
        if "never retrieved" in words[0]:
            # When a lost task is noticed depends on what refers to it; what its exception is chained to may come later.
            words[1] = self.exception(context["exception"], 1)
            self.lost.append(words)
        else:
            self.log("handler", *words)

    # ---- what programs call

    def log(self, number, *words):
        if self.over or self.ended or len(self.log_lines) > LENGTH:
            return
        try:
            task = self.aio.current_task(self.loop)
        except RuntimeError:
            task = None
        who = [task.get_name(), task.cancelling()] if task and self.counting else [None, 0]
        now = self.loop.time() - self.start
        line = [now, self.turn, *who, self.var.get(), number, *words]
        self.log_lines.append([self.plain(word) for word in line])

    def call(self, number, function, *arguments):
        """Calls a function and logs what comes of it."""
        try:
            result = function(*arguments)
        except BaseException as error:
            self.log(number, "raises", error)
            self.drop(arguments)
        else:
            if isinstance(result, self.aio.Task):
                self.tasks.append(result)
            self.log(number, result)

    def drop(self, arguments):
        for argument in arguments:
            if hasattr(argument, "cr_frame"):
                argument.close()

    async def attempt(self, number, awaitable, swallow=False):
        """Awaits something and logs what comes of it; a cancellation goes on."""
        try:
            result = await awaitable
        except BaseException as error:
            self.log(number, "raises", error)
            if not swallow and not isinstance(error, Exception):
                raise
        else:
            self.log(number, result)

    def caught(self, number, error):
        self.log(number, error)
        if isinstance(error, (self.aio.CancelledError, SystemExit, KeyboardInterrupt)):
            raise error

    def spawn(self, number, coroutine, **keywords):
        """Starts a task, which can be referred to by its number."""
        self.spawned += 1
        name = f"t{number}.{self.spawned}"
        task = self.loop.create_task(coroutine, name=name, **keywords)
        self.tasks.append(task)
        return task

    def task(self, number):
        return self.tasks[number % len(self.tasks)]

    def soon(self, callback, *arguments):
        self.handles.append(self.loop.call_soon(callback, *arguments))

    def timer(self, seconds, callback, *arguments):
        self.handles.append(self.loop.call_later(seconds, callback, *arguments))

    def handle(self, number):
        return self.handles[number % len(self.handles)] if self.handles else self.nothing()

    def nothing(self):
        return self.loop.call_soon(self.log, "nothing")

    def group(self, number):
        return self.groups[number % len(self.groups)] if self.groups else self.aio.TaskGroup()

    def scope(self, number):
        return self.scopes[number % len(self.scopes)] if self.scopes else self.aio.timeout(None)

    def entered(self, number, manager):
        """Remembers a group or a timeout, which statements refer to by number."""
        (self.groups if isinstance(manager, self.aio.TaskGroup) else self.scopes).append(manager)
        return manager

    def now(self, more):
        return self.loop.time() + more

    def later(self, number, seconds, error=None):
        """Returns a future that gets a result or an exception."""
        future = self.loop.create_future()

        def settle():
            if not future.done():
                if error is None:
                    future.set_result(number)
                else:
                    future.set_exception(error(number))

        self.loop.call_later(seconds, settle)
        return future

    async def value(self, number, turns):
        for _ in range(turns):
            await self.aio.sleep(0)
        return number

    async def failure(self, number, turns, error):
        for _ in range(turns):
            await self.aio.sleep(0)
        raise error(number)

    async def few(self, iterator):
        count = 0
        async for value in iterator:
            yield value
            count += 1
            if count == 2:
                return

    def true_after(self, number, times):
        seen = []

        def predicate():
            seen.append(None)
            self.log(number, "predicate", len(seen))
            return len(seen) > times

        return predicate

    def callback(self, number):
        def callback(*arguments):
            self.log(number, "called", *arguments)

        return callback

    def raises(self, error):
        raise error

    def renew(self, number):
        if self.names["futures"][number].done():
            self.names["futures"][number] = self.loop.create_future()

    def new_reader(self):
        self.names["readers"][0] = self.aio.StreamReader(limit=8, loop=self.loop)

    def new_writer(self):
        """Makes a connection that leads nowhere, which feeds the reader."""
        reader = self.names["readers"][0] = self.aio.StreamReader(limit=8, loop=self.loop)
        protocol = self.aio.StreamReaderProtocol(reader, loop=self.loop)
        wire = Wire(self.log)
        protocol.connection_made(wire)
        self.names["protocols"][0] = protocol
        self.names["writers"][0] = self.aio.StreamWriter(wire, protocol, reader, self.loop)
        self.kept.append(self.names["writers"][0])  # one that is lost closes its transport, at once or some time later

    def renew_elsewhere(self, number):
        if self.names["elsewhere"][number].done():
            self.names["elsewhere"][number] = concurrent.futures.Future()

    def run_inline(self, number, function):
        """Calls a function by an executor that is done at once."""
        return self.loop.run_in_executor(self.inline, function, number)

    def value_now(self, number):
        return number

    def error_now(self, number):
        raise ValueError(number)

    def soon_safely(self, callback, *arguments):
        self.loop.call_soon_threadsafe(callback, *arguments)  # its handle has another class on newer Pythons

    def soon_in(self, context, callback):
        self.handles.append(self.loop.call_soon(callback, context=context))

    def done_in(self, future, context, callback):
        future.add_done_callback(callback, context=context)

    @types.coroutine
    def odd(self, number, *values):
        """Yields to its task what coroutines of asyncio don't."""
        for value in values:
            self.log(number, "sent", (yield value))
        return number

    def plain_factory(self, loop, coroutine, **keywords):
        return self.aio.Task(coroutine, loop=loop, **keywords)

    def shy_factory(self, loop, coroutine, **keywords):
        return self.aio.Task(coroutine, loop=loop, **{**keywords, "eager_start": False})

    def state(self, future):
        """Returns what a future tells about itself."""
        told = [future.get_name(), future.cancelling()] if hasattr(future, "get_name") else []
        if not future.done():
            return [*told, "pending"]
        if future.cancelled():
            return [*told, "cancelled"]
        return [*told, future.exception() or future.result()]

    def show(self, thing):
        return repr(thing)

    def named(self, name):
        """Returns a name that no other task has."""
        self.spawned += 1
        return f"{name}.{self.spawned}"

    def names_of(self, tasks):
        return sorted((task.get_name() for task in tasks), key=self.text)

    # ---- plain data

    def text(self, text):
        """Removes from a text what depends on the run and the implementation."""
        if "Task-" in text:
            text = NAME.sub(lambda found: f"Task-{int(found[1]) - self.base}", text)
        if "<" not in text:
            return text
        if "when=" in text:
            text = WHEN.sub(lambda found: f"when={float(found[1]) - self.start}", text)
        return PLACE.sub("", MODULE.sub(r"<\1", text))

    def plain(self, value, depth=4):
        kind = type(value)
        if kind is str:
            return self.text(value)
        if value is None or kind is int or kind is bool:
            return value
        if kind is float:
            return value - self.start if value > self.start - 100 else value
        if isinstance(value, bytes):
            return repr(value)
        if isinstance(value, (list, tuple)):
            return [self.plain(element, depth) for element in value]
        if isinstance(value, set):
            return sorted((self.plain(element, depth) for element in value), key=repr)
        if isinstance(value, BaseException):
            return self.exception(value, depth)
        if hasattr(value, "get_name"):
            return "task " + self.text(value.get_name())
        if self.aio.isfuture(value):
            return "future"
        return self.text(repr(value))

    def exception(self, error, depth):
        """Returns an exception with its chains and its parts."""
        if error is None or depth == 0:
            return None
        # After a cancellation has gone in a circle, the numbers of requests depend on the limit of recursion.
        if isinstance(error, RecursionError):
            self.over = True
            return ["RecursionError"]
        parts = [self.exception(part, depth - 1) for part in getattr(error, "exceptions", ())]
        chain = [
            self.exception(error.__cause__, depth - 1),
            self.exception(error.__context__, depth - 1),
            error.__suppress_context__,
        ]
        # Errors of ferrio say more; only what programs raise, and what groups say, has to be equal.
        text = str(error)
        told = [type(error).__name__, self.text(text) if parts or " " not in text else "..."]
        if told[0] == "AssertionError":
            told[1] = "..."
        told += [
            self.plain(getattr(error, name)) for name in ("partial", "expected", "consumed") if hasattr(error, name)
        ]
        return [*told, *([chain] if chain != [None, None, False] else []), *([parts] if parts else [])]
