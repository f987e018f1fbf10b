"""What a task waits for, in words. A call in a thread, such as a slow look-up of a name, has its arguments."""

import asyncio
import socket
import threading

import pytest
from tests.unit.programs import run_program

import ferrio
from ferrio.sight import waits


class Held:
    """A function that holds its thread until it is let go."""

    def __init__(self):
        self.began = threading.Semaphore(0)
        self._go = threading.Event()

    def __call__(self, *arguments, **keywords):
        self.began.release()
        self._go.wait()
        return []

    def let_go(self):
        self._go.set()


@pytest.fixture
def held():
    held = Held()
    yield held
    held.let_go()


def sentence_while(held, wait, threads=1, busy=1):
    """Runs `wait()` as a task until `busy` threads are held, and returns what is said of the task then."""

    async def main():
        loop = ferrio.get_running_loop()
        loop.set_default_executor(ferrio.ThreadPool(threads))
        tasks = [asyncio.ensure_future(wait(loop), loop=loop) for _ in range(busy)]
        await ferrio.sleep(0)  # each asks for its thread
        for _ in range(min(threads, busy)):
            held.began.acquire()
        said = [waits.sentence(task, tasks) for task in tasks]
        held.let_go()
        await ferrio.gather(*tasks)
        return said

    return ferrio.run(main())


def test_a_function_in_a_thread(held):
    def measure(sensor):
        return held(sensor)

    async def wait(_loop):
        await ferrio.to_thread(measure, "cellar")

    (said,) = sentence_while(held, wait)
    assert said == f"It waits in `to_thread` for a thread that runs {measure.__qualname__}('cellar')."


def test_a_function_in_an_executor(held):
    def measure(sensor):
        return held(sensor)

    async def wait(loop):
        await loop.run_in_executor(None, measure, "cellar")

    (said,) = sentence_while(held, wait)
    assert said == f"It waits for a thread that runs {measure.__qualname__}('cellar')."


def test_a_slow_look_up(held, monkeypatch):
    monkeypatch.setattr(socket, "getaddrinfo", lambda *arguments: held(*arguments))

    async def wait(loop):
        await loop.getaddrinfo("db.example.org", 5432)

    (said,) = sentence_while(held, wait)
    assert said.startswith("It waits in `BaseEventLoop.getaddrinfo` for a thread that runs ")
    assert "('db.example.org', 5432, " in said


def test_a_call_that_waits_for_a_free_thread(held):
    async def wait(_loop):
        await ferrio.to_thread(held)

    said = sentence_while(held, wait, threads=1, busy=3)
    assert "for a thread that runs " in said[0]
    assert said[1:] == ["It waits in `to_thread` for a free thread: 1 run functions, and 2 call(s) wait."] * 2


def test_arguments_whose_repr_fails_or_is_long():
    class Rude:
        def __repr__(self):
            raise ZeroDivisionError

    text = waits.call_text(print, [Rude(), "x" * 1000])
    assert text.startswith("print(<Rude instance at 0x") and len(text) < 100


SLOW_LOOK_UP = """
    import asyncio, os, signal, socket, threading

    go = threading.Event()

    def slow(host, *rest):
        # The loop does it when it has left the task's step.
        loop.call_soon_threadsafe(os.kill, os.getpid(), signal.SIGUSR1)
        loop.call_soon_threadsafe(go.set)
        go.wait()
        return []

    socket.getaddrinfo = slow

    async def connect():
        await asyncio.open_connection("db.example.org", 5432)

    async def main():
        global loop
        loop = asyncio.get_running_loop()
        task = asyncio.create_task(connect(), name="connect")
        await asyncio.wait([task])
        task.exception()

    asyncio.run(main())
"""


def test_a_connection_that_waits_for_a_slow_look_up(tmp_path):
    options = ("-m", "ferrio", "--dump-signal=USR1")
    said = run_program(SLOW_LOOK_UP, file=tmp_path / "app.py", options=options)
    assert "- task 'connect' (connect): It waits in `BaseEventLoop.getaddrinfo` for a thread that runs" in said
    assert "slow('db.example.org', 5432, " in said
