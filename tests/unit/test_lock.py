"""`Lock`: the same bodies on asyncio and on ferrio, then what only ferrio promises."""

import asyncio
import gc
import sys
import weakref

import pytest

import ferrio


def test_free_lock_is_acquired_without_suspending(aio):
    async def main():
        lock = aio.Lock()
        other = aio.create_task(aio.sleep(0))
        assert await lock.acquire() is True
        assert lock.locked()
        lock.release()
        async with lock as nothing:
            assert nothing is None
            assert lock.locked()
        assert not lock.locked()
        assert not other.done()
        await other

    aio.run(main())


def test_waiters_get_the_lock_in_order(aio):
    async def main():
        lock, order = aio.Lock(), []

        async def worker(name):
            async with lock:
                order.append(name)
                await aio.sleep(0)

        await aio.gather(*[worker(name) for name in "abcdef"])
        return order

    assert aio.run(main()) == list("abcdef")


def test_woken_waiter_is_not_overtaken(aio):
    async def main():
        lock, order = aio.Lock(), []
        await lock.acquire()

        async def waiter():
            async with lock:
                order.append("waiter")

        task = aio.create_task(waiter())
        await aio.sleep(0)
        lock.release()
        assert not lock.locked()
        # The lock is free, but promised to the waiter.
        async with lock:
            order.append("main")
        await task
        return order

    assert aio.run(main()) == ["waiter", "main"]


def test_cancelled_waiter_passes_the_lock_on(aio):
    async def main():
        lock = aio.Lock()
        await lock.acquire()
        first, second = aio.create_task(lock.acquire()), aio.create_task(lock.acquire())
        await aio.sleep(0)
        lock.release()
        first.cancel()
        assert await second is True
        assert first.cancelled()
        assert lock.locked()

    aio.run(main())


def test_release_of_a_free_lock_raises(aio):
    with pytest.raises(RuntimeError, match=r"^Lock is not acquired.$"):
        aio.Lock().release()


def test_repr(aio):
    async def main():
        lock = aio.Lock()
        assert repr(lock).endswith(" [unlocked]>")
        await lock.acquire()
        assert repr(lock).endswith(" [locked]>")
        waiting = [aio.create_task(lock.acquire()) for _ in range(3)]
        await aio.sleep(0)
        assert repr(lock).endswith(" [locked, waiters:3]>")
        for task in waiting:
            task.cancel()
        # The waiters stay in line until they have run.
        assert repr(lock).endswith(" [locked, waiters:3]>")
        assert len(lock._waiters) == 3
        assert all(waiter.cancelled() for waiter in lock._waiters)
        await aio.wait(waiting)
        assert repr(lock).endswith(" [locked]>")
        assert not lock._waiters

    aio.run(main())


def test_object_belongs_to_the_loop_it_first_waited_on(aio):
    lock = aio.Lock()

    async def take():
        await lock.acquire()

    async def wait():
        with pytest.raises(aio.TimeoutError):
            await aio.wait_for(lock.acquire(), 0.001)

    async def wait_elsewhere():
        with pytest.raises(RuntimeError, match=r"Lock object at .* is bound to a different event loop"):
            await lock.acquire()
        lock.release()
        assert await lock.acquire()

    aio.run(take())
    aio.run(wait())
    aio.run(wait_elsewhere())


def test_lock_takes_no_arguments(aio):
    with pytest.raises(TypeError):
        aio.Lock(loop=None)
    with pytest.raises(TypeError):
        aio.Lock(1)


def test_async_with_calls_overridden_methods(aio):
    calls = []

    class Logged(aio.Lock):
        def __init__(self, name):
            super().__init__()
            self.name = name

        async def acquire(self):
            calls.append(f"{self.name} acquire")
            return await super().acquire()

        def release(self):
            calls.append(f"{self.name} release")
            super().release()

    async def main():
        lock = Logged("it")
        async with lock:
            assert lock.locked()
        assert not lock.locked()

    aio.run(main())
    assert calls == ["it acquire", "it release"]


def test_error_for_a_forgotten_async(aio):
    async def await_it():
        await aio.Lock()

    with pytest.raises(TypeError, match=r"Lock"):
        with aio.Lock():
            pass
    with pytest.raises(TypeError, match=r"object Lock can't be used in 'await' expression|Lock.*await"):
        aio.run(await_it())


def test_ten_thousand_waiters_can_be_cancelled_from_the_back(aio):
    async def main():
        lock = aio.Lock()
        await lock.acquire()
        waiting = [aio.create_task(lock.acquire()) for _ in range(10_000)]
        await aio.sleep(0)
        for task in reversed(waiting[1:]):
            task.cancel()
        await aio.wait(waiting[1:])
        assert repr(lock).endswith(" [locked, waiters:1]>")
        lock.release()
        assert await waiting[0] is True
        assert not lock._waiters

    aio.run(main())


def test_cancelled_waiters_leave_the_others_in_order():
    async def main():
        lock, order = ferrio.Lock(), []
        await lock.acquire()

        async def waiter(number):
            async with lock:
                order.append(number)

        waiting = [ferrio.create_task(waiter(number)) for number in range(1_000)]
        await ferrio.sleep(0)
        for number in range(1_000):
            if number % 7:
                waiting[number].cancel()
        await ferrio.sleep(0)
        assert len(lock._waiters) == 143
        late = ferrio.create_task(waiter("late"))
        await ferrio.sleep(0)
        lock.release()
        await late
        return order

    assert ferrio.run(main()) == [*range(0, 1_000, 7), "late"]


def test_acquire_passes_for_a_coroutine():
    async def main():
        lock = ferrio.Lock()
        acquire = lock.acquire()
        assert asyncio.iscoroutine(acquire)
        assert acquire.__qualname__ == "Lock.acquire"
        assert await ferrio.create_task(acquire) is True

    ferrio.run(main())


def test_acquire_that_is_never_awaited_warns():
    lock = ferrio.Lock()
    with pytest.warns(RuntimeWarning, match=r"coroutine 'Lock.acquire' was never awaited"):
        lock.acquire()
        gc.collect()
    assert not lock.locked()


def test_lock_in_a_cycle_with_its_waiters_is_collected(collected):
    async def main():
        lock = ferrio.Lock()
        lock.myself = lock
        await lock.acquire()
        task = ferrio.create_task(lock.acquire())
        await ferrio.sleep(0)
        task.cancel()
        await ferrio.wait([task])
        return weakref.ref(lock)

    gone = ferrio.run(main())
    collected()
    assert gone() is None


@pytest.mark.skipif(sys.version_info < (3, 12), reason="asyncio.run takes a loop_factory from 3.12 on")
def test_lock_works_in_standard_tasks_on_ferrios_loop():
    async def main():
        lock, order = asyncio.Lock(), []
        ours = ferrio.Lock()

        async def worker(name):
            async with lock, ours:
                order.append(name)
                await asyncio.sleep(0)

        await asyncio.gather(*[worker(name) for name in "abc"])
        return order

    assert asyncio.run(main(), loop_factory=ferrio.new_event_loop) == list("abc")
