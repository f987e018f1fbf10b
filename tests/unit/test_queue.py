"""Queues of every order: the same bodies on asyncio and on ferrio. test_queue_threads.py covers threads."""

import asyncio
import collections
import math
import types
import weakref

import pytest
from tests.unit.implementations import since

import ferrio

KINDS = ["Queue", "PriorityQueue", "LifoQueue"]


@pytest.fixture(params=KINDS)
def kind(aio, request):
    """A queue class under test."""
    return getattr(aio, request.param)


@pytest.mark.parametrize(
    ("name", "order"), [("Queue", [3, 1, 2]), ("PriorityQueue", [1, 2, 3]), ("LifoQueue", [2, 1, 3])]
)
def test_items_come_out_in_order(aio, name, order):
    async def main():
        queue = getattr(aio, name)()
        for item in [3, 1, 2]:
            await queue.put(item)
        assert queue.qsize() == 3
        return [await queue.get() for _ in range(3)]

    assert aio.run(main()) == order


def test_operations_that_need_no_wait_do_not_suspend(aio, kind):
    async def main():
        queue = kind(1)
        other = aio.create_task(aio.sleep(0))
        for item in range(10):
            await queue.put(item)
            assert await queue.get() == item
        assert not other.done()
        await other

    aio.run(main())


def test_get_waits_for_an_item(aio, kind):
    async def main():
        queue, got = kind(), []

        async def consumer(name):
            got.append((name, await queue.get()))

        tasks = [aio.create_task(consumer(name)) for name in "abc"]
        await aio.sleep(0)
        assert len(queue._getters) == 3
        queue.put_nowait(1)
        await aio.sleep(0)
        queue.put_nowait(2)
        queue.put_nowait(3)
        await aio.gather(*tasks)
        return got

    got = aio.run(main())
    assert [name for name, _ in got] == list("abc")
    assert sorted(item for _, item in got) == [1, 2, 3]


def test_put_waits_for_a_place(aio, kind):
    async def main():
        queue = kind(2)
        puts = [aio.create_task(queue.put(item)) for item in range(6)]
        await aio.sleep(0)
        assert queue.full()
        assert len(queue._putters) == 4
        got = []
        while len(got) < 6:
            got.append(await queue.get())
            assert queue.qsize() <= 2
        await aio.gather(*puts)
        assert queue.empty()
        return sorted(got)

    assert aio.run(main()) == list(range(6))


def test_nowait(aio, kind):
    queue = kind(1)
    with pytest.raises(aio.QueueEmpty):
        queue.get_nowait()
    queue.put_nowait("item")
    with pytest.raises(aio.QueueFull):
        queue.put_nowait("another")
    assert queue.get_nowait() == "item"


def test_cancelled_get_keeps_the_item_for_the_next(aio, kind):
    async def main():
        queue = kind()
        first, second = aio.create_task(queue.get()), aio.create_task(queue.get())
        await aio.sleep(0)
        queue.put_nowait("item")
        first.cancel()
        assert await second == "item"
        assert first.cancelled()
        assert not queue._getters

    aio.run(main())


def test_cancelled_put_keeps_the_place_for_the_next(aio, kind):
    async def main():
        queue = kind(1)
        queue.put_nowait(0)
        first, second = aio.create_task(queue.put(1)), aio.create_task(queue.put(2))
        await aio.sleep(0)
        assert queue.get_nowait() == 0
        first.cancel()
        await second
        assert queue.get_nowait() == 2
        assert first.cancelled()

    aio.run(main())


def test_item_may_be_stolen_from_a_woken_getter(aio, kind):
    async def main():
        queue = kind()
        waiting = aio.create_task(queue.get())
        await aio.sleep(0)
        queue.put_nowait("first")
        assert queue.get_nowait() == "first"
        await aio.sleep(0)
        assert not waiting.done()
        queue.put_nowait("second")
        assert await waiting == "second"

    aio.run(main())


def test_cancelled_getters_leave_no_trace(aio, kind):
    async def main():
        queue = kind()
        for _ in range(100):
            with pytest.raises(aio.TimeoutError):
                await aio.wait_for(queue.get(), 0)
        tasks = [aio.create_task(queue.get()) for _ in range(1_000)]
        await aio.sleep(0)
        for task in reversed(tasks):
            task.cancel()
        await aio.wait(tasks)
        assert len(queue._getters) == 0

    aio.run(main())


def test_join_waits_for_every_task_done(aio, kind):
    async def main():
        queue, done = kind(), 0

        async def worker():
            nonlocal done
            while True:
                await queue.get()
                await aio.sleep(0)
                done += 1
                queue.task_done()

        await queue.join()
        for item in range(20):
            queue.put_nowait(item)
        workers = [aio.create_task(worker()) for _ in range(3)]
        await queue.join()
        assert done == 20
        await queue.join()
        for task in workers:
            task.cancel()
        await aio.wait(workers)

    aio.run(main())


def test_task_done_too_often_raises(aio, kind):
    queue = kind()
    with pytest.raises(ValueError, match=r"^task_done\(\) called too many times$"):
        queue.task_done()
    queue.put_nowait(1)
    queue.task_done()
    with pytest.raises(ValueError, match=r"too many times"):
        queue.task_done()


@since(3, 13)
@pytest.mark.parametrize("name", KINDS)
def test_shutdown_lets_the_queue_drain(aio, name):
    async def main():
        queue = getattr(aio, name)(2)
        queue.put_nowait(1)
        queue.put_nowait(2)
        putter = aio.create_task(queue.put(3))
        await aio.sleep(0)
        queue.shutdown()
        queue.shutdown()
        with pytest.raises(aio.QueueShutDown):
            await putter
        with pytest.raises(aio.QueueShutDown):
            await queue.put(4)
        with pytest.raises(aio.QueueShutDown):
            queue.put_nowait(4)
        assert sorted([await queue.get(), queue.get_nowait()]) == [1, 2]
        with pytest.raises(aio.QueueShutDown):
            await queue.get()
        with pytest.raises(aio.QueueShutDown):
            queue.get_nowait()
        queue.task_done()
        joined = aio.create_task(queue.join())
        await aio.sleep(0)
        assert not joined.done()
        queue.task_done()
        await joined

    aio.run(main())


@since(3, 13)
@pytest.mark.parametrize("name", KINDS)
def test_shutdown_at_once(aio, name):
    async def main():
        queue = getattr(aio, name)()
        waiting = [aio.create_task(queue.get()) for _ in range(3)]
        await aio.sleep(0)
        queue.shutdown(immediate=True)
        results = await aio.gather(*waiting, return_exceptions=True)
        assert [type(error) for error in results] == [aio.QueueShutDown] * 3

        queue = getattr(aio, name)()
        for item in range(3):
            queue.put_nowait(item)
        queue.get_nowait()
        joined = aio.create_task(queue.join())
        await aio.sleep(0)
        queue.shutdown(True)
        assert queue.empty()
        await aio.sleep(0)
        # Items that were taken out before still have to be done.
        assert not joined.done()
        queue.task_done()
        await joined

    aio.run(main())


def test_shutdown_on_every_python():
    async def main():
        queue = ferrio.Queue()
        waiting = ferrio.create_task(queue.get())
        await ferrio.sleep(0)
        queue.shutdown()
        with pytest.raises(ferrio.QueueShutDown):
            await waiting

    ferrio.run(main())


def test_exceptions_are_the_standard_librarys():
    assert ferrio.QueueEmpty is asyncio.QueueEmpty
    assert ferrio.QueueFull is asyncio.QueueFull
    assert ferrio.QueueShutDown is getattr(asyncio, "QueueShutDown", ferrio.queues.QueueShutDown)


def test_repr_and_str(aio):
    async def main():
        queue = aio.Queue(2)
        assert repr(queue) == f"<Queue at {id(queue):#x} maxsize=2>"
        assert str(queue) == "<Queue maxsize=2>"
        queue.put_nowait(1)
        queue.put_nowait("two")
        putter = aio.create_task(queue.put(3))
        await aio.sleep(0)
        assert str(queue) == "<Queue maxsize=2 _queue=[1, 'two'] _putters[1] tasks=2>"
        for _ in range(3):
            await queue.get()
            queue.task_done()
        await putter
        getter = aio.create_task(queue.get())
        await aio.sleep(0)
        assert str(queue) == "<Queue maxsize=2 _getters[1]>"
        getter.cancel()
        await aio.wait([getter])

    aio.run(main())


def test_maxsize(aio):
    assert aio.Queue().maxsize == 0
    assert aio.Queue(-3).maxsize == -3
    assert not aio.Queue(-3).full()
    assert aio.Queue(maxsize=7).maxsize == 7
    assert not aio.Queue(10**30).full()
    boundless = aio.Queue(math.inf)
    assert boundless.maxsize == math.inf
    boundless.put_nowait(1)
    assert not boundless.full()
    resized = aio.Queue(1)
    resized.put_nowait(1)
    resized._maxsize = 2
    resized.put_nowait(2)
    with pytest.raises(aio.QueueFull):
        resized.put_nowait(3)


def test_maxsize_must_be_a_number():
    with pytest.raises(TypeError, match=r"maxsize must be an integer"):
        ferrio.Queue("ten")


def test_generic_alias(aio, kind):
    assert isinstance(kind[int], types.GenericAlias)
    assert kind[int]().maxsize == 0


def test_object_belongs_to_the_loop_it_first_waited_on(aio, kind):
    queue = kind()

    async def wait():
        with pytest.raises(aio.TimeoutError):
            await aio.wait_for(queue.get(), 0.001)

    async def wait_elsewhere():
        with pytest.raises(RuntimeError, match=r"^<\w*Queue at .*> is bound to a different event loop"):
            await queue.get()
        await queue.put(1)
        assert await queue.get() == 1

    aio.run(wait())
    aio.run(wait_elsewhere())


def test_equal_priorities_come_out_in_heap_order():
    class Job:
        def __init__(self, priority, name):
            self.priority, self.name = priority, name

        def __lt__(self, other):
            return self.priority < other.priority

    def names(aio):
        queue = aio.PriorityQueue()
        for number in range(200):
            queue.put_nowait(Job(number * 7 % 5, number))
        return [queue.get_nowait().name for _ in range(200)]

    assert names(ferrio) == names(asyncio)


def test_incomparable_items_raise(aio):
    queue = aio.PriorityQueue()
    queue.put_nowait(1)
    with pytest.raises(TypeError):
        queue.put_nowait("one")
    assert queue.get_nowait() in (1, "one")


def test_queue_attribute_holds_the_items(aio):
    queue = aio.Queue()
    for item in range(3):
        queue.put_nowait(item)
    assert type(queue._queue) is collections.deque
    assert list(queue._queue) == [0, 1, 2]
    queue._queue.appendleft("first")
    queue.put_nowait("last")
    assert queue.qsize() == 5
    assert [queue.get_nowait() for _ in range(5)] == ["first", 0, 1, 2, "last"]
    assert len(queue._queue) == 0
    assert queue.empty()
    assert type(aio.LifoQueue()._queue) is list
    assert type(aio.PriorityQueue()._queue) is list


def test_subclass_may_store_the_items_itself(aio):
    class OrderedSet(aio.Queue):
        def _init(self, maxsize):
            self.size_given = maxsize
            self._queue = {}

        def _put(self, item):
            self._queue[item] = None

        def _get(self):
            item = next(iter(self._queue))
            del self._queue[item]
            return item

    async def main():
        queue = OrderedSet(2)
        assert queue.size_given == 2
        await queue.put("a")
        await queue.put("a")
        assert queue.qsize() == 1
        await queue.put("b")
        putter = aio.create_task(queue.put("c"))
        await aio.sleep(0)
        assert not putter.done()
        assert "_queue=['a', 'b']" in repr(queue)
        assert [await queue.get() for _ in range(3)] == ["a", "b", "c"]
        await putter

    aio.run(main())


def test_subclass_may_call_what_it_overrides(aio, kind):
    class Counted(kind):
        def __init__(self, *args):
            self.ins = self.outs = 0
            super().__init__(*args)

        def _put(self, item):
            self.ins += 1
            super()._put(item)

        def _get(self):
            self.outs += 1
            return super()._get()

    async def main():
        queue = Counted(1)
        putters = [aio.create_task(queue.put(item)) for item in range(5)]
        got = [await queue.get() for _ in range(5)]
        await aio.gather(*putters)
        assert sorted(got) == list(range(5))
        assert (queue.ins, queue.outs) == (5, 5)

    aio.run(main())


def test_subclass_may_override_the_nowait_methods(aio):
    class DropsTheOldest(aio.Queue):
        def put_nowait(self, item):
            if self.full():
                self.get_nowait()
            super().put_nowait(item)

        def get_nowait(self):
            return ("got", super().get_nowait())

    async def main():
        queue = DropsTheOldest(2)
        for item in range(4):
            queue.put_nowait(item)
        assert [await queue.get(), await queue.get()] == [("got", 2), ("got", 3)]
        await queue.put(5)
        assert queue.get_nowait() == ("got", 5)

    aio.run(main())


def test_subclass_may_never_be_full(aio):
    class Boundless(aio.Queue):
        def full(self):
            return False

    async def main():
        queue = Boundless(1)
        await queue.put(1)
        await queue.put(2)
        assert queue.qsize() == 2

    aio.run(main())


def test_get_in_a_task_group_with_a_deadline(aio):
    async def main():
        queue = aio.Queue()

        async def producer():
            for item in range(3):
                await aio.sleep(0)
                await queue.put(item)

        task = aio.create_task(producer())
        async with aio.timeout(10):
            got = [await queue.get() for _ in range(3)]
        await task
        return got

    assert aio.run(main()) == [0, 1, 2]


def test_queue_in_a_cycle_with_its_items_is_collected(collected):
    for kind in (ferrio.Queue, ferrio.PriorityQueue, ferrio.LifoQueue):
        queue = kind()
        queue.put_nowait([queue])
        gone = weakref.ref(queue)
        del queue
        collected()
        assert gone() is None


def test_item_is_dropped_as_soon_as_possible():
    class Item:
        pass

    async def main():
        queue = ferrio.Queue()
        await queue.put(Item())
        item = await queue.get()
        gone = weakref.ref(item)
        del item
        return gone

    assert ferrio.run(main())() is None
