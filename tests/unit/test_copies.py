"""Copies and pickles of asyncio's objects: `copy`, `deepcopy`, each `pickle` protocol, dictionaries."""

import copy
import dataclasses
import math
import pickle
import sys
import weakref

import pytest

WAYS = {"copy": copy.copy, "deepcopy": copy.deepcopy} | {
    f"pickle-{protocol}": lambda one, protocol=protocol: pickle.loads(pickle.dumps(one, protocol))
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1)
}


@pytest.fixture(params=WAYS.values(), ids=WAYS.keys())
def copied(request):
    """A function that makes a copy in one of several ways."""
    return request.param


def filled(queue, *items):
    for item in items:
        queue.put_nowait(item)
    return queue


def closed_for(run, lock):
    run(lock.acquire())
    return lock


def look(one):
    """Returns everything that distinguishes one object from another."""
    names = ["_locked", "_value", "_bound_value", "_parties", "_state", "_count", "_maxsize", "_unfinished_tasks"]
    state = {name: getattr(one, name) for name in names if hasattr(one, name)}
    if hasattr(one, "_queue"):
        state["_queue"] = list(one._queue)
    if hasattr(one, "_cond"):
        state["_cond"] = one._cond.locked()
    return type(one), one.__dict__.get("owner"), state


MAKERS = {
    "lock": lambda aio, run: aio.Lock(),
    "taken lock": lambda aio, run: closed_for(run, aio.Lock()),
    "event": lambda aio, run: aio.Event(),
    "condition": lambda aio, run: aio.Condition(),
    "condition on a taken lock": lambda aio, run: aio.Condition(closed_for(run, aio.Lock())),
    "semaphore": lambda aio, run: closed_for(run, aio.Semaphore(3)),
    "semaphore without end": lambda aio, run: aio.Semaphore(math.inf),
    "bounded semaphore": lambda aio, run: closed_for(run, aio.BoundedSemaphore(2)),
    "barrier": lambda aio, run: aio.Barrier(3),
    "queue": lambda aio, run: filled(aio.Queue(5), [1], "b"),
    "empty queue": lambda aio, run: aio.Queue(),
    "queue of priorities": lambda aio, run: filled(aio.PriorityQueue(), 3, 1, 2),
    "stack": lambda aio, run: filled(aio.LifoQueue(7), 3, 1, 2),
}


@pytest.fixture(params=MAKERS.values(), ids=MAKERS.keys())
def one(request, aio, run):
    """An object without waiters."""
    return request.param(aio, run)


def test_copy_equals_its_original(one, copied):
    one.owner = "me"
    assert one.__dict__["owner"] == vars(one)["owner"] == "me"
    other = copied(one)
    assert other is not one
    assert look(other) == look(one)
    assert not other._loop
    assert weakref.ref(other)() is other


def test_copy_of_a_broken_barrier_is_broken(aio, run, copied):
    barrier = aio.Barrier(3)
    run(barrier.abort())
    other = copied(barrier)
    assert other.broken and other.parties == 3
    with pytest.raises(aio.BrokenBarrierError):
        run(other.wait())


def test_copies_work(aio, run, copied):
    semaphore = copied(aio.BoundedSemaphore(1))
    run(semaphore.acquire())
    assert semaphore.locked()
    semaphore.release()
    with pytest.raises(ValueError, match="released too many times"):
        semaphore.release()

    async def meet():
        barrier = copied(aio.Barrier(2))
        return sorted(await aio.gather(barrier.wait(), barrier.wait()))

    assert run(meet()) == [0, 1]

    async def notify():
        condition = copied(aio.Condition())
        condition.ready = False

        async def wait():
            async with condition:
                return await condition.wait_for(lambda: condition.ready)

        waiter = aio.ensure_future(wait())
        await aio.sleep(0)
        async with condition:
            condition.ready = True
            condition.notify()
        return await waiter

    assert run(notify()) is True

    async def work():
        queue = copied(filled(aio.Queue(2), "a", "b"))
        assert queue.full()
        waiter = aio.ensure_future(queue.put("c"))
        items = [await queue.get() for _ in range(3)]
        await waiter
        for _ in items:
            queue.task_done()
        await queue.join()
        return items

    assert run(work()) == ["a", "b", "c"]

    ordered = copied(filled(aio.PriorityQueue(), 3, 1, 2))
    ordered.put_nowait(0)
    assert [ordered.get_nowait() for _ in range(4)] == [0, 1, 2, 3]


def test_deep_copies_copy_items_and_locks_and_shallow_ones_share_them(aio):
    item = [1]
    queue = filled(aio.Queue(), item)
    assert copy.copy(queue).get_nowait() is item
    deep = copy.deepcopy(filled(aio.Queue(), item))
    assert deep.get_nowait() == item and deep._maxsize == 0
    lock = aio.Lock()
    assert copy.copy(aio.Condition(lock))._lock is lock
    pair = copy.deepcopy([lock, aio.Condition(lock)])
    assert pair[1]._lock is pair[0] is not lock


def test_object_with_waiters_cannot_be_copied(aio, run):
    async def main():
        for waited, method in [
            (closed_lock := aio.Lock(), "acquire"),
            (aio.Event(), "wait"),
            (aio.Queue(), "get"),
            (filled(aio.Queue(1), 1), "put"),
            (aio.Barrier(2), "wait"),
        ]:
            if waited is closed_lock:
                await waited.acquire()
            waiter = aio.ensure_future(getattr(waited, method)(*([1] if method == "put" else [])))
            await aio.sleep(0)
            await aio.sleep(0)
            for attempt in (copy.deepcopy, pickle.dumps):
                with pytest.raises(TypeError):
                    attempt(waited)
            waiter.cancel()
            await aio.gather(waiter, return_exceptions=True)

    run(main())


def test_futures_and_tasks_cannot_be_copied(aio, run):
    async def main():
        loop = aio.get_running_loop()
        for one in (aio.current_task(), loop.create_future()):
            for attempt in WAYS.values():
                with pytest.raises(TypeError):
                    attempt(one)

    run(main())


@dataclasses.dataclass
class Settings:
    lock: object
    jobs: object


def test_dataclasses_that_hold_them_become_dictionaries(aio):
    settings = dataclasses.asdict(Settings(aio.Lock(), filled(aio.Queue(5), 1)))
    assert type(settings["lock"]) is aio.Lock
    assert (settings["jobs"].qsize(), settings["jobs"].maxsize) == (1, 5)


def derived(base, name):
    """Makes a class as a program would; pickle finds it here by name."""
    made = type(name, (base,), {"__module__": __name__})
    setattr(sys.modules[__name__], name, made)
    return made


def test_attributes_of_derived_classes_are_kept(aio, copied):
    queue = derived(aio.Queue, "NamedQueue")(3)
    queue.name, queue.tags = "jobs", {"a"}
    other = copied(filled(queue, 1))
    assert (type(other), other.name, other.tags, other.maxsize, other.qsize()) == (type(queue), "jobs", {"a"}, 3, 1)


def test_derived_class_may_have_slots_and_its_own_state(aio, copied):
    class Slotted(aio.Event):
        __slots__ = ("label",)

    class WithState(aio.Semaphore):
        def __getstate__(self):
            return {"value": self._value, "note": self.note}

        def __setstate__(self, state):
            self.__init__(state["value"])
            self.note = state["note"]

    for made in (Slotted, WithState):
        made.__module__, made.__qualname__ = __name__, made.__name__
        setattr(sys.modules[__name__], made.__name__, made)
    event, semaphore = Slotted(), WithState(4)
    event.label, semaphore.note = "ready", "n"
    event.set()
    if copied not in (WAYS["pickle-0"], WAYS["pickle-1"]):  # Python's own rule for __slots__
        assert (copied(event).label, copied(event).is_set()) == ("ready", True)
    assert (copied(semaphore)._value, copied(semaphore).note) == (4, "n")


def test_state_of_asyncios_objects_is_understood():
    import asyncio

    import ferrio

    for name in ("Lock", "Event", "Condition", "Semaphore", "BoundedSemaphore", "Queue", "PriorityQueue", "LifoQueue"):
        theirs = getattr(asyncio, name)()
        ours = getattr(ferrio, name).__new__(getattr(ferrio, name))
        ours.__setstate__(theirs.__getstate__())
        assert look(ours)[2].items() >= look(theirs)[2].items()
        assert ours.__dict__ == {}
