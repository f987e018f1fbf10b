"""Queues between threads and a loop: `put_nowait`, `get_nowait`, `task_done` and `shutdown` from any thread.

asyncio's queues don't allow that, so these bodies run only on ferrio. The loop sleeps whenever it has nothing to do. So
a lost wake-up makes a test hang, and the time limit ends it.
"""

import asyncio
import sys
import threading
import time

import pytest

import ferrio

KINDS = [ferrio.Queue, ferrio.PriorityQueue, ferrio.LifoQueue]
ITEMS = 5_000


@pytest.fixture(params=KINDS, ids=lambda kind: kind.__name__)
def kind(request):
    """A queue class under test."""
    return request.param


@pytest.fixture(autouse=True)
def quick_switches():
    """Makes threads switch a thousand times as often as usual, to expose races between two bytecodes."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(5e-6)
    yield
    sys.setswitchinterval(usual)


class Threads:
    """Threads that are joined at the end of a block; an exception in one of them fails the test."""

    def __init__(self):
        self.errors = []
        self.threads = []

    def start(self, function, *args):
        def body():
            try:
                function(*args)
            except BaseException as error:
                self.errors.append(error)

        thread = threading.Thread(target=body)
        self.threads.append(thread)
        thread.start()

    async def join(self):
        """Waits without blocking the loop."""
        while any(thread.is_alive() for thread in self.threads):
            await ferrio.sleep(0.001)
        assert self.errors == []


def put_all(queue, items):
    """Puts the items in from a thread, and waits whenever the queue is full."""
    for item in items:
        while True:
            try:
                queue.put_nowait(item)
                break
            except ferrio.QueueFull:
                time.sleep(0)


def test_thread_wakes_a_sleeping_loop(kind):
    async def main():
        queue, threads = kind(), Threads()
        for number in range(200):
            waiting = ferrio.create_task(queue.get())
            await ferrio.sleep(0)
            threads.start(queue.put_nowait, number)
            assert await waiting == number
        await threads.join()

    ferrio.run(main())


@pytest.mark.parametrize("maxsize", [0, 10])
@pytest.mark.parametrize("consumers", [1, 4])
def test_several_threads_put_and_a_loop_gets(kind, maxsize, consumers):
    async def main():
        queue, threads, got = kind(maxsize), Threads(), []

        async def consumer():
            while True:
                got.append(await queue.get())
                queue.task_done()

        tasks = [ferrio.create_task(consumer()) for _ in range(consumers)]
        for first in range(4):
            threads.start(put_all, queue, range(first, ITEMS, 4))
        await threads.join()
        await queue.join()
        for task in tasks:
            task.cancel()
        await ferrio.wait(tasks)
        return got

    assert sorted(ferrio.run(main())) == list(range(ITEMS))


def test_items_of_each_thread_stay_in_order():
    async def main():
        queue, threads = ferrio.Queue(), Threads()
        for name in range(3):
            threads.start(put_all, queue, [(name, number) for number in range(ITEMS)])
        got = [await queue.get() for _ in range(3 * ITEMS)]
        await threads.join()
        return got

    got = ferrio.run(main())
    for name in range(3):
        assert [number for thread, number in got if thread == name] == list(range(ITEMS))


@pytest.mark.parametrize("maxsize", [0, 10])
def test_loop_puts_and_several_threads_get(kind, maxsize):
    got = []

    def get_all(queue):
        while True:
            try:
                got.append(queue.get_nowait())
            except ferrio.QueueEmpty:
                time.sleep(0)
            except ferrio.QueueShutDown:
                return
            else:
                queue.task_done()

    async def main():
        queue, threads = kind(maxsize), Threads()
        for _ in range(3):
            threads.start(get_all, queue)
        for item in range(ITEMS):
            await queue.put(item)
        await queue.join()
        queue.shutdown()
        await threads.join()

    ferrio.run(main())
    assert sorted(got) == list(range(ITEMS))


def test_threads_and_tasks_on_both_ends(kind):
    got, lock = [], threading.Lock()

    def get_all(queue):
        while True:
            try:
                item = queue.get_nowait()
            except ferrio.QueueEmpty:
                time.sleep(0)
                continue
            except ferrio.QueueShutDown:
                return
            with lock:
                got.append(item)
            queue.task_done()

    async def main():
        queue, threads = kind(5), Threads()

        async def producer(first):
            for item in range(first, ITEMS, 4):
                await queue.put(item)

        async def consumer():
            while True:
                item = await queue.get()
                with lock:
                    got.append(item)
                queue.task_done()

        tasks = [ferrio.create_task(consumer()) for _ in range(2)]
        producers = [ferrio.create_task(producer(first)) for first in (0, 1)]
        for first in (2, 3):
            threads.start(put_all, queue, range(first, ITEMS, 4))
        for _ in range(2):
            threads.start(get_all, queue)
        await ferrio.gather(*producers)
        while len(got) < ITEMS:
            await ferrio.sleep(0.001)
        await queue.join()
        queue.shutdown()
        await threads.join()
        assert all(isinstance(end, ferrio.QueueShutDown) for end in await ferrio.gather(*tasks, return_exceptions=True))

    ferrio.run(main())
    assert sorted(got) == list(range(ITEMS))


def test_items_may_be_compared_by_python_code():
    class Job:
        """Its comparison runs bytecode, so that other threads run in the middle of the heap's work."""

        def __init__(self, priority):
            self.priority = priority

        def __lt__(self, other):
            mine = self.priority
            theirs = other.priority
            return mine < theirs

    async def main():
        queue, threads = ferrio.PriorityQueue(), Threads()
        for first in range(4):
            threads.start(put_all, queue, [Job(number) for number in range(first, 4_000, 4)])
        got = [(await queue.get()).priority for _ in range(4_000)]
        await threads.join()
        return got

    assert sorted(ferrio.run(main())) == list(range(4_000))


def test_subclass_methods_may_be_python_code():
    class Steps(ferrio.Queue):
        """Lets other threads run between its check and its change; without a guard against that, items get lost."""

        def _init(self, maxsize):
            self._queue = []

        def _put(self, item):
            items = list(self._queue)
            items.append(item)
            self._queue = items

        def _get(self):
            first, *rest = self._queue
            self._queue = rest
            return first

    async def main():
        queue, threads = Steps(20), Threads()
        for first in range(4):
            threads.start(put_all, queue, range(first, 4_000, 4))
        got = [await queue.get() for _ in range(4_000)]
        await threads.join()
        assert queue.qsize() == 0
        return got

    assert sorted(ferrio.run(main())) == list(range(4_000))


def test_thread_shuts_the_queue_down(kind):
    async def main():
        for immediate in (False, True):
            queue, threads = kind(1), Threads()
            getters = [ferrio.create_task(queue.get()) for _ in range(10)]
            await ferrio.sleep(0)
            threads.start(queue.shutdown, immediate)
            ends = await ferrio.gather(*getters, return_exceptions=True)
            assert all(isinstance(end, ferrio.QueueShutDown) for end in ends)
            await threads.join()

            queue, threads = kind(1), Threads()
            queue.put_nowait(0)
            putters = [ferrio.create_task(queue.put(number)) for number in range(10)]
            await ferrio.sleep(0)
            threads.start(queue.shutdown, immediate)
            ends = await ferrio.gather(*putters, return_exceptions=True)
            assert all(isinstance(end, ferrio.QueueShutDown) for end in ends)
            await threads.join()

    ferrio.run(main())


def test_thread_ends_the_join(kind):
    async def main():
        for _ in range(100):
            queue, threads = kind(), Threads()
            queue.put_nowait(1)
            queue.get_nowait()
            joined = ferrio.create_task(queue.join())
            await ferrio.sleep(0)
            threads.start(queue.task_done)
            await joined
            await threads.join()

    ferrio.run(main())


def test_getters_are_cancelled_while_threads_put():
    async def main():
        queue, threads, got = ferrio.Queue(), Threads(), []
        threads.start(put_all, queue, range(ITEMS))
        while len(got) < ITEMS:
            getters = [ferrio.create_task(queue.get()) for _ in range(3)]
            await ferrio.sleep(0)
            getters[0].cancel()
            _, pending = await ferrio.wait(getters, return_when=ferrio.FIRST_COMPLETED)
            for task in pending:
                task.cancel()
            if pending:
                await ferrio.wait(pending)
            # A cancelled getter took nothing, so nothing is lost.
            got += [task.result() for task in getters if not task.cancelled()]
        await threads.join()
        return got

    assert sorted(ferrio.run(main())) == list(range(ITEMS))


def test_two_loops_on_one_queue_without_waiting():
    """Only one loop may wait on a queue; the other end uses the methods that don't wait."""
    queue = ferrio.Queue()

    async def produce():
        for item in range(1_000):
            queue.put_nowait(item)
            await ferrio.sleep(0)

    async def consume():
        thread = threading.Thread(target=ferrio.run, args=(produce(),))
        thread.start()
        got = [await queue.get() for _ in range(1_000)]
        thread.join()
        return got

    assert ferrio.run(consume()) == list(range(1_000))


def test_sleeping_standard_loop_is_woken_too():
    async def main():
        queue, threads = ferrio.Queue(1), Threads()
        for number in range(50):
            waiting = asyncio.create_task(queue.get())
            await asyncio.sleep(0)
            threads.start(queue.put_nowait, number)
            assert await asyncio.wait_for(waiting, 10) == number

    asyncio.run(main())
