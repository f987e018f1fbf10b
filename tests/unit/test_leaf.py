"""The innermost name: where a task's stack ends while it waits, in every tool that shows it.

A native operation has no frame. Its name, file and line are asyncio's: in call graphs, `Task.get_stack`, tracebacks,
and, under observation, for a reader of another process's memory. Every coroutine function of asyncio is compared that
can be made to wait.
"""

import asyncio
import contextlib
import gc
import inspect
import io
import itertools
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
import types
import warnings
from unittest import mock

import pytest
from tests.unit import test_functions as functions
from tests.unit.programs import run_program

import ferrio

# ---- a wait in every coroutine function


class Waits:
    """Makes coroutines of one implementation that wait for ever. `close` frees what they need."""

    def __init__(self, aio):
        self.aio = aio
        self.loop = aio.get_running_loop()
        self._stack = contextlib.AsyncExitStack()

    async def close(self):
        await self._stack.aclose()

    def enter(self, manager):
        return self._stack.enter_context(manager)

    def open(self, opened):
        opened.setblocking(False)
        return self.enter(opened)

    def socket(self):
        ours, theirs = socket.socketpair()
        self.enter(theirs)
        return self.open(ours)

    def full_socket(self):
        ours = self.socket()
        with contextlib.suppress(BlockingIOError):
            while True:
                ours.send(bytes(1 << 16))
        return ours

    def tcp_socket(self):
        return self.open(socket.socket())

    def datagram_socket(self):
        opened = self.open(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        opened.bind("")  # the system chooses a name
        return opened

    def listener(self, backlog=None):
        return self.open(socket.create_server(("127.0.0.1", 0), backlog=backlog))

    def reader(self):
        return self.aio.StreamReader()

    async def taken(self, lock):
        await lock.acquire()
        return lock

    def never(self):
        return self.loop.create_future()

    def thread(self):
        """A function that a thread runs until the end of the test."""
        done = threading.Event()
        self._stack.callback(done.set)
        return lambda *_: done.wait()


async def queue_get(w):
    return w.aio.Queue().get()


async def queue_put(w):
    queue = w.aio.Queue(1)
    queue.put_nowait(None)
    return queue.put(None)


async def queue_join(w):
    queue = w.aio.Queue()
    queue.put_nowait(None)
    return queue.join()


async def sleep(w):
    return w.aio.sleep(3600)


async def wait(w):
    return w.aio.wait([w.never()])


async def wait_for(w):
    return w.aio.wait_for(w.never(), 3600)


async def wait_for_without_a_limit(w):
    return w.aio.wait_for(w.never(), None)


async def wait_for_a_queue(w):
    return w.aio.wait_for(w.aio.Queue().get(), 3600)


async def wait_for_a_coroutine(w):
    async def inner():
        await w.aio.Event().wait()

    return w.aio.wait_for(inner(), 3600)


async def wait_for_no_time(w):
    async def stubborn():
        with contextlib.suppress(asyncio.CancelledError):
            await w.never()
        await w.never()

    task = w.aio.create_task(stubborn())
    await w.aio.sleep(0)
    w._stack.callback(task.cancel)
    return w.aio.wait_for(task, 0)


async def event_wait(w):
    return w.aio.Event().wait()


async def lock_acquire(w):
    return (await w.taken(w.aio.Lock())).acquire()


async def lock_enter(w):
    return (await w.taken(w.aio.Lock())).__aenter__()


async def semaphore_acquire(w):
    return w.aio.Semaphore(0).acquire()


async def semaphore_enter(w):
    return w.aio.BoundedSemaphore(0).__aenter__()


async def condition_wait(w):
    return (await w.taken(w.aio.Condition())).wait()


async def condition_wait_for(w):
    return (await w.taken(w.aio.Condition())).wait_for(lambda: False)


async def condition_enter(w):
    return (await w.taken(w.aio.Condition())).__aenter__()


async def barrier_wait(w):
    return w.aio.Barrier(2).wait()


async def barrier_enter(w):
    return w.aio.Barrier(2).__aenter__()


async def task_group_exit(w):
    async def child():
        await w.never()

    async def body():
        async with w.aio.TaskGroup() as group:
            group.create_task(child())

    return body()


async def as_completed(w):
    (first,) = w.aio.as_completed([w.never()])
    return first


async def read(w):
    return w.reader().read(1)


async def read_to_the_end(w):
    return w.reader().read()


async def readline(w):
    return w.reader().readline()


async def readexactly(w):
    return w.reader().readexactly(1)


async def readuntil(w):
    return w.reader().readuntil()


async def next_line(w):
    return w.reader().__anext__()


async def connected(w):
    reader, writer = await w.aio.open_connection(sock=w.socket())
    w._stack.callback(lambda: writer.transport.abort())
    return reader, writer


async def drain(w):
    _, writer = await connected(w)
    while not writer.transport.get_protocol()._paused:
        writer.write(bytes(1 << 16))
    return writer.drain()


async def wait_closed(w):
    _, writer = await connected(w)
    return writer.wait_closed()


async def sock_recv(w):
    return w.loop.sock_recv(w.socket(), 1)


async def sock_recv_into(w):
    return w.loop.sock_recv_into(w.socket(), bytearray(1))


async def sock_recvfrom(w):
    return w.loop.sock_recvfrom(w.socket(), 1)


async def sock_recvfrom_into(w):
    return w.loop.sock_recvfrom_into(w.socket(), bytearray(1))


async def sock_sendall(w):
    return w.loop.sock_sendall(w.full_socket(), b"more")


async def sock_accept(w):
    return w.loop.sock_accept(w.listener())


async def sock_connect(w):
    crowded = w.listener(backlog=0)
    for _ in range(4):  # more than the system lets wait
        with contextlib.suppress(BlockingIOError):
            w.tcp_socket().connect(crowded.getsockname())
    return w.loop.sock_connect(w.tcp_socket(), crowded.getsockname())


async def sock_sendto(w):
    full = w.datagram_socket()
    address = full.getsockname()
    sender = w.datagram_socket()
    sender.connect(address)  # otherwise it is always ready, and the task tries again and again
    with contextlib.suppress(BlockingIOError):
        while True:
            sender.sendto(b"more", address)
    return w.loop.sock_sendto(sender, b"more", address)


async def sock_sendfile(w):
    file = w.enter(tempfile.TemporaryFile())  # noqa: SIM115
    file.write(bytes(1 << 10))
    file.seek(0)
    return w.loop.sock_sendfile(w.full_socket(), file)


async def getaddrinfo(w):
    w.enter(mock.patch("socket.getaddrinfo", w.thread()))
    return w.loop.getaddrinfo("example.org", 80)


async def getnameinfo(w):
    w.enter(mock.patch("socket.getnameinfo", w.thread()))
    return w.loop.getnameinfo(("127.0.0.1", 80))


async def server(w):
    server = await w.aio.start_server(lambda reader, writer: None, "127.0.0.1")
    w._stack.callback(server.close)
    return server


async def serve_forever(w):
    return (await server(w)).serve_forever()


async def server_wait_closed(w):
    return (await server(w)).wait_closed()


async def to_thread(w):
    return w.aio.to_thread(w.thread())


async def process(w):
    process = await w.aio.create_subprocess_exec("sleep", "3600", stdout=subprocess.PIPE)
    w._stack.push_async_callback(process.communicate)
    w._stack.callback(process.kill)
    return process


async def process_wait(w):
    return (await process(w)).wait()


async def process_communicate(w):
    return (await process(w)).communicate()


WAITS = {
    function.__name__: function
    for function in (
        queue_get,
        queue_put,
        queue_join,
        sleep,
        wait,
        wait_for,
        wait_for_without_a_limit,
        wait_for_a_queue,
        wait_for_a_coroutine,
        wait_for_no_time,
        event_wait,
        lock_acquire,
        lock_enter,
        semaphore_acquire,
        semaphore_enter,
        condition_wait,
        condition_wait_for,
        condition_enter,
        barrier_wait,
        barrier_enter,
        task_group_exit,
        as_completed,
        read,
        read_to_the_end,
        readline,
        readexactly,
        readuntil,
        next_line,
        drain,
        wait_closed,
        sock_recv,
        sock_recv_into,
        sock_recvfrom,
        sock_recvfrom_into,
        sock_sendall,
        sock_accept,
        sock_connect,
        sock_sendto,
        sock_sendfile,
        getaddrinfo,
        getnameinfo,
        serve_forever,
        server_wait_closed,
        to_thread,
        process_wait,
        process_communicate,
    )
}

# ferrio's are the newest asyncio's on every Python; before these versions asyncio's waited in other functions.
NEW = {
    "wait_for": (3, 12),
    "wait_for_without_a_limit": (3, 12),
    "wait_for_a_queue": (3, 12),
    "wait_for_a_coroutine": (3, 12),
    "wait_for_no_time": (3, 12),
    "as_completed": (3, 13),
}
WAITS = {name: make for name, make in WAITS.items() if sys.version_info >= NEW.get(name, (3, 11))}


@pytest.fixture(params=WAITS)
def make(request):
    return WAITS[request.param]


@contextlib.asynccontextmanager
async def waiting(aio, make, wrapped=True):
    """A task that waits in the coroutine that `make` makes: by an `await`, or as the task's own coroutine."""
    waits = Waits(aio)
    coroutine = await make(waits)

    async def body():
        await coroutine

    task = aio.create_task(body() if wrapped else coroutine)
    try:
        for _ in range(10):
            await aio.sleep(0)
        assert not task.done()
        yield task
    finally:
        task.cancel()
        await aio.wait([task])
        await waits.close()


def places(frames):
    """Condenses frames to the name of each function, its file, and the line."""
    return [(frame.f_code.co_qualname, frame.f_code.co_filename, frame.f_lineno) for frame in frames]


PACKAGE = os.path.dirname(ferrio.__file__)


def assert_same(ours, theirs):
    """The names, files and lines are the same, but a function that ferrio has in Python is in its own file."""
    assert [name for name, _, _ in ours] == [name for name, _, _ in theirs]
    own = [os.path.dirname(file) == PACKAGE for _, file, _ in ours]
    assert [where for of_ours, where in zip(own, ours, strict=True) if not of_ours] == [
        where for of_ours, where in zip(own, theirs, strict=True) if not of_ours
    ]


def on_both(body, make, **options):
    """Runs `body(aio, make)` on ferrio and on asyncio, and compares the places that it returns."""
    theirs = asyncio.run(body(asyncio, make), **options)
    ours = ferrio.run(body(ferrio, make), **options)
    assert theirs
    assert_same(ours, theirs)


# The coroutine functions of asyncio that have no wait here.
NEVER_SUSPEND = {
    "AbstractServer.__aenter__",
    "Barrier.__aexit__",
    "Barrier._release",
    "Process._noop",
    "Server.start_serving",
    "TaskGroup.__aenter__",
    "Timeout.__aenter__",
    "Timeout.__aexit__",
    "_ContextManagerMixin.__aexit__",
}
# These wait in functions that are compared here, or for a moment for a handshake, a child's start or another thread.
MAKE_OTHERS_WAIT = {
    "AbstractServer.__aexit__",
    "Barrier._block",
    "Barrier.abort",
    "Barrier.reset",
    "BaseEventLoop.connect_accepted_socket",
    "BaseEventLoop.connect_read_pipe",
    "BaseEventLoop.connect_write_pipe",
    "BaseEventLoop.create_connection",
    "BaseEventLoop.create_datagram_endpoint",
    "BaseEventLoop.create_server",
    "BaseEventLoop.sendfile",
    "BaseEventLoop.shutdown_asyncgens",
    "BaseEventLoop.shutdown_default_executor",
    "BaseEventLoop.start_tls",
    "BaseEventLoop.subprocess_exec",
    "BaseEventLoop.subprocess_shell",
    "BaseSelectorEventLoop._sendfile_native",
    "Process._feed_stdin",
    "Process._read_stream",
    "StreamWriter.start_tls",
    "_UnixSelectorEventLoop._make_subprocess_transport",
    "_UnixSelectorEventLoop.create_unix_connection",
    "_UnixSelectorEventLoop.create_unix_server",
    "create_subprocess_exec",
    "create_subprocess_shell",
    "open_connection",
    "open_unix_connection",
    "start_server",
    "start_unix_server",
}


def test_every_coroutine_function_is_compared():
    known = [getattr(asyncio, name) for name in functions._FUNCTIONS]
    known += [parameter.values[0] for parameter in functions._methods()]
    known = {function.__qualname__ for function in known if inspect.iscoroutinefunction(function)}
    compared = {name for make in WAITS.values() for name, _, _ in asyncio.run(call_graph(asyncio, make))}
    # NEW has the names of functions here, too.
    assert known - compared - NEVER_SUSPEND - MAKE_OTHERS_WAIT - (set(NEW) - set(WAITS)) == set()


# ---- while nobody observes


async def call_graph(aio, make):
    async with waiting(aio, make) as task:
        return places(entry.frame for entry in ferrio.capture_call_graph(task).call_stack)


def test_call_graph_ends_in_asyncios_name(make):
    on_both(call_graph, make)


@pytest.mark.skipif(sys.version_info < (3, 14), reason="asyncio has call graphs from 3.14 on")
def test_asyncios_call_graph_ends_in_the_same_name(make):
    async def printed(aio, make):
        async with waiting(aio, make) as task:
            text = asyncio.format_call_graph(task)
            lines = [line.split("'") for line in text.splitlines() if "File" in line]
            return [(after.split("in ")[1], file, after.split("line ")[1].split(",")[0]) for _, file, after in lines]

    on_both(printed, make)


def test_stack_of_a_task_that_runs_nothing_else(make):
    async def stack(aio, make):
        async with waiting(aio, make, wrapped=False) as task:
            text = io.StringIO()
            task.print_stack(file=text)
            frames = task.get_stack()
            for frame in frames:
                assert f"line {frame.f_lineno}, in {frame.f_code.co_name}\n" in text.getvalue()
            return places(frames)

    on_both(stack, make)


def test_frame_ends_with_the_operation(aio, run):
    async def main():
        event = aio.Event()
        coroutine = event.wait()
        frame = coroutine.cr_frame
        assert frame.f_code is coroutine.cr_code
        assert frame.f_lineno == coroutine.cr_code.co_firstlineno
        task = aio.create_task(coroutine)
        await aio.sleep(0)
        waiting = coroutine.cr_frame
        assert waiting is coroutine.cr_frame
        assert waiting.f_lineno > waiting.f_code.co_firstlineno
        event.set()
        await task
        assert coroutine.cr_frame is None

    run(main())


def test_looking_at_a_new_operation_reports_nothing():
    coroutine = ferrio.Queue().get()
    assert coroutine.cr_frame is not None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        coroutine.close()
        del coroutine
        gc.collect()
    assert caught == []


def test_looking_changes_nothing(make):
    async def main(aio):
        async with waiting(aio, make) as task:
            waiter = task._fut_waiter
            for _ in range(2):
                ferrio.capture_call_graph(task)
            assert task._fut_waiter is waiter
            assert not task.done()
        assert task.cancelled()

    ferrio.run(main(ferrio))
    gc.collect()


# ---- under observation


@pytest.fixture
def observed():
    ferrio.observe()
    yield
    ferrio.observe(False)


@pytest.mark.parametrize("on", [False, True], ids=["unobserved", "observed"])
def test_walk_from_coroutine_to_coroutine(make, on):
    async def walk(aio, make):
        async with waiting(aio, make) as task:
            frames = []
            awaited = task.get_coro()
            while inspect.iscoroutine(awaited):
                frames.append(awaited.cr_frame)
                awaited = awaited.cr_await
            return places(frames)

    ferrio.observe(on)
    try:
        on_both(walk, make)
    finally:
        ferrio.observe(False)


def test_observed_operation_that_is_never_awaited_warns_once():
    def warned(aio):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for make in (aio.Queue().get, aio.Barrier(1).wait, lambda: aio.sleep(0)):
                make()
                make().close()
            gc.collect()
        return [str(warning.message) for warning in caught]

    ferrio.observe()
    try:
        assert warned(ferrio) == warned(asyncio)
    finally:
        ferrio.observe(False)


def followed(task):
    """The frames that a reader of memory finds: it only follows objects that are exactly coroutines."""
    frames = []
    awaited = task.get_coro()
    while type(awaited) is types.CoroutineType:
        frames.append(awaited.cr_frame)
        awaited = awaited.cr_await
    return places(frames)


async def read_from_memory(aio, make):
    async with waiting(aio, make) as task:
        return followed(task)


def test_observed_wait_is_made_of_coroutines(observed, make):
    on_both(read_from_memory, make)


def test_debug_mode_observes(make):
    on_both(read_from_memory, make, debug=True)


def test_observed_call_graph_has_no_name_twice(observed, make):
    on_both(call_graph, make)


async def cancelled(aio, make):
    async with waiting(aio, make) as task:
        task.cancel()
        try:
            await task
        except asyncio.CancelledError as error:
            trace = [place for place, _ in traceback.walk_tb(error.__traceback__)]
            lines = [line for _, line in traceback.walk_tb(error.__traceback__)]
            found = list(zip(places(trace), lines, strict=True))
            found = [(name, file, line) for (name, file, _), line in found if name != "cancelled"]
            # A function that catches the cancellation and raises it again appears twice.
            return [place for place, inner in itertools.pairwise([*found, None]) if not inner or place[:2] != inner[:2]]


def test_traceback_of_a_cancelled_wait_in_debug_mode(make):
    on_both(cancelled, make, debug=True)


def test_observed_operation_that_asyncio_lacks(observed, tmp_path):
    async def main():
        async with ferrio.open(tmp_path / "file", "w") as file:
            coroutine = file.write("text")
            assert (type(coroutine), coroutine.__qualname__) == (types.CoroutineType, "File.write")
            await coroutine
            with pytest.raises(io.UnsupportedOperation):
                await file.read()

    ferrio.run(main())


def test_install_hides_no_name():
    assert run_program(
        """
        import asyncio, sys
        import ferrio

        ferrio.install()
        ferrio.observe()

        async def main():
            for coroutine in asyncio.Queue().get(), asyncio.sleep(0), asyncio.wait_for(asyncio.Future(), 1):
                print(coroutine.cr_code.co_qualname, coroutine.cr_code.co_filename.rpartition("/")[2])
                coroutine.close()

        asyncio.run(main())
        """
    ).splitlines() == ["Queue.get queues.py", "sleep tasks.py", "wait_for tasks.py"]


# ---- what another process sees

WATCHED = """
import asyncio, sys
import ferrio
from tests.unit import test_leaf

aio = {"asyncio": asyncio, "ferrio": ferrio}[sys.argv[1]]

async def main():
    async with test_leaf.contextlib.AsyncExitStack() as stack:
        for number, make in enumerate(test_leaf.WAITS.values()):
            task = await stack.enter_async_context(test_leaf.waiting(aio, make))
            task.set_name(f"w{number}")
        print("ready", flush=True)
        await aio.to_thread(sys.stdin.read)

{"asyncio": asyncio, "ferrio": ferrio}[sys.argv[2]].run(main())
"""


def rows_of(waits_of, loop_of):
    """What `python -m asyncio ps` shows of a process that waits in everything: each task's stack, by its name."""
    child = subprocess.Popen(
        [sys.executable, "-c", WATCHED, waits_of, loop_of],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "FERRIO_OBSERVE": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    with child:
        try:
            assert child.stdout.readline() == "ready\n"
            shown = subprocess.run(
                [sys.executable, "-m", "asyncio", "ps", str(child.pid)], capture_output=True, text=True, timeout=60
            )
        finally:
            child.stdin.close()
        assert child.wait(60) == 0
    if "Operation not permitted" in shown.stderr or "Permission denied" in shown.stderr:
        pytest.skip("this system doesn't let a process read the memory of its child")
    assert shown.returncode == 0, shown.stderr
    # A column that is too long for its place moves the others, but two spaces separate all of them.
    rows = [re.split(r"\s{2,}", line) for line in shown.stdout.splitlines()]
    stacks = {row[2]: row[3] for row in rows if len(row) > 3}
    return {name: stacks.get(f"w{number}") for number, name in enumerate(WAITS)}


@pytest.mark.skipif(sys.version_info < (3, 14), reason="`python -m asyncio ps` came with 3.14")
@pytest.mark.parametrize("loop_of", ["asyncio", "ferrio"])
def test_ps_shows_the_innermost_name(loop_of):
    ours, theirs = rows_of("ferrio", loop_of), rows_of("asyncio", "asyncio")
    assert all(theirs.values())
    assert ours == theirs
