"""Several loops run in several threads at the same time, and the module needs no GIL for that.

With a GIL the threads take turns, and everything here holds too.
"""

import asyncio
import concurrent.futures
import functools
import socket
import sys
import sysconfig
import threading
import types

import pytest
from tests.unit.hammer import hammer, quick_switches
from tests.unit.programs import run_program

import ferrio
from ferrio import _ferrio

LOOPS = 4


@pytest.mark.skipif(not sysconfig.get_config_var("Py_GIL_DISABLED"), reason="this build of Python always has a GIL")
def test_import_leaves_the_gil_off():
    # With -X gil unset CPython's own rule applies: it turns the GIL on unless the module declares that it needs none.
    code = "import sys, ferrio; print(sys._is_gil_enabled())"
    assert run_program(code, options=("-W", "error")) == "False\n"


@pytest.mark.skipif(
    not sysconfig.get_config_var("Py_GIL_DISABLED"), reason="with a GIL a reference count costs nothing"
)
def test_shared_objects_are_not_reference_counted():
    def counted(shown):
        if isinstance(shown, type):
            return not sys._is_immortal(shown)
        # A deferred reference count shows a number far beyond any real one.
        return isinstance(shown, types.BuiltinFunctionType) and sys.getrefcount(shown) < 2**32

    async def main():
        return {
            "a future's iterator": type(iter(ferrio.get_running_loop().create_future())),
            "what an entered timeout awaits": type(ferrio.timeout(None).__aenter__()),
        }

    shown = vars(_ferrio) | ferrio.run(main())
    assert [name for name, one in shown.items() if counted(one)] == []


def in_threads(main, count=LOOPS):
    """Runs the coroutine function `main(number)` in `count` threads, each with its own loop; returns the results."""
    begin = threading.Barrier(count)

    def body(number):
        begin.wait()
        return ferrio.run(main(number))

    with quick_switches(), concurrent.futures.ThreadPoolExecutor(count) as pool:
        return list(pool.map(body, range(count)))


def test_tasks():
    async def work(number):
        await ferrio.sleep(0)
        assert ferrio.current_task().get_coro() is not None
        return number

    async def main(number):
        total = 0
        for _ in range(50):
            total += sum(await ferrio.gather(*(work(number) for _ in range(20))))
            async with ferrio.TaskGroup() as group:
                tasks = [group.create_task(work(number)) for _ in range(5)]
                assert ferrio.all_tasks() >= set(tasks)
            assert ferrio.all_tasks() == {ferrio.current_task()} == asyncio.all_tasks()
        return total

    assert in_threads(main) == [1000 * number for number in range(LOOPS)]


def test_names_of_tasks():
    async def main(number):
        return [ferrio.create_task(ferrio.sleep(0)).get_name() for _ in range(200)]

    threads = in_threads(main)
    assert len({name for names in threads for name in names}) == 200 * LOOPS
    for names in threads:
        numbers = [int(name.removeprefix("Task-")) for name in names]
        assert numbers == sorted(numbers)


def test_timers_and_cancellation():
    async def main(number):
        for _ in range(30):
            with pytest.raises(TimeoutError):
                async with ferrio.timeout(0):
                    await ferrio.sleep(60)
            late = ferrio.create_task(ferrio.sleep(60))
            await ferrio.wait([late], timeout=0.0001)
            late.cancel()
            await ferrio.gather(late, return_exceptions=True)
            assert late.cancelled()
            assert await ferrio.wait_for(ferrio.sleep(0.0001, number), 60) == number

    in_threads(main)


def test_locks_and_queues():
    async def main(number):
        lock, queue, seen = ferrio.Lock(), ferrio.Queue(2), []

        async def put():
            for item in range(100):
                async with lock:
                    await ferrio.sleep(0)
                await queue.put(item)

        async def get():
            for _ in range(100):
                seen.append(await queue.get())
                queue.task_done()

        await ferrio.gather(put(), get())
        await queue.join()
        assert seen == list(range(100))

    in_threads(main)


def test_echo():
    async def main(number):
        async def serve(reader, writer):
            while line := await reader.readline():
                writer.write(line)
                await writer.drain()
            writer.close()

        server = await ferrio.start_server(serve, "127.0.0.1", 0, family=socket.AF_INET)
        async with server:
            reader, writer = await ferrio.open_connection(*server.sockets[0].getsockname())
            for line in range(100):
                writer.write(b"%d\n" % line)
                assert await reader.readline() == b"%d\n" % line
            writer.close()
            await writer.wait_closed()

    in_threads(main)


def test_each_loop_posts_to_all_others():
    async def main(number):
        queues.setdefault(number, ferrio.Queue())
        loops[number] = ferrio.get_running_loop()
        while len(loops) < LOOPS:
            await ferrio.sleep(0)
        for other in range(LOOPS):
            for item in range(100):
                loops[other].call_soon_threadsafe(queues[other].put_nowait, item)
        got = [await queues[number].get() for _ in range(100 * LOOPS)]
        # Nobody closes its loop before the others have posted.
        finished.add(number)
        while len(finished) < LOOPS:
            await ferrio.sleep(0.001)
        return sum(got)

    queues, loops, finished = {}, {}, set()
    assert in_threads(main) == [LOOPS * sum(range(100))] * LOOPS


def test_threads_of_one_loop():
    async def main(number):
        return sum(await ferrio.gather(*(ferrio.to_thread(int, str(number)) for _ in range(50))))

    assert in_threads(main) == [50 * number for number in range(LOOPS)]


def test_one_loop_runs_in_one_thread_at_a_time():
    loop = ferrio.new_event_loop()
    inside, most, ran = [], [], []

    def run():
        async def main():
            inside.append(1)
            most.append(len(inside))
            await ferrio.sleep(0)
            inside.pop()
            ran.append(1)

        coroutine = main()
        try:
            loop.run_until_complete(coroutine)
        finally:
            # If the loop was busy, the task it made would run later, not here.
            coroutine.close()

    def run_or_be_refused():
        operation = ferrio.sleep(0)
        try:
            loop.run_until_complete(operation)
        finally:
            operation.close()

    # A task made before its run was refused is left without its coroutine, and reports that.
    loop.set_exception_handler(lambda loop, context: None)
    try:
        # ValueError: the thread that runs the loop executes that task just when it is closed here.
        hammer(run_or_be_refused, allowed=(RuntimeError, ValueError), rounds=50)
        run()
    finally:
        loop.close()
    assert (most, ran) == ([1], [1])


def test_making_and_closing_loops():
    def make():
        loop = ferrio.new_event_loop()
        loop.call_soon(loop.stop)
        loop.run_forever()
        assert not loop.is_running()
        loop.close()

    hammer(make, lambda: ferrio.new_event_loop().close(), rounds=30)


def test_loop_is_closed_while_others_post():
    for _ in range(10):
        loop = ferrio.new_event_loop()
        hammer(
            functools.partial(loop.call_soon_threadsafe, int),
            functools.partial(loop.call_later, 60, int),
            loop.close,
            allowed=RuntimeError,
            rounds=10,
        )
        assert loop.is_closed()


class Lost(Exception):
    """What the end of a connection tells those who wait."""


def failing_reads(count):
    readers = [ferrio.StreamReader() for _ in range(count)]
    return [reader.read(1) for reader in readers], lambda: [reader.set_exception(Lost()) for reader in readers]


def failing_drains(count):
    protocols = [ferrio.streams.FlowControlMixin() for _ in range(count)]
    for protocol in protocols:
        protocol.pause_writing()
    drains = [protocol._drain_helper() for protocol in protocols]
    return drains, lambda: [protocol.connection_lost(Lost()) for protocol in protocols]


def late_waits(count):
    return [ferrio.wait_for(ferrio.sleep(60), number * 1e-5) for number in range(1, count + 1)], lambda: None


@pytest.mark.parametrize("make, raised", [(failing_reads, Lost), (failing_drains, Lost), (late_waits, TimeoutError)])
def test_no_end_of_a_wait_is_lost_while_another_thread_looks_at_it(make, raised):
    looked_at, ended = [], threading.Event()

    def look():
        while not ended.is_set():
            for operation in looked_at.copy():
                assert operation.cr_await is not operation
                repr(operation)

    async def main():
        for _ in range(20):
            operations, end = make(50)
            looked_at[:] = operations
            tasks = [ferrio.create_task(operation) for operation in operations]
            await ferrio.sleep(0)
            end()
            _, pending = await ferrio.wait(tasks, timeout=60)
            assert not pending
            assert {type(task.exception()) for task in tasks} == {raised}

    with quick_switches(), concurrent.futures.ThreadPoolExecutor(1) as pool:
        looking = pool.submit(look)
        try:
            ferrio.run(main())
        finally:
            ended.set()
        looking.result()
