"""`Queue`, `PriorityQueue`, `LifoQueue`: order, limits, shutdown, subclasses; and ferrio's own promise: threads."""

import gc
import threading
import weakref

import pytest
from tests.unit.implementations import since

import ferrio


@pytest.mark.parametrize(
    ("kind", "out"), [("Queue", [3, 1, 2]), ("PriorityQueue", [1, 2, 3]), ("LifoQueue", [2, 1, 3])]
)
def test_order(aio, run, kind, out):
    async def main():
        queue = getattr(aio, kind)()
        for number in (3, 1, 2):
            await queue.put(number)
        return [await queue.get() for _ in range(3)]

    assert run(main()) == out


def test_bounded_put_waits_for_a_get(aio, run):
    async def main():
        queue, log = aio.Queue(maxsize=1), []

        async def produce():
            for number in range(3):
                await queue.put(number)
                log.append(f"put {number}")

        producer = aio.create_task(produce())
        await aio.sleep(0)
        await aio.sleep(0)
        assert log == ["put 0"] and queue.full()
        assert [await queue.get() for _ in range(3)] == [0, 1, 2]
        await producer
        assert log == ["put 0", "put 1", "put 2"]

    run(main())


def test_nowait_says_full_and_empty(aio, run):
    async def main():
        queue = aio.Queue(maxsize=1)
        with pytest.raises(aio.QueueEmpty):
            queue.get_nowait()
        queue.put_nowait("spam")
        with pytest.raises(aio.QueueFull):
            queue.put_nowait("eggs")
        assert queue.qsize() == 1

    run(main())


def test_cancelled_getter_loses_no_item(aio, run):
    async def main():
        queue = aio.Queue()
        first, second = aio.create_task(queue.get()), aio.create_task(queue.get())
        await aio.sleep(0)
        queue.put_nowait("spam")
        # Woken and cancelled in the same turn: the item is for the next.
        first.cancel()
        assert await second == "spam"
        assert first.cancelled()

    run(main())


def test_join_waits_for_task_done(aio, run):
    async def main():
        queue = aio.Queue()
        queue.put_nowait(1)
        joined = aio.create_task(queue.join())
        await aio.sleep(0)
        assert not joined.done()
        queue.get_nowait()
        queue.task_done()
        await joined
        with pytest.raises(ValueError, match="called too many times"):
            queue.task_done()

    run(main())


@since(3, 13)
def test_shutdown(aio, run):
    async def main():
        queue = aio.Queue()
        queue.put_nowait("last")
        queue.shutdown()
        with pytest.raises(aio.QueueShutDown):
            queue.put_nowait("late")
        assert await queue.get() == "last"
        with pytest.raises(aio.QueueShutDown):
            await queue.get()

    run(main())


@since(3, 13)
def test_shutdown_wakes_who_waits(aio, run):
    async def main():
        queue = aio.Queue()
        waiting = aio.create_task(queue.get())
        await aio.sleep(0)
        queue.shutdown(immediate=True)
        with pytest.raises(aio.QueueShutDown):
            await waiting

    run(main())


def test_subclass_keeps_its_own_store(aio, run):
    class Newest(aio.Queue):
        """Keeps the newest item only."""

        def __init__(self, label):
            super().__init__()
            self.label = label

        def _init(self, maxsize):
            self._queue = []

        def _put(self, item):
            self._queue[:] = [item]

        def _get(self):
            return self._queue.pop()

    async def main():
        queue = Newest("prices")
        for price in (1, 2, 3):
            await queue.put(price)
        assert queue.label == "prices"
        return await queue.get(), queue.qsize()

    assert run(main()) == (3, 0)


def test_store_is_readable(aio, run):
    async def main():
        # asyncpg's pool looks at it.
        queue = aio.LifoQueue()
        queue.put_nowait("spam")
        queue.put_nowait("eggs")
        return list(queue._queue)

    assert run(main()) == ["spam", "eggs"]


def test_cycle_through_a_queue_is_collected():
    queue = ferrio.Queue()
    queue.put_nowait(queue)
    gone = weakref.ref(queue)
    del queue
    gc.collect()
    assert gone() is None


def test_many_threads_feed_one_loop():
    producers, items = 4, 5_000

    async def main():
        queue = ferrio.Queue()

        def produce(number):
            for item in range(items):
                queue.put_nowait((number, item))

        threads = [threading.Thread(target=produce, args=(number,)) for number in range(producers)]
        for thread in threads:
            thread.start()
        received = [await queue.get() for _ in range(producers * items)]
        for thread in threads:
            thread.join()
        return received

    received = ferrio.run(main())
    # Nothing is lost, nothing comes twice, and each thread's items come in its order.
    for number in range(producers):
        assert [item for who, item in received if who == number] == list(range(items))


def test_put_from_a_thread_wakes_a_sleeping_loop():
    async def main():
        queue = ferrio.Queue()
        waiting = ferrio.create_task(queue.get())
        await ferrio.sleep(0)
        thread = threading.Thread(target=queue.put_nowait, args=("spam",))
        thread.start()
        item = await ferrio.wait_for(waiting, 30)
        thread.join()
        return item

    assert ferrio.run(main()) == "spam"


def test_threads_take_what_the_loop_puts():
    total = 4_000

    async def main():
        queue, taken, lock = ferrio.Queue(maxsize=10), [], threading.Lock()

        def consume():
            while True:
                try:
                    item = queue.get_nowait()
                except ferrio.QueueEmpty:
                    continue
                except ferrio.QueueShutDown:
                    return
                with lock:
                    taken.append(item)

        threads = [threading.Thread(target=consume) for _ in range(2)]
        for thread in threads:
            thread.start()
        for item in range(total):
            await queue.put(item)
        queue.shutdown()
        for thread in threads:
            await ferrio.to_thread(thread.join)
        return taken

    assert sorted(ferrio.run(main())) == list(range(total))


def test_shutdown_from_a_thread():
    async def main():
        queue = ferrio.Queue()
        waiting = [ferrio.create_task(queue.get()) for _ in range(100)]
        await ferrio.sleep(0)
        thread = threading.Thread(target=queue.shutdown)
        thread.start()
        results = await ferrio.gather(*waiting, return_exceptions=True)
        thread.join()
        return results

    assert all(isinstance(result, ferrio.QueueShutDown) for result in ferrio.run(main()))
