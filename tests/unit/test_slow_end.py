"""What `run()` waits for at its end is reported by name: tasks that swallow their cancellation, generators, threads.

The things that end slowly wait for their report, so no test depends on the machine's speed.
"""

import asyncio
import logging
import queue
import sys
import threading

import pytest

import ferrio
from ferrio import _slow_end, sight

# Far more than any report takes; reached only by a failing test.
PATIENCE = 50


class Reports(logging.Handler):
    """Collects reports; both a coroutine and a thread can wait for one."""

    def __init__(self):
        super().__init__(logging.WARNING)
        self.all = []
        self.seen = threading.Event()
        self.more = queue.SimpleQueue()

    def emit(self, record):
        text = record.getMessage()
        if "still waiting for" in text:
            self.all.append(text)
            self.more.put(text)
            self.seen.set()

    async def wait(self, count=1):
        while len(self.all) < count:
            await ferrio.sleep(0.005)


@pytest.fixture
def reports(monkeypatch):
    monkeypatch.setattr(_slow_end, "FIRST_REPORT", 0.05)
    handler = Reports()
    logging.getLogger("asyncio").addHandler(handler)
    yield handler
    logging.getLogger("asyncio").removeHandler(handler)


def run_with(coroutine, name="the culprit", **options):
    """Runs a program that leaves this task behind."""

    async def main():
        ferrio.create_task(coroutine, name=name)
        await ferrio.sleep(0)

    ferrio.run(main(), **options)


def test_a_task_that_is_handling_its_cancellation(reports):
    async def stubborn():
        try:
            await ferrio.Future()
        except ferrio.CancelledError:
            await reports.wait()

    run_with(stubborn())
    said = reports.all[0]
    assert "run() is still waiting for 1 cancelled task(s):" in said
    assert "name='the culprit'" in said
    first = stubborn.__code__.co_firstlineno
    assert f"It caught CancelledError in stubborn, at {__file__}:{first + 2}." in said
    assert f"line {first + 4}, in stubborn" in said
    assert "await reports.wait()" in said
    assert "It waits in `sleep`." in said


def swallows(reports):
    async def swallowing():
        try:
            await ferrio.Future()
        except ferrio.CancelledError:
            pass
        await reports.wait()

    return swallowing


@pytest.mark.skipif(sys.version_info < (3, 12), reason="Python 3.11 can't tell where it was caught")
@pytest.mark.parametrize("how", ["debug", "watched"])
def test_a_task_that_has_swallowed_its_cancellation(how, reports):
    swallowing = swallows(reports)
    if how == "debug":
        run_with(swallowing(), debug=True)
    else:
        with sight.watch(100):
            run_with(swallowing())
    first = swallowing.__code__.co_firstlineno
    assert f"It caught CancelledError in swallowing, at {__file__}:{first + 3}." in reports.all[0]


def test_where_it_stands_is_said_in_any_case(reports):
    swallowing = swallows(reports)
    run_with(swallowing())
    assert f"line {swallowing.__code__.co_firstlineno + 5}, in swallowing" in reports.all[0]
    assert "It caught" not in reports.all[0]


def test_a_frame_that_raises_it_again_is_not_blamed(reports):
    async def inner():
        try:
            await ferrio.Future()
        finally:
            await ferrio.sleep(0)

    async def outer():
        try:
            await inner()
        except ferrio.CancelledError:
            pass
        await reports.wait()

    run_with(outer(), debug=True)
    said = reports.all[0]
    assert "in inner" not in said
    assert "in outer" in said


def test_a_task_that_waits_for_another_and_for_a_lock(reports):
    lock = ferrio.Lock()

    async def holder():
        async with lock:
            try:
                await ferrio.Future()
            except ferrio.CancelledError:
                await reports.wait()

    async def stuck():
        try:
            await ferrio.Future()
        except ferrio.CancelledError:
            async with lock:
                pass

    async def main():
        ferrio.create_task(holder(), name="holder")
        ferrio.create_task(stuck(), name="stuck")
        await ferrio.sleep(0)

    ferrio.run(main())
    assert "2 cancelled task(s)" in reports.all[0]
    assert "It waits in `async with` for" in reports.all[0]
    assert "held by task 'holder' (test_a_task_that_waits_for_another_and_for_a_lock.<locals>.holder)" in reports.all[0]


def test_reports_are_repeated_with_growing_distances(reports):
    async def stubborn():
        try:
            await ferrio.Future()
        except ferrio.CancelledError:
            await reports.wait(3)

    run_with(stubborn())
    assert len(reports.all) == 3


def test_an_asynchronous_generator_that_does_not_close(reports):
    async def slow_generator():
        try:
            yield 1
        finally:
            await reports.wait()

    async def main():
        generator = slow_generator()
        kept.append(generator)
        await anext(generator)

    kept = []
    ferrio.run(main())
    assert "1 asynchronous generator(s), which must close:" in reports.all[0]
    assert "slow_generator" in reports.all[0]
    assert "await reports.wait()" in reports.all[0]


def test_a_function_in_a_thread_that_does_not_end(reports):
    def endless():
        assert reports.seen.wait(PATIENCE)

    async def main():
        ferrio.get_running_loop().run_in_executor(None, endless)

    ferrio.run(main())
    assert "functions in an executor: <function" in reports.all[0]
    assert "endless" in reports.all[0] and "assert reports.seen.wait(PATIENCE)" in reports.all[0]


def test_a_closed_server_with_open_connections(reports):
    async def main():
        loop = ferrio.get_running_loop()
        server = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0)
        _, writer = await ferrio.open_connection(*server.sockets[0].getsockname())
        while not server._clients:
            await ferrio.sleep(0)
        server.close()
        closed = ferrio.create_task(server.wait_closed())
        await reports.wait()
        address = writer.get_extra_info("sockname")
        writer.close()
        await closed
        return address

    address = ferrio.run(main(), debug=True)
    assert "Server.wait_closed() is still waiting for 1 open connection(s):" in reports.all[0]
    assert f"whose peer is {address!r}" in reports.all[0]


def test_a_quick_end_says_nothing(reports, monkeypatch):
    monkeypatch.setattr(_slow_end, "FIRST_REPORT", PATIENCE)

    async def main():
        ferrio.create_task(ferrio.sleep(60))
        await ferrio.to_thread(int)

    ferrio.run(main())
    assert reports.all == []


def test_a_virtual_clock_that_jumps_is_no_slow_end(reports, monkeypatch):
    # Virtual time passes this limit, real time doesn't.
    monkeypatch.setattr(_slow_end, "FIRST_REPORT", PATIENCE)

    async def patient():
        try:
            await ferrio.sleep(1000)
        finally:
            await ferrio.sleep(1000)

    async def main():
        ferrio.create_task(patient())
        await ferrio.sleep(1)

    ferrio.run(main(), loop_factory=lambda: ferrio.EventLoop(virtual_time=True))
    assert reports.all == []


def test_a_foreign_loop_is_reported_too(reports):
    async def stubborn():
        try:
            await asyncio.Future()
        except asyncio.CancelledError:
            while not reports.all:
                await asyncio.sleep(0.005)

    async def main():
        asyncio.create_task(stubborn(), name="foreign")
        await asyncio.sleep(0)

    ferrio.run(main(), loop_factory=asyncio.new_event_loop)
    assert "name='foreign'" in reports.all[0]
    assert "in stubborn" in reports.all[0]
