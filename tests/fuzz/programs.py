"""Random programs of asyncio's API: a seed makes a tree of statements, and the tree is rendered as Python source.

The names that a program uses are in `stage.py`. A statement is a list of parts. A part is a line, or a header with the
statements under it. So a program can be shortened without knowing what it says (`shorter`): a statement is left out, or
is replaced by those under it. Everything in a program refers to shared objects by number, so that what is left still
makes sense.

Invariant: the same seed gives the same program on every Python.
"""

import random

# Functions of a program; each calls only later ones, so a program ends.
FUNCTIONS = 5
GENERATORS = 2

# Programs of smaller seeds do only what ferrio does on each Python as the newest asyncio does.
PORTABLE = 1_000_000


class Author:
    """Writes one program."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.portable = seed < PORTABLE
        self.number = 0
        self.left = 70
        self.function = 0  # the number of the function that is being written
        self.generator = -1  # the number of the generator that is being written

    # ---- small choices

    def pick(self, *choices):
        return self.random.choice(choices)

    def chance(self, percent):
        return self.random.randrange(100) < percent

    def next(self):
        self.number += 1
        self.left -= 1
        return self.number

    def seconds(self):
        return self.pick("0", "0", "1", "1", "2", "3", "0.5", "5", "-1")

    def limit(self):
        return self.pick("None", "0", "-1", "1", "1", "2", "2", "3", "4")

    def moment(self):
        return self.pick("None", "now(0)", "now(1)", "now(2)", "now(-1)")

    def one(self, name, count):
        return f"{name}[{self.random.randrange(count)}]"

    def lock(self):
        return self.one("locks", 2)

    def semaphore(self):
        return self.one("semaphores", 3)

    def event(self):
        return self.one("events", 2)

    def condition(self):
        return self.one("conditions", 2)

    def barrier(self):
        return self.one("barriers", 2)

    def queue(self):
        return self.one("queues", 4)

    def future(self):
        return self.one("futures", 4)

    def task(self):
        return f"task({self.random.randrange(9)})"

    def waitable(self):
        return self.pick(self.task, self.task, self.future)()

    def context(self):
        return self.one("contexts", 2)

    def callback(self):
        return f"callback({self.next()})"

    def error(self):
        return self.pick("ValueError", "KeyError", "ValueError", "Broken", "aio.CancelledError", "TimeoutError")

    # ---- expressions

    def coroutine(self):
        """Returns a call of a later function, or of something short."""
        first = self.function + 1
        if first >= FUNCTIONS or self.chance(15):
            n = self.next()
            return self.pick(
                f"value({n}, {self.pick(0, 1, 2, 3)})", f"failure({n}, {self.pick(0, 1, 2)}, {self.error()})"
            )
        return f"f{self.random.randrange(first, FUNCTIONS)}()"

    def new_task(self):
        n = self.next()
        more = self.pick("", "", "", ", eager_start=True", ", eager_start=True", f", context={self.context()}")
        return f"spawn({n}, {self.coroutine()}{more})"

    def several(self, of, low=0, high=3):
        return ", ".join(of() for _ in range(self.random.randint(low, high)))

    def awaitable(self, depth=2):
        """Returns an expression that can be awaited."""
        n = self.next()
        simple = [
            lambda: f"aio.sleep({self.seconds()})",
            lambda: f"aio.sleep({self.seconds()}, {n})",
            lambda: "aio.sleep(0)",
            self.future,
            lambda: f"later({n}, {self.pick(0, 1, 2, 3)})",
            lambda: f"later({n}, {self.pick(0, 1, 2)}, {self.error()})",
            self.task,
            self.coroutine,
            self.new_task,
            lambda: f"{self.queue()}.get()",
            lambda: f"{self.queue()}.get()",
            lambda: f"{self.queue()}.put({n})",
            lambda: f"{self.queue()}.put({n})",
            lambda: f"{self.queue()}.join()",
            lambda: f"{self.lock()}.acquire()",
            lambda: f"{self.semaphore()}.acquire()",
            lambda: f"{self.event()}.wait()",
            lambda: f"{self.barrier()}.wait()",
            lambda: f"{self.barrier()}.reset()",
            lambda: f"{self.barrier()}.abort()" if self.chance(20) else f"{self.barrier()}.wait()",
            lambda: f"{self.condition()}.wait()",
            lambda: f"{self.condition()}.acquire()",
            lambda: f"readers[0].{self.read()}",
            self.generator_step,
            self.generator_step,
            self.unusual,
            self.unusual,
            self.unusual,
        ]
        nested = [
            lambda: f"aio.wait_for({self.awaitable(depth - 1)}, {self.limit()})",
            lambda: f"aio.wait_for({self.awaitable(depth - 1)}, {self.limit()})",
            lambda: f"aio.shield({self.awaitable(depth - 1)})",
            lambda: f"aio.gather({self.several(lambda: self.awaitable(depth - 1))})",
            lambda: f"aio.gather({self.several(lambda: self.awaitable(depth - 1), 1)}, return_exceptions=True)",
            lambda: f"aio.wait([{self.several(self.waitable, 0, 3)}]{self.wait_arguments()})",
            lambda: f"aio.wait([{self.several(self.new_task, 1, 3)}]{self.wait_arguments()})",
        ]
        return self.pick(*(simple + nested * 2 if depth > 0 and self.left > 0 else simple))()

    def wait_arguments(self):
        timeout = self.pick("", "", ", timeout=0", ", timeout=1", ", timeout=2")
        return timeout + self.pick("", ", return_when=aio.FIRST_COMPLETED", ", return_when=aio.FIRST_EXCEPTION")

    def read(self):
        return self.pick(
            "read(3)", "read(0)", "read()", "readline()", "readexactly(4)", "readexactly(0)", 'readuntil(b"ab")',
            'readuntil(b";")', 'readuntil((b";", b"ab"))', 'readuntil(b"")', "readexactly(-1)", "read(40)",
        )  # fmt: skip

    def generator_step(self):
        generator = f"generators[{self.random.randrange(3)}]"
        return generator + self.pick(
            ".__anext__()", ".__anext__()", ".asend(1)", ".asend(None)", ".aclose()", ".athrow(ValueError(1))"
        )

    def unusual(self):
        """Returns an awaitable that isn't asyncio's own coroutine or future, or one from elsewhere."""
        n = self.next()
        choices = (
            lambda: f"anext(pump(queues[{self.random.randrange(4)}].get), {n})",
            lambda: f"anext(pump({self.event()}.wait), {n})",
            lambda: f"anext(pump(futures[{self.random.randrange(4)}]), {n})",
            lambda: f"anext(pump(lambda: {self.awaitable(0)}), {n})",
            lambda: f"anext(pump(lambda: aio.wait_for({self.awaitable(0)}, {self.limit()})), {n})",
            lambda: f"anext(generators[{self.random.randrange(3)}], {n})",
            lambda: f"anext(readers[0], {n})",
            lambda: f"odd({n}, {self.pick('None', 'None, None', '5', 'futures[0]')})",
            lambda: f"Awaits({self.awaitable(0)})",
            lambda: f"Awaits({self.awaitable(0)})",
            self.from_elsewhere,
            self.from_elsewhere,
            lambda: "writers[0].drain()",
            lambda: "writers[0].drain()",
            lambda: "writers[0].wait_closed()",
        )
        return self.random.choice(choices)()

    def from_elsewhere(self):
        """Returns an awaitable of a future that knows no loop; the standard library's part differs between versions."""
        n = self.next()
        choices = (
            lambda: f"run_inline({n}, {self.pick('value_now', 'error_now')})",
            lambda: f"aio.wrap_future(elsewhere[{self.random.randrange(2)}])",
            lambda: f"aio.wrap_future(aio.run_coroutine_threadsafe({self.coroutine()}, loop))",
        )
        return "aio.sleep(0)" if self.portable else self.random.choice(choices)()

    # ---- statements

    def block(self, depth=3, low=1, high=4):
        """Returns some statements."""
        return [self.statement(depth) for _ in range(self.random.randint(low, high))]

    def statement(self, depth):
        """Returns a statement of an asynchronous function."""
        kinds = [self.plain_await] * 4 + [self.caught_await] * 6 + [self.call] * 7 + [self.look] * 2
        if self.function or self.chance(30):
            kinds.append(self.rest)
        if depth > 0 and self.left > 0:
            kinds += [
                self.scope, self.scope, self.group, self.group, self.guarded, self.guarded, self.locked, self.locked,
                self.waiting_on_condition, self.iteration, self.completed, self.attempted, self.final, self.loop_over,
                self.parted,
            ]  # fmt: skip
        return self.random.choice(kinds)(depth)

    def plain_await(self, depth):
        return [f"log({self.next()}, await {self.awaitable()})"]

    def caught_await(self, depth):
        """An await whose failure is logged; a cancellation goes on, or doesn't."""
        return [f"await attempt({self.next()}, {self.awaitable()}{self.pick('', '', '', ', swallow=True')})"]

    def rest(self, depth):
        n = self.next()
        return [
            self.pick(
                f"raise {self.error()}({n})",
                f"return {n}" if self.function < FUNCTIONS else "return",
                f"call({n}, loop.run_until_complete, futures[0])",
                f"call({n}, loop.run_forever)",
                f"call({n}, loop.stop)",
                f"raise SystemExit({n})",
                f"raise KeyboardInterrupt({n})",
                f"call({n}, aio.current_task().uncancel)",
                f"call({n}, aio.current_task().cancel, {n})",
                f"call({n}, loop.close)",
            )
        ]

    def look(self, depth):
        """Logs what something looks like."""
        things = (
            self.lock,
            self.semaphore,
            self.event,
            self.condition,
            self.barrier,
            self.queue,
            self.future,
            self.task,
        )
        return [
            self.pick(
                f"log({self.next()}, show({self.random.choice(things)()}))",
                f"log({self.next()}, show({self.random.choice(things)()}))",
                f"log({self.next()}, names_of(aio.all_tasks()))",
                f"log({self.next()}, state({self.waitable()}))",
                f"log({self.next()}, state({self.waitable()}))",
                f"log({self.next()}, show(readers[0]))",
                f"log({self.next()}, show(handle({self.random.randrange(4)})))",
            )
        ]

    def call(self, depth=0):
        """A call that waits for nothing; what it returns or raises is logged."""
        n = self.next()
        choices = (
            lambda: f"{self.task()}.cancel",
            lambda: f"{self.task()}.cancel, {n}",
            lambda: f"{self.task()}.cancel, {n}",
            lambda: f"{self.task()}.uncancel",
            lambda: f"{self.task()}.set_name, named('n{n}')",
            lambda: f"{self.waitable()}.result",
            lambda: f"{self.waitable()}.exception",
            lambda: f"{self.waitable()}.add_done_callback, {self.callback()}",
            lambda: f"{self.waitable()}.add_done_callback, callbacks[{self.random.randrange(3)}]",
            lambda: f"{self.waitable()}.remove_done_callback, callbacks[{self.random.randrange(3)}]",
            lambda: f"{self.future()}.set_result, {n}",
            lambda: f"{self.future()}.set_result, {n}",
            lambda: f"{self.future()}.set_exception, {self.error()}({n})",
            lambda: f"{self.future()}.set_exception, {self.pick('StopIteration', '1', 'KeyError')}",
            lambda: f"{self.future()}.cancel, {n}",
            lambda: f"renew, {self.random.randrange(4)}",
            lambda: f"renew, {self.random.randrange(4)}",
            lambda: f"{self.event()}.set",
            lambda: f"{self.event()}.set",
            lambda: f"{self.event()}.clear",
            lambda: f"{self.lock()}.release",
            lambda: f"{self.lock()}.locked",
            lambda: f"{self.semaphore()}.release",
            lambda: f"{self.semaphore()}.locked",
            lambda: f"{self.condition()}.notify, {self.pick(0, 1, 2)}",
            lambda: f"{self.condition()}.notify_all",
            lambda: f"{self.condition()}.release",
            lambda: f"{self.queue()}.put_nowait, {n}",
            lambda: f"{self.queue()}.put_nowait, {n}",
            lambda: f"{self.queue()}.get_nowait",
            lambda: f"{self.queue()}.get_nowait",
            lambda: f"{self.queue()}.task_done",
            lambda: f"{self.queue()}.shutdown, {self.pick(True, False)}",
            lambda: f"soon, {self.callback()}, {n}",
            lambda: f"timer, {self.seconds()}, {self.callback()}, {n}",
            lambda: f"timer, {self.seconds()}, {self.callback()}, {n}",
            lambda: f"handle({self.random.randrange(4)}).cancel",
            lambda: f"handle({self.random.randrange(4)}).cancelled",
            lambda: f"soon, {self.deed()}",
            lambda: f"timer, {self.seconds()}, {self.deed()}",
            lambda: f"timer, {self.seconds()}, {self.deed()}",
            lambda: f"var.set, {n}",
            lambda: f"readers[0].feed_data, {self.data()}",
            lambda: f"readers[0].feed_data, {self.data()}",
            lambda: f"readers[0].feed_data, {self.data()}",
            lambda: "readers[0].feed_eof" if self.chance(40) else "readers[0].at_eof",
            lambda: f"readers[0].set_exception, ValueError({n})" if self.chance(30) else "readers[0].exception",
            lambda: "new_reader",
            lambda: f"group({self.random.randrange(3)}).create_task, {self.coroutine()}",
            lambda: f"group({self.random.randrange(3)}).cancel",
            lambda: f"scope({self.random.randrange(3)}).reschedule, {self.moment()}",
            lambda: f"scope({self.random.randrange(3)}).when",
            lambda: f"aio.ensure_future, {self.coroutine()}",
            lambda: f"elsewhere[{self.random.randrange(2)}].set_result, {n}",
            lambda: f"elsewhere[{self.random.randrange(2)}].cancel",
            lambda: f"renew_elsewhere, {self.random.randrange(2)}",
            lambda: f"soon_safely, {self.callback()}, {n}",
            lambda: f"soon_in, {self.context()}, {self.callback()}",
            lambda: f"{self.context()}.run, var.set, {n}",
            lambda: f"done_in, {self.waitable()}, {self.context()}, {self.callback()}",
            lambda: f"{self.task()}.get_context().get, var",
            lambda: f"writers[0].write, {self.data()}",
            lambda: self.pick("writers[0].close", "writers[0].is_closing", "writers[0].write_eof", "new_writer"),
            lambda: f"protocols[0].{self.pick('pause_writing', 'resume_writing', 'eof_received')}",
            lambda: (
                f"protocols[0].connection_lost, {self.pick('None', f'OSError({n})')}"
                if self.chance(40)
                else "new_writer"
            ),
            lambda: f"protocols[0].data_received, {self.data()}",
        )
        return [f"call({n}, {self.random.choice(choices)()})"]

    def deed(self):
        """What a callback may do besides logging: something that wakes or ends a task."""
        n = self.next()
        task = f"task({self.random.randrange(1, 9)})"
        return self.pick(
            f"{task}.cancel, {n}",
            f"{task}.cancel",
            f"{self.event()}.set",
            f"{self.event()}.clear",
            f"{self.future()}.cancel",
            f"{self.future()}.set_result, {n}",
            f"{self.queue()}.put_nowait, {n}",
            f"{self.queue()}.get_nowait",
            f"{self.semaphore()}.release",
            f"{self.lock()}.release",
            f"{self.queue()}.shutdown",
            f"readers[0].feed_data, {self.data()}",
            "readers[0].feed_eof",
            f"raises, {self.error()}({n})",
            f"elsewhere[{self.random.randrange(2)}].set_result, {n}",
            f"protocols[0].{self.pick('pause_writing', 'resume_writing', 'resume_writing')}",
        )

    def data(self):
        return "b" + repr("".join(self.pick(*"ab;\nx") for _ in range(self.pick(0, 1, 2, 3, 5, 20))))

    def scope(self, depth):
        kind = self.pick("timeout", "timeout", "timeout_at")
        limit = self.limit() if kind == "timeout" else self.moment()
        n = self.next()
        lines = [(f"async with entered({n}, aio.{kind}({limit})):", self.block(depth - 1))]
        return (
            [("try:", [lines]), ("except TimeoutError as error:", [[f"log({n}, error)"]])] if self.chance(60) else lines
        )

    def group(self, depth):
        n = self.next()
        count = self.pick(0, 1, 2, 3)
        children = [[f"g.create_task({self.coroutine()}, name=named('g{self.next()}'))"] for _ in range(count)]
        lines = [(f"async with entered({n}, aio.TaskGroup()) as g:", children + self.block(depth - 1))]
        error = self.pick("Exception", "BaseExceptionGroup", "BaseException")
        return (
            [("try:", [lines]), (f"except {error} as error:", [[f"caught({n}, error)"]])] if self.chance(70) else lines
        )

    def guarded(self, depth):
        """A `try` that catches a cancellation or an exception."""
        n = self.next()
        then = self.pick([], [], ["raise"], ["aio.current_task().uncancel()"], [f"raise KeyError({n})"])
        error = self.pick("aio.CancelledError", "Exception", "BaseException", "aio.CancelledError")
        handler = [[f"log({n}, error)"], *[[line] for line in then]]
        return [("try:", self.block(depth - 1)), (f"except {error} as error:", handler)]

    def attempted(self, depth):
        n = self.next()
        return [
            ("try:", self.block(depth - 1)),
            ("except Exception as error:", [[f"log({n}, error)"], *self.block(depth - 1, 1, 2)]),
        ]

    def parted(self, depth):
        """A `try` that catches parts of groups."""
        n = self.next()
        return [
            ("try:", self.block(depth - 1)),
            (f"except* {self.pick('ValueError', 'KeyError', 'Exception')} as error:", [[f"log({n}, error)"]]),
        ]

    def final(self, depth):
        return [
            ("try:", self.block(depth - 1)),
            ("finally:", [[f"log({self.next()}, 'finally')"], *self.block(depth - 1, 0, 2)]),
        ]

    def locked(self, depth):
        what = self.pick(self.lock, self.lock, self.semaphore, self.semaphore, self.condition, self.barrier)()
        return [(f"async with {what}:", self.block(depth - 1))]

    def waiting_on_condition(self, depth):
        n = self.next()
        condition = self.condition()
        inside = self.pick(
            [f"log({n}, await {condition}.wait())"],
            [f"log({n}, await {condition}.wait_for(true_after({n}, {self.pick(0, 1, 2, 3)})))"],
            [f"log({n}, await aio.wait_for({condition}.wait(), {self.limit()}))"],
            [f"{condition}.notify({self.pick(1, 2)})"],
            [f"{condition}.notify_all()"],
        )
        return [(f"async with {condition}:", [*self.block(depth - 1, 0, 1), inside, *self.block(depth - 1, 0, 1)])]

    def iteration(self, depth):
        n = self.next()
        generators = range(self.generator + 1, GENERATORS)  # a generator that iterates over itself would never end
        others = ["readers[0]", f"pump({self.queue()}.get)", "aclosing(generators[2])"]
        what = f"g{self.random.choice(generators)}()" if generators and self.chance(70) else self.pick(*others)
        if what.startswith("aclosing"):
            return [
                (
                    f"async with {what} as generator:",
                    [[f"log({n}, await anext(generator, {n}))"], *self.block(depth - 1, 0, 1)],
                )
            ]
        body = [[f"log({n}, x)"], *self.block(depth - 1, 0, 2)]
        if self.chance(40):
            body.append(["break"])
        return [(f"async for x in few({what}):" if self.chance(30) else f"async for x in {what}:", body)]

    def completed(self, depth):
        n = self.next()
        what = f"[{self.several(self.pick(self.waitable, self.new_task), 0, 3)}]"
        timeout = self.pick("", "", ", timeout=1", ", timeout=2", ", timeout=0")
        if self.chance(50):
            return [(f"async for x in aio.as_completed({what}{timeout}):", [[f"await attempt({n}, x)"]])]
        return [
            (f"for x in aio.as_completed({what}{timeout}):", [[f"await attempt({n}, x)"], *self.block(depth - 1, 0, 1)])
        ]

    def loop_over(self, depth):
        return [(f"for _ in range({self.pick(2, 3)}):", self.block(depth - 1, 1, 2))]

    # ---- the program

    def program(self):
        """Returns the statements of a whole program."""
        parts = [[f"ticks = {self.pick(0, 0, 5, 30)}"]]
        if self.chance(20):
            factory = self.pick("aio.eager_task_factory", "aio.eager_task_factory", "plain_factory", "shy_factory")
            if self.portable:  # older Pythons name a factory's task after it was made
                factory = "aio.eager_task_factory"
            parts.append([f"loop.set_task_factory({factory})"])
        if self.chance(10):
            parts.append(["runner = aio.Runner(loop_factory=lambda: loop)"])
        parts.append([f"semaphores = [aio.Semaphore({self.pick(0, 1)}), aio.Semaphore(2), aio.BoundedSemaphore(1)]"])
        sizes = [self.pick(0, 1, 2) for _ in range(4)]
        kinds = ["Queue", "Queue", "LifoQueue", "PriorityQueue"]
        queues = ", ".join(f"aio.{kind}({size})" for kind, size in zip(kinds, sizes, strict=True))
        parts.append([f"queues = [{queues}]"])
        parts.append([f"conditions = [aio.Condition(), aio.Condition({self.pick('', 'locks[0]')})]"])
        parts.append([f"barriers = [aio.Barrier(2), aio.Barrier({self.pick(1, 3)})]"])
        for number in range(GENERATORS):
            self.function, self.generator = FUNCTIONS, number
            self.left = 8
            n = self.next()
            body = [[f"log({n}, (yield {n}))"], *self.block(2, 1, 2), [f"yield -{n}"], *self.block(1, 0, 1)]
            if self.chance(40):
                body = [[("try:", body), ("finally:", [[f"log({n}, 'closing')"], *self.block(0, 0, 1)])]]
            parts.append([(f"async def g{number}():", body)])
        self.generator = -1
        parts.append(["generators = [g0(), g0(), g1()]"])
        for number in reversed(range(1, FUNCTIONS)):
            self.function, self.left = number, self.pick(8, 15, 25)
            parts.append([(f"async def f{number}():", [*self.block(3, 1, 4), [f"return {self.next()}"]])])
        self.function = 0
        for name in ("main", "afterwards") if self.chance(30) else ("main",):
            self.left = 40
            # What happens on its own, so that most waits end.
            deeds = [
                [f"timer({0.25 + self.random.randrange(40) / 4}, {self.deed()})"] for _ in range(self.pick(2, 10, 20))
            ]
            tasks = [[self.new_task()] for _ in range(self.pick(1, 2, 3, 4))]
            parts.append([(f"async def {name}():", tasks + deeds + self.block(3, 4, 9))])
        return parts


def program(seed):
    """Returns the statements of a seed's program."""
    return Author(seed).program()


def render(statements, indent=0):
    """Returns statements as lines of source."""
    lines = []
    for statement in statements:
        for part in statement:
            if isinstance(part, str):
                lines.append("    " * indent + part)
            else:
                header, under = part
                lines.append("    " * indent + header)
                lines += render(under, indent + 1) or ["    " * (indent + 1) + "pass"]
    return lines


def source(statements):
    """Returns statements as the text of a program."""
    return "\n".join(render(statements)) + "\n"


def shorter(statements):
    """Yields shorter programs: without some statements, or with those under a statement in its place."""
    size = len(statements) // 2
    while size > 1:
        for start in range(0, len(statements), size):
            yield statements[:start] + statements[start + size :]
        size //= 2
    for index, statement in enumerate(statements):
        before, after = statements[:index], statements[index + 1 :]
        yield before + after
        for position, part in enumerate(statement):
            if isinstance(part, str):
                continue
            header, under = part
            if not header.startswith(("async def", "except", "finally")):
                yield before + under + after
            for less in shorter(under):
                yield [*before, [*statement[:position], (header, less), *statement[position + 1 :]], *after]
