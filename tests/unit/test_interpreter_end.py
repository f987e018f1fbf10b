"""Objects that are alive when the interpreter ends, whatever holds them, and threads that are busy then.

Each program makes an object for each holder and ends. Its output, its exit status and the kinds of errors that it
reports are asyncio's.
"""

import re
import subprocess
import sys
import textwrap

import pytest

HEAD = """
import atexit, builtins, gc, os, socket, sys, threading
import {name} as asyncio

gc.set_threshold(100_000)  # nothing is collected before the end

class Namespace:
    pass

kept = []           # by this module
thread_local = threading.local()
loop = asyncio.new_event_loop()

def run(awaitable):
    return loop.run_until_complete(awaitable)

def turn():
    run(asyncio.sleep(0))

def in_a_daemon(thing):
    ready = threading.Event()

    def hold(thing):
        ready.set()
        threading.Event().wait()

    threading.Thread(target=hold, args=(thing,), daemon=True).start()
    ready.wait()

class Farewell:
    # When it dies, it uses what it holds, in every way that the program has.
    def __init__(self, thing):
        self.thing = thing

    def __del__(self, use=lambda thing: use(thing)):
        try:
            use(self.thing)
        except RuntimeError as error:
            report(type(error).__name__)

def report(*what, write=os.write):
    write(1, " ".join(map(str, what)).encode() + b"\\n")

def use(thing):
    repr(thing)

HOLDERS = {{
    "module": kept.append,
    "sys": lambda thing: setattr(sys, f"kept{{id(thing)}}", thing),
    "builtins": lambda thing: setattr(builtins, f"kept{{id(thing)}}", thing),
    "a cycle": lambda thing: (lambda cycle: cycle.extend([cycle, thing]))([]),
    "atexit": lambda thing: atexit.register(lambda: use(thing)),
    "a thread": in_a_daemon,
    "a thread-local": lambda thing: setattr(thread_local, f"kept{{id(thing)}}", thing),
    "__del__": lambda thing: kept.append(Farewell(thing)),
    "__del__ in a cycle": lambda thing: (lambda cycle: cycle.extend([cycle, Farewell(thing)]))([]),
}}
"""

TAIL = """
for hold in HOLDERS.values():
    hold(make())
report("bye")
"""

OBJECTS = {
    "pending task": """
        async def wait():
            await asyncio.sleep(10)

        def make():
            task = loop.create_task(wait())
            turn()
            return task
        """,
    "pending task and its coroutine": """
        async def wait():
            try:
                await asyncio.Queue().get()
            finally:
                report("finally")

        def make():
            # One for each holder, because ferrio's loops hold their tasks.
            loop = asyncio.new_event_loop()
            coroutine = wait()
            task = loop.create_task(coroutine)
            loop.run_until_complete(asyncio.sleep(0))
            return task, coroutine
        """,
    "coroutine of a task that was dropped": """
        async def wait():
            await asyncio.sleep(10)

        def make():
            coroutine = wait()
            loop.create_task(coroutine)
            turn()
            return coroutine
        """,
    "task that hasn't begun": """
        async def wait():
            await asyncio.sleep(10)

        def make():
            return loop.create_task(wait())
        """,
    "task in each wait": """
        async def main(number):
            if number == 0:
                await asyncio.wait_for(asyncio.sleep(10), 20)
            elif number == 1:
                await asyncio.gather(asyncio.sleep(10), asyncio.Event().wait())
            elif number == 2:
                await asyncio.wait([asyncio.create_task(asyncio.sleep(10))])
            elif number == 3:
                await asyncio.shield(asyncio.create_task(asyncio.sleep(10)))
            elif number == 4:
                async with asyncio.timeout(10):
                    await asyncio.sleep(20)
            elif number == 5:
                async with asyncio.TaskGroup() as group:
                    group.create_task(asyncio.sleep(10))
            elif number == 6:
                async with asyncio.Condition() as condition:
                    await condition.wait()
            elif number == 7:
                await asyncio.Barrier(2).wait()
            elif number == 8:
                for task in asyncio.as_completed([asyncio.sleep(10)]):
                    await task
            elif number == 9:
                await loop.create_future()
            elif number == 10:
                await asyncio.StreamReader().readline()
            elif number == 11:
                await loop.sock_recv(sockets[0], 1)
            elif number == 12:
                await asyncio.Semaphore(0).acquire()

        sockets = socket.socketpair()
        sockets[0].setblocking(False)

        def make():
            things = []
            for number in range(13):
                coroutine = main(number)
                things += [loop.create_task(coroutine), coroutine]
            turn()
            return things
        """,
    "done task": """
        async def wait():
            return 1

        def make():
            task = loop.create_task(wait())
            run(task)
            return task
        """,
    "task whose exception nobody asked for": """
        async def fail():
            raise ZeroDivisionError

        def make():
            task = loop.create_task(fail())
            turn()
            turn()
            return task
        """,
    "future": """
        def make():
            future = loop.create_future()
            future.add_done_callback(report)
            return future, loop.create_future().__await__()
        """,
    "future with an exception": """
        def make():
            future = loop.create_future()
            future.set_exception(ZeroDivisionError())
            return future

        def use(future):
            repr(future)
            future.cancelled()
        """,
    "future that is cancelled at the end": """
        def make():
            future = loop.create_future()
            future.add_done_callback(report)
            return future

        def use(future):
            report(future.cancel(), future.cancelled())
        """,
    "loop that never ran": """
        make = asyncio.new_event_loop
        """,
    "loop that is closed at the end": """
        def make():
            loop = asyncio.new_event_loop()
            loop.run_until_complete(asyncio.sleep(0))
            return loop

        def use(loop):
            loop.close()
            report(loop.is_closed())
        """,
    "loop that runs once more at the end": """
        def make():
            loop = asyncio.new_event_loop()
            loop.call_later(10, report)
            loop.call_soon(report, "ran")
            return loop

        def use(loop, sleep=asyncio.sleep):
            if not loop.is_closed():
                loop.run_until_complete(sleep(0))
                loop.run_until_complete(loop.shutdown_asyncgens())
                loop.run_until_complete(loop.shutdown_default_executor())
                loop.close()
            report(loop.is_closed())
        """,
    "closed loop": """
        def make():
            loop = asyncio.new_event_loop()
            loop.run_until_complete(asyncio.sleep(0))
            loop.close()
            return loop
        """,
    "runner": """
        def make():
            runner = asyncio.Runner()
            runner.run(asyncio.sleep(0))
            return runner

        def use(runner):
            runner.close()
            report("closed")
        """,
    "runner with tasks": """
        async def wait():
            try:
                await asyncio.sleep(10)
            except asyncio.CancelledError as error:
                report("cancelled")
                raise

        async def main():
            return asyncio.create_task(wait())

        def make():
            runner = asyncio.Runner()
            return runner, runner.run(main())

        def use(things):
            things[0].close()
            report(things[1].cancelled())
        """,
    "handles": """
        def make():
            return loop.call_soon(report, "soon"), loop.call_later(10, report), loop.call_at(0, report)

        def use(handles):
            for handle in handles:
                repr(handle)
                handle.cancel()
        """,
    "server": """
        async def accepted(reader, writer):
            await reader.read()

        def make():
            server = run(asyncio.start_server(accepted, "127.0.0.1", 0))
            return server

        def use(server):
            repr(server)
            server.close()
        """,
    "streams": """
        async def accepted(reader, writer):
            await reader.read()

        server = run(asyncio.start_server(accepted, "127.0.0.1", 0))

        def make():
            return run(asyncio.open_connection(*server.sockets[0].getsockname()))

        def use(streams):
            repr(streams)
            streams[1].write(b"x")
            streams[1].close()
        """,
    "transports": """
        def make():
            ours, theirs = socket.socketpair()
            read, write = os.pipe()
            return [
                theirs,
                run(loop.create_connection(asyncio.Protocol, sock=ours)),
                run(loop.create_datagram_endpoint(asyncio.DatagramProtocol, ("127.0.0.1", 0))),
                run(loop.connect_read_pipe(asyncio.Protocol, os.fdopen(read, "rb"))),
                run(loop.connect_write_pipe(asyncio.BaseProtocol, os.fdopen(write, "wb"))),
            ]

        def use(things):
            for transport, protocol in things[1:]:
                repr(transport)
                transport.close()
        """,
    "subprocess": """
        def make():
            return run(asyncio.create_subprocess_exec("sleep", "0", stdin=-1, stdout=-1))

        def use(process):
            repr(process)
            report(process.pid > 0)
        """,
    "queues and locks with waiters": """
        def make():
            things = []
            for thing in asyncio.Queue(), asyncio.PriorityQueue(), asyncio.LifoQueue():
                things += [thing, loop.create_task(thing.get())]
            lock = asyncio.Lock()
            run(lock.acquire())
            for thing in lock, asyncio.Semaphore(0):
                things += [thing, loop.create_task(thing.acquire())]
            event = asyncio.Event()
            things += [event, loop.create_task(event.wait())]
            turn()
            return things

        def use(things):
            repr(things)
            things[0].put_nowait(1)
            things[6].release()
            things[10].set()
        """,
    "asynchronous generator": """
        async def numbers():
            try:
                yield 1
                yield 2
            finally:
                report("finally")

        async def first(generator):
            async for number in generator:
                return number

        def make():
            generator = numbers()
            run(first(generator))
            return generator
        """,
    "executor": """
        def job():
            return 1

        def make():
            loop = asyncio.new_event_loop()
            future = loop.run_in_executor(None, job)
            loop.run_until_complete(future)
            return loop, loop.run_in_executor(None, job)

        def use(things):
            repr(things)
        """,
    "context": """
        import contextvars
        variable = contextvars.ContextVar("variable")

        def make():
            variable.set(loop.create_future())
            return contextvars.copy_context()

        def use(context):
            repr(context)
        """,
    "signal handlers": """
        import signal

        def make():
            loop = asyncio.new_event_loop()
            loop.add_signal_handler(signal.SIGUSR1, report)
            return loop
        """,
    "readers and writers": """
        def make():
            ours, theirs = socket.socketpair()
            loop.add_reader(ours, report)
            loop.add_writer(ours, report)
            return ours, theirs

        def use(sockets):
            loop.remove_reader(sockets[0])
        """,
}

BAD = re.compile(r"panic|Fatal|fatal|terminate|Current thread|not initialized")
ERRORS = re.compile(r"^(?:Exception ignored in.*|\w+(?:Error|Exception|Exit|Interrupt|Iteration)\b)", re.MULTILINE)


def outcome(source, *options):
    """Returns a program's output, how it ends, and the kinds of errors that it reports."""
    done = subprocess.run(
        [sys.executable, *options, "-c", textwrap.dedent(source)],
        capture_output=True,
        text=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    assert not BAD.search(done.stderr), done.stderr
    return done.returncode, done.stdout, done.stderr


def source_of(name, thing):
    return HEAD.format(name=name) + textwrap.dedent(OBJECTS[thing]) + TAIL


@pytest.mark.parametrize("thing", OBJECTS)
def test_objects_alive_at_the_end(thing):
    status, output, problems = outcome(source_of("asyncio", thing))
    our_status, our_output, our_problems = outcome(source_of("ferrio", thing))
    assert (our_status, our_output) == (status, output), our_problems
    assert {*ERRORS.findall(our_problems)} <= {*ERRORS.findall(problems)}, our_problems


# Threads

AT_WORK = """
import sys, threading, time
import {name} as asyncio

class Slow:
    # Lets the other threads run while the interpreter finalizes.
    def __init__(self):
        self.sleep = time.sleep

    def __del__(self):
        self.sleep(0.05)

slow = Slow()
begun = threading.Event()

def forever(*arguments):
    begun.set()
    while True:
        pass

def in_a_daemon(function, *arguments):
    threading.Thread(target=function, args=arguments, daemon=True).start()
"""

GOODBYE = """
begun.wait()
sys.exit(7)
"""

THREADS = {
    "callback that spins": """
        loop = asyncio.new_event_loop()
        in_a_daemon(loop.run_forever)
        loop.call_soon_threadsafe(forever)
        """,
    "callback that blocks": """
        def block():
            begun.set()
            time.sleep(0.02)

        loop = asyncio.new_event_loop()
        in_a_daemon(loop.run_forever)
        loop.call_soon_threadsafe(block)
        """,
    "tasks that spin": """
        async def main():
            begun.set()
            while True:
                await asyncio.sleep(0)

        for _ in range(3):
            in_a_daemon(lambda: asyncio.run(main()))
        """,
    "tasks that sleep": """
        async def main():
            while True:
                await asyncio.sleep(0.001)
                begun.set()

        for _ in range(3):
            in_a_daemon(lambda: asyncio.run(main()))
        """,
    "loop that waits": """
        loop = asyncio.new_event_loop()
        loop.call_soon(begun.set)
        in_a_daemon(loop.run_forever)
        """,
    "protocol at work": """
        class Busy(asyncio.Protocol):
            def data_received(self, data):
                forever()

        async def main():
            server = await asyncio.get_running_loop().create_server(Busy, "127.0.0.1", 0)
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            writer.write(b"x")
            await asyncio.sleep(10)

        in_a_daemon(lambda: asyncio.run(main()))
        """,
    "two loops that talk": """
        async def accepted(reader, writer):
            while data := await reader.readline():
                writer.write(data)
                await writer.drain()

        async def main():
            server = await asyncio.start_server(accepted, "127.0.0.1", 0)
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            while True:
                writer.write(b"x\\n")
                await reader.readline()
                begun.set()

        in_a_daemon(lambda: asyncio.run(main()))
        in_a_daemon(lambda: asyncio.run(main()))
        """,
    "comparison of items": """
        class Item:
            __lt__ = forever

        queue = asyncio.PriorityQueue()
        queue.put_nowait(Item())
        in_a_daemon(queue.put_nowait, Item())
        """,
    "watcher of tasks": """
        async def main():
            watched.set()
            while True:
                await asyncio.sleep(0)

        def watch():
            while True:
                for task in asyncio.all_tasks(loop):
                    repr(task)
                    task.get_stack()
                begun.set()

        watched = threading.Event()
        loop = asyncio.new_event_loop()
        in_a_daemon(loop.run_until_complete, main())
        watched.wait()
        in_a_daemon(watch)
        """,
    "call_soon_threadsafe": """
        def call():
            while True:
                loop.call_soon_threadsafe(begun.set)

        loop = asyncio.new_event_loop()
        in_a_daemon(loop.run_forever)
        in_a_daemon(call)
        """,
    "jobs of an executor": """
        async def main():
            while True:
                await asyncio.gather(*[asyncio.to_thread(int) for _ in range(4)])
                begun.set()

        def run():
            try:
                asyncio.run(main())
            except RuntimeError:  # no new jobs at the end
                forever()

        in_a_daemon(run)
        """,
    "callback of a future": """
        def finish():
            loop = asyncio.new_event_loop()
            future = loop.create_future()
            future.add_done_callback(forever)
            loop.call_soon(future.set_result, 1)
            loop.run_until_complete(future)

        in_a_daemon(finish)
        """,
    "repr of a result": """
        class Long:
            __repr__ = forever

        future = asyncio.new_event_loop().create_future()
        future.set_result(Long())
        in_a_daemon(repr, future)
        """,
}


@pytest.mark.parametrize("thread", THREADS)
def test_threads_at_work_at_the_end(thread):
    source = AT_WORK + textwrap.dedent(THREADS[thread]) + GOODBYE
    for name in "asyncio", "ferrio":
        status, output, problems = outcome(source.replace("{name}", name))
        assert (status, output) == (7, ""), (name, problems)


def test_file_thread_at_the_end():
    source = AT_WORK + textwrap.dedent(
        """
        async def main():
            async with asyncio.files.open("/dev/zero", "rb") as file:
                while True:
                    await file.read(1)
                    begun.set()

        in_a_daemon(lambda: asyncio.run(main()))
        """
    )
    status, output, problems = outcome((source + GOODBYE).replace("{name}", "ferrio"))
    assert (status, output) == (7, ""), problems


def test_foreign_threads_end_as_before():
    # The interpreter ends a thread that has no frame of ours, and joining that thread still works.
    source = """
        import ctypes
        import ferrio
        value = ctypes.c_void_p(1)
        libc = ctypes.CDLL(None)
        thread = ctypes.c_ulong()
        libc.pthread_create(ctypes.byref(thread), None, ctypes.pythonapi.PyThread_exit_thread, None)
        libc.pthread_join(thread, ctypes.byref(value))
        print(value.value)
        """
    assert outcome(source)[:2] == (0, "None\n")


def test_subinterpreter_with_a_shared_gil_leaves_nothing_behind():
    source = """
        import sys
        if sys.version_info >= (3, 13):
            import _interpreters as interpreters
            legacy = interpreters.create("legacy")
        else:
            import _xxsubinterpreters as interpreters
            legacy = interpreters.create(isolated=False)
        refused = "try: import ferrio\\nexcept ImportError as error: print(error, flush=True)"
        interpreters.run_string(legacy, refused)
        interpreters.destroy(legacy)
        import ferrio
        print(ferrio.run(ferrio.sleep(0, 1)))
        """
    status, output, problems = outcome(source)
    assert (status, output.splitlines()[-1]) == (0, "1"), problems
    assert output.startswith("ferrio can't be imported in a subinterpreter")
