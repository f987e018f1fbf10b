"""`install()` puts ferrio's names into asyncio; `uninstall()` leaves asyncio as it was."""

import asyncio
import asyncio.runners
import contextlib
import importlib
import pkgutil
import subprocess
import sys

import pytest
from tests.unit.programs import run_program

import ferrio


@pytest.fixture
def installed():
    ferrio.install()
    yield
    ferrio.uninstall()


def modules():
    """Returns the asyncio package and those of its modules that can be imported here."""
    yield asyncio
    for found in pkgutil.iter_modules(asyncio.__path__):
        if found.name != "__main__":
            try:
                yield importlib.import_module(f"asyncio.{found.name}")
            except ImportError:  # Windows only
                continue


def snapshot():
    return {module.__name__: dict(vars(module)) for module in list(modules())}


def test_uninstall_leaves_everything_as_it_was():
    before = snapshot()
    ferrio.install()
    ferrio.uninstall()
    assert snapshot() == before


def test_both_can_be_called_twice():
    before = snapshot()
    ferrio.uninstall()
    assert snapshot() == before
    ferrio.install()
    once = snapshot()
    ferrio.install()
    assert snapshot() == once
    ferrio.uninstall()
    ferrio.uninstall()
    assert snapshot() == before


def test_every_name_is_ferrios(installed):
    ours = set(ferrio.__all__) & set(vars(asyncio))
    assert {"Task", "Future", "Queue", "Lock", "gather", "run", "Runner", "wait_for", "TaskGroup", "sleep"} <= ours
    for name in ours:
        assert getattr(asyncio, name) is getattr(ferrio, name), name
    for name in ours:
        assert name in asyncio.__all__


def test_names_in_submodules_are_ferrios(installed):
    assert asyncio.tasks.Task is ferrio.Task
    assert asyncio.futures.Future is ferrio.Future
    assert asyncio.queues.Queue is ferrio.Queue
    assert asyncio.locks.Lock is ferrio.Lock
    assert asyncio.runners.run is ferrio.run
    assert asyncio.events.new_event_loop is ferrio.new_event_loop
    assert asyncio.SelectorEventLoop is ferrio.EventLoop


def test_names_of_newer_pythons_are_there(installed):
    assert asyncio.QueueShutDown is ferrio.QueueShutDown
    assert asyncio.capture_call_graph is ferrio.capture_call_graph
    assert asyncio.eager_task_factory is ferrio.eager_task_factory


def test_asyncio_gets_no_names_that_only_ferrio_has(installed):
    for name in ("install", "uninstall", "EventLoopPolicy"):
        assert not hasattr(asyncio, name)


def test_program_runs_on_ferrio(installed):
    async def main():
        queue = asyncio.Queue()
        async with asyncio.TaskGroup() as group:
            group.create_task(queue.put(1))
            item = await queue.get()
        return item, type(asyncio.current_task()), asyncio.get_running_loop()

    item, task_type, loop = asyncio.run(main())
    assert (item, task_type) == (1, ferrio.Task)
    assert isinstance(loop, ferrio.EventLoop)


def test_names_imported_before_work(installed):
    # Names that a library imported before: the standard functions also make ferrio's loops.
    program = """
import asyncio
from asyncio import Lock, Queue, new_event_loop, run, sleep, wait_for
import ferrio
ferrio.install()

async def main():
    queue, lock = Queue(), Lock()
    async with lock:
        asyncio.get_running_loop().call_later(0.01, queue.put_nowait, "item")
        return await wait_for(queue.get(), 60), await sleep(0, "slept"), asyncio.get_running_loop()

item, slept, loop = run(main())
print(item, slept, isinstance(loop, ferrio.EventLoop), isinstance(new_event_loop(), ferrio.EventLoop))
"""
    assert run_program(program, options=("-W", "ignore")) == "item slept True True\n"


class LoopOfALibrary(asyncio.SelectorEventLoop):
    """A loop class based on the standard library's, as a library may have from before `install()`."""


@pytest.mark.parametrize("debug", [False, True])
def test_standard_loops_made_before_go_on(debug):
    # This happened in a notebook's kernel, whose other threads have loops when an extension calls install().
    loop = LoopOfALibrary()
    loop.set_debug(debug)

    async def echo(reader, writer):
        writer.write((await reader.readline()).upper())
        writer.close()

    async def main():
        await asyncio.sleep(0.001)
        future = loop.create_future()
        loop.call_soon_threadsafe(loop.call_later, 0.001, future.set_result, "timer")
        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        async with server, asyncio.timeout(30), asyncio.TaskGroup() as group:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
            writer.write(b"hello\n")
            line = group.create_task(asyncio.wait_for(reader.readline(), 30))
            in_thread = group.create_task(asyncio.to_thread(len, "four"))
            child = await asyncio.create_subprocess_exec(sys.executable, "-c", "print(1)", stdout=subprocess.PIPE)
            output, _ = await child.communicate()
        writer.close()
        return await future, line.result(), in_thread.result(), output, asyncio.get_running_loop() is loop

    ferrio.install()
    try:
        with contextlib.closing(loop):
            assert loop.run_until_complete(main()) == ("timer", b"HELLO\n", 4, b"1\n", True)
            loop.run_until_complete(loop.shutdown_default_executor())
    finally:
        ferrio.uninstall()


def test_nothing_warns():
    program = "import ferrio; ferrio.install(); import asyncio; asyncio.run(asyncio.sleep(0)); ferrio.uninstall()"
    assert run_program(program, options=("-W", "error")) == ""


WRAPPED = """
import asyncio, functools

calls = []

def wrap(owner, name, wraps):
    original = getattr(owner, name)

    def wrapper(*arguments, **keywords):
        calls.append(name)
        return original(*arguments, **keywords)

    setattr(owner, name, wraps(original)(wrapper))

async def child():
    await asyncio.sleep(0)
    return type(asyncio.get_running_loop()).__module__.partition(".")[0]

async def main():
    async with asyncio.TaskGroup() as group:
        group.create_task(child())
    results = await asyncio.gather(asyncio.wait_for(child(), 10), asyncio.create_task(child()))
    return results, sorted(calls)
"""


@pytest.mark.parametrize("wraps", ["functools.wraps", "lambda original: lambda wrapper: wrapper"])
def test_what_was_wrapped_before_stays(wraps):
    # As `opentelemetry-instrument python -m ferrio app.py` does.
    print(
        run_program(
            WRAPPED
            + f"""
wraps = {wraps}
wrap(asyncio, "create_task", wraps)
wrap(asyncio, "gather", wraps)
wrap(asyncio, "wait_for", wraps)
wrap(asyncio.TaskGroup, "create_task", wraps)
before = asyncio.gather

import ferrio
ferrio.install()
assert asyncio.run(main()) == (["ferrio", "ferrio"], ["create_task", "create_task", "gather", "wait_for"])
assert asyncio.sleep is ferrio.sleep
ferrio.uninstall()
assert asyncio.gather is before
"""
        )
    )
