"""Small programs of many parts of asyncio's API, and what must hold after each, wherever it was interrupted.

A function that is `held` does something and notes it. It isn't interrupted at its own bytecodes, because otherwise
nobody could tell what was lost from what wasn't noted. What it awaits or calls is interrupted.
"""

import contextlib
import io
import socket
import time
import types

HELD = set()


def held(function):
    """Marks a function whose own bytecodes aren't interrupted."""
    HELD.add(function.__code__)
    return function


class Program:
    """A program with everything that chance decides in it; `aio` is the implementation that it uses."""

    def __init__(self, aio, random):
        self.aio, self.random = aio, random
        self.tasks = []
        self.complaints = []
        self.abandoned = False  # some tasks were still pending when their loop was closed

    async def main(self):
        """What is interrupted."""
        raise NotImplementedError

    def check(self):
        """Adds complaints; called when the loop is closed."""

    def spawn(self, coroutine, make=None):
        """Makes a task by `make`, or by `create_task`."""
        task = (make or self.aio.create_task)(coroutine)
        self.tasks.append(task)
        return task

    async def all_of(self, coroutines):
        """Awaits all of them in one of several ways."""
        way = self.random.choice(["group", "gather", "wait", "each"])
        if way == "group":
            async with self.aio.TaskGroup() as group:
                for coroutine in coroutines:
                    self.spawn(coroutine, group.create_task)
        elif way == "gather":
            await self.aio.gather(*[self.spawn(coroutine) for coroutine in coroutines])
        elif way == "wait":
            for task in (await self.aio.wait([self.spawn(coroutine) for coroutine in coroutines]))[0]:
                task.result()
        else:
            for task in [self.spawn(coroutine) for coroutine in coroutines]:
                await task

    async def pause(self):
        """Gives way to others, or not."""
        for _ in range(self.random.randrange(3)):
            await self.aio.sleep(0)
        if self.random.random() < 0.2:
            await self.aio.sleep(0.0005)


class Queues(Program):
    """Producers and consumers: nothing is lost, doubled, or there although putting it failed."""

    def __init__(self, aio, random):
        super().__init__(aio, random)
        self.kind, self.size = random.choice(["Queue", "LifoQueue", "PriorityQueue"]), random.choice([0, 1, 2])
        self.patience = random.choice([None, None, 0.0002])
        self.put, self.got, self.refused = [], [], []
        self.queue = None

    @held
    async def give(self, item):
        """Puts one item."""
        try:
            await self.queue.put(item)
            self.put.append(item)
        except BaseException:
            self.refused.append(item)
            raise

    @held
    async def take(self):
        """Gets one item; gives up after a while if the program is impatient."""
        try:
            if self.patience is None:
                self.got.append(await self.queue.get())
            else:
                self.got.append(await self.aio.wait_for(self.queue.get(), self.patience))
        except TimeoutError:
            return
        self.queue.task_done()

    async def produce(self, first, count):
        """Puts some items."""
        for item in range(first, first + count):
            await self.give(item)
            await self.pause()

    async def consume(self, total):
        """Gets items until all were got."""
        while len(self.got) < total:
            if self.queue.empty() and len(self.put) == total:
                break
            if self.patience is None and self.queue.empty():
                await self.aio.sleep(0)
                if self.random.random() < 0.7:
                    continue
            await self.take()
            await self.pause()

    async def main(self):
        """Some producers and consumers; `None` at the end frees consumers that wait for nothing."""
        self.queue = getattr(self.aio, self.kind)(self.size)
        producers, count = self.random.randint(1, 3), self.random.randint(1, 4)
        consumers = [self.spawn(self.consume(producers * count)) for _ in range(self.random.randint(1, 3))]
        await self.all_of([self.produce(100 * number, count) for number in range(producers)])
        await self.queue.join()
        for consumer in consumers:
            consumer.cancel()
        await self.aio.gather(*consumers, return_exceptions=True)

    @held
    def check(self):
        """Counts."""
        # Not `get_nowait()`, which may wake a task whose loop is closed.
        left = [] if self.queue is None else list(self.queue._queue)
        seen = self.got + left
        if lost := set(self.put) - set(seen):
            self.complaints.append(f"lost {sorted(lost)}")
        if len(seen) != len(set(seen)):
            self.complaints.append(f"doubled {sorted(seen)}")
        if there := set(self.refused) & set(seen):
            self.complaints.append(f"refused, but there: {sorted(there)}")


class Locks(Program):
    """Locks of all kinds: never more inside than may be, and all are released at the end."""

    def __init__(self, aio, random):
        super().__init__(aio, random)
        self.room = random.randint(1, 2)
        self.inside = 0
        self.lock = self.semaphore = self.condition = self.event = None

    @held
    async def locked(self):
        """Holds the semaphore, and perhaps the lock in it."""
        async with self.semaphore:
            self.inside += 1
            if self.inside > self.room:
                self.complaints.append(f"{self.inside} inside")
            try:
                if self.random.random() < 0.5:
                    await self.pause()
                else:
                    async with self.lock:
                        await self.pause()
            finally:
                self.inside -= 1

    @held
    async def notified(self):
        """Waits for the condition for a while."""
        async with self.condition:
            with contextlib.suppress(TimeoutError):
                await self.aio.wait_for(self.condition.wait(), 0.002)

    @held
    async def notify(self):
        """Wakes some that wait for the condition."""
        async with self.condition:
            await self.pause()
            self.condition.notify(self.random.randint(1, 2))

    async def work(self):
        """Uses some of them in some order."""
        for _ in range(self.random.randint(1, 4)):
            await self.random.choice([self.locked, self.locked, self.notified, self.notify])()
            await self.pause()
        self.event.set()
        await self.event.wait()

    async def main(self):
        """Some tasks at the same locks; some of them are cancelled."""
        self.lock, self.semaphore = self.aio.Lock(), self.aio.BoundedSemaphore(self.room)
        self.condition, self.event = self.aio.Condition(), self.aio.Event()
        victims = [self.spawn(self.work()) for _ in range(self.random.randrange(3))]
        await self.pause()
        for victim in victims:
            victim.cancel()
        await self.all_of([self.work() for _ in range(self.random.randint(1, 4))])
        await self.aio.gather(*victims, return_exceptions=True)

    @held
    def check(self):
        """Looks whether all are free."""
        if self.event is not None and not self.abandoned:
            if self.inside or self.lock.locked() or self.condition.locked():
                self.complaints.append("a lock is still held")
            if self.semaphore._value != self.room:
                self.complaints.append(f"the semaphore has {self.semaphore._value} of {self.room}")


class Scopes(Program):
    """Groups, time limits, gather, wait, shield: everything that was begun is left."""

    def __init__(self, aio, random):
        super().__init__(aio, random)
        self.begun = self.ended = 0

    @held
    async def counted(self, coroutine):
        """Counts beginnings and ends."""
        self.begun += 1
        try:
            return await coroutine
        finally:
            self.ended += 1

    async def leaf(self):
        """Waits a little, or fails."""
        await self.pause()
        if self.random.random() < 0.2:
            raise ValueError("wanted")
        return 1

    async def numbers(self):
        """An asynchronous generator, which may be left early."""
        try:
            for number in range(3):
                await self.pause()
                yield number
        finally:
            await self.aio.sleep(0)

    async def node(self, depth):
        """One kind of scope with others in it."""
        aio, inner = self.aio, self.leaf if depth == 0 else lambda: self.node(depth - 1)
        kind = self.random.choice(["group", "wait_for", "timeout", "gather", "wait", "shield", "completed", "numbers"])
        with contextlib.suppress(TimeoutError, ValueError, ExceptionGroup):
            if kind == "group":
                async with aio.TaskGroup() as group:
                    for _ in range(self.random.randint(1, 3)):
                        self.spawn(self.counted(inner()), group.create_task)
            elif kind == "wait_for":
                await aio.wait_for(self.counted(inner()), self.random.choice([0.0003, 1, None]))
            elif kind == "timeout":
                async with aio.timeout(self.random.choice([0.0003, 1, None])):
                    await inner()
            elif kind == "gather":
                await aio.gather(*[self.counted(inner()) for _ in range(2)], return_exceptions=True)
            elif kind == "wait":
                tasks = [self.spawn(self.counted(inner())) for _ in range(2)]
                await aio.wait(tasks, return_when=aio.FIRST_COMPLETED)
            elif kind == "shield":
                await aio.shield(self.spawn(self.counted(inner())))
            elif kind == "completed":
                for first in aio.as_completed([self.spawn(self.counted(inner())) for _ in range(2)]):
                    await first
            else:
                async for number in self.numbers():
                    if number == 1:
                        break
        return 1

    async def main(self):
        """A tree of scopes."""
        await self.all_of([self.node(self.random.randint(0, 2)) for _ in range(self.random.randint(1, 2))])

    @held
    def check(self):
        """Compares the counts."""
        if self.begun != self.ended and not self.abandoned:
            self.complaints.append(f"{self.begun} coroutines begun, {self.ended} ended")


class Streams(Program):
    """Lines through a pair of sockets or a server: what is read is what was written, without a gap."""

    def __init__(self, aio, random):
        super().__init__(aio, random)
        self.server = random.random() < 0.4
        self.written, self.read = io.BytesIO(), io.BytesIO()

    @held
    async def write(self, writer, data):
        """Writes and notes it."""
        self.written.write(data)
        writer.write(data)
        await writer.drain()

    async def send(self, writer):
        """Writes numbered lines, now and then a long one."""
        for number in range(self.random.randint(1, 8)):
            data = b"%d\n" % number
            await self.write(writer, data * self.random.choice([1, 1, 100, 20_000]))
            await self.pause()
        writer.close()
        await writer.wait_closed()

    @held
    async def receive_some(self, reader):
        """Reads in one of several ways, within a short time; returns whether there may be more."""
        way = self.random.choice(["line", "exactly", "some", "until"])
        with contextlib.suppress(TimeoutError):
            if way == "line":
                reading = reader.readline()
            elif way == "exactly":
                reading = reader.readexactly(3)
            elif way == "until":
                reading = reader.readuntil(b"\n")
            else:
                reading = reader.read(self.random.choice([1, 1000, 100_000]))
            try:
                data = await self.aio.wait_for(reading, self.random.choice([0.0003, 1]))
            except self.aio.IncompleteReadError as error:
                data = error.partial
            self.read.write(data)
            return bool(data)
        return True

    async def receive(self, reader):
        """Reads to the end, with fewer calls if there is much."""
        while await self.receive_some(reader):
            if len(reader._buffer) > 1000 and self.random.random() < 0.2:
                await self.receive_much(reader)

    @held
    async def receive_much(self, reader):
        """Reads what is there."""
        self.read.write(await reader.read(1 << 20))

    async def main(self):
        """One sends, one receives."""
        aio = self.aio
        if self.server:
            done = aio.get_running_loop().create_future()

            async def serve(reader, writer):
                try:
                    await self.receive(reader)
                finally:
                    writer.close()
                    if not done.done():
                        done.set_result(None)

            server = await aio.start_server(serve, "127.0.0.1", 0)
            async with server:
                _, writer = await aio.open_connection(*server.sockets[0].getsockname())
                await self.send(writer)
                await done
        else:
            ours, theirs = socket.socketpair()
            try:
                reader, other = await aio.open_connection(sock=ours)
                _, writer = await aio.open_connection(sock=theirs)
                await self.all_of([self.send(writer), self.receive(reader)])
                other.close()
            finally:
                ours.close()
                theirs.close()

    @held
    def check(self):
        """Compares both sides."""
        if not self.written.getvalue().startswith(self.read.getvalue()):
            self.complaints.append("what was read has a gap")


class Threads(Program):
    """Calls in threads and from threads: what returned did run, and each callback came once."""

    def __init__(self, aio, random):
        super().__init__(aio, random)
        self.ran, self.returned, self.called = [], [], []

    def job(self, number):
        """Runs in a thread."""
        if number % 3 == 0:
            time.sleep(0.0003)
        self.ran.append(number)
        return number

    @held
    async def call(self, number):
        """Calls the job in a thread."""
        aio, way = self.aio, self.random.randrange(2)
        if way:
            self.returned.append(await aio.to_thread(self.job, number))
        else:
            self.returned.append(await aio.get_running_loop().run_in_executor(None, self.job, number))

    async def one(self, number):
        """Calls, and lets a thread call back."""
        loop, event = self.aio.get_running_loop(), self.aio.Event()
        await self.call(number)

        def back():
            self.called.append(number)
            event.set()

        await self.aio.to_thread(loop.call_soon_threadsafe, back)
        await event.wait()

    async def main(self):
        """Some at the same time."""
        await self.all_of([self.one(number) for number in range(self.random.randint(1, 4))])

    @held
    def check(self):
        """Compares."""
        if not set(self.returned) <= set(self.ran) or len(self.called) != len(set(self.called)):
            self.complaints.append(f"ran {self.ran}, returned {self.returned}, called {self.called}")


class Callbacks(Program):
    """Callbacks of all kinds: each comes once, also the ones behind the one that was interrupted."""

    def __init__(self, aio, random):
        super().__init__(aio, random)
        self.wanted, self.came = [], []

    def callback(self, number, *_):
        """Notes that it came."""
        self.came.append(number)

    @held
    def order(self, schedule):
        """Schedules one and notes it."""
        number = len(self.wanted)
        schedule(types.MethodType(self.callback.__func__, self), number)
        self.wanted.append(number)

    async def main(self):
        """Schedules many."""
        loop = self.aio.get_running_loop()
        ways = [
            loop.call_soon,
            loop.call_soon_threadsafe,
            lambda call, number: loop.call_later(self.random.choice([0, 0.0005, 0.001]), call, number),
            lambda call, number: self.settle(loop.create_future(), call, number),
        ]
        for _ in range(self.random.randint(2, 20)):
            self.order(self.random.choice(ways))
            if self.random.random() < 0.1:
                await self.aio.sleep(0)
        await self.aio.sleep(0.002)

    @held
    def settle(self, future, call, number):
        """Calls by a future that is done."""
        future.add_done_callback(lambda _: call(number))
        future.set_result(None)

    @held
    def check(self):
        """One may be missing: the one that was interrupted."""
        if len(self.came) != len(set(self.came)):
            self.complaints.append(f"called twice: {self.came}")


KINDS = [Queues, Queues, Locks, Scopes, Streams, Threads, Callbacks]
