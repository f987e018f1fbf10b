"""`Lock`, `Event`, `Condition`, `Semaphore`, `BoundedSemaphore`, `Barrier`: who gets in, in which order."""

import gc
import weakref

import pytest

import ferrio


def test_lock_is_fair(aio, run):
    async def main():
        lock, order = aio.Lock(), []

        async def visit(name):
            async with lock:
                order.append(name)
                await aio.sleep(0)

        await aio.gather(*[visit(name) for name in "abcd"])
        return order, lock.locked()

    assert run(main()) == (list("abcd"), False)


def test_cancelled_waiter_passes_the_lock_on(aio, run):
    async def main():
        lock = aio.Lock()
        await lock.acquire()
        first, second = aio.create_task(lock.acquire()), aio.create_task(lock.acquire())
        await aio.sleep(0)
        lock.release()
        first.cancel()
        assert await second is True
        assert first.cancelled() and lock.locked()

    run(main())


def test_release_of_a_free_lock_is_refused(aio, run):
    async def main():
        with pytest.raises(RuntimeError, match="not acquired"):
            aio.Lock().release()

    run(main())


def test_event_wakes_everybody(aio, run):
    async def main():
        event = aio.Event()
        waiting = [aio.create_task(event.wait()) for _ in range(50)]
        await aio.sleep(0)
        event.set()
        assert await aio.gather(*waiting) == [True] * 50
        event.clear()
        assert not event.is_set()

    run(main())


def test_condition_wait_for(aio, run):
    async def main():
        condition, stock = aio.Condition(), []

        async def buy():
            async with condition:
                await condition.wait_for(lambda: len(stock) >= 2)
                return list(stock)

        buyer = aio.create_task(buy())
        for item in ("spam", "eggs"):
            await aio.sleep(0)
            async with condition:
                stock.append(item)
                condition.notify_all()
        return await buyer

    assert run(main()) == ["spam", "eggs"]


def test_condition_wants_its_lock(aio, run):
    async def main():
        condition = aio.Condition()
        with pytest.raises(RuntimeError, match="un-acquired"):
            await condition.wait()

    run(main())


def test_semaphore_limits(aio, run):
    async def main():
        semaphore, inside, most = aio.Semaphore(3), 0, 0

        async def visit():
            nonlocal inside, most
            async with semaphore:
                inside += 1
                most = max(most, inside)
                await aio.sleep(0)
                inside -= 1

        await aio.gather(*[visit() for _ in range(20)])
        return most

    assert run(main()) == 3


def test_bounded_semaphore_refuses_one_release_too_many(aio, run):
    async def main():
        with pytest.raises(ValueError, match="released too many times"):
            aio.BoundedSemaphore(1).release()
        with pytest.raises(ValueError, match="initial value must be >= 0"):
            aio.Semaphore(-1)

    run(main())


def test_barrier_lets_all_pass_together(aio, run):
    async def main():
        barrier = aio.Barrier(3)
        places = await aio.gather(*[barrier.wait() for _ in range(3)])
        return sorted(places), barrier.n_waiting

    assert run(main()) == ([0, 1, 2], 0)


def test_broken_barrier(aio, run):
    async def main():
        barrier = aio.Barrier(2)
        waiting = aio.create_task(barrier.wait())
        await aio.sleep(0)
        await barrier.abort()
        with pytest.raises(aio.BrokenBarrierError):
            await waiting
        assert barrier.broken

    run(main())


def test_other_loop_is_refused(aio):
    lock = aio.Lock()

    async def wait_twice():
        await lock.acquire()
        waiting = aio.create_task(lock.acquire())
        await aio.sleep(0)
        waiting.cancel()

    first, second = aio.new_event_loop(), aio.new_event_loop()
    try:
        first.run_until_complete(wait_twice())
        with pytest.raises(RuntimeError, match="is bound to a different event loop"):
            second.run_until_complete(lock.acquire())
    finally:
        first.close()
        second.close()


@pytest.mark.parametrize("kind", ["Lock", "Event", "Condition", "Semaphore", "BoundedSemaphore"])
def test_cycles_are_collected(kind):
    class Sub(getattr(ferrio, kind)):
        pass

    thing = Sub()
    thing.itself = thing
    gone = weakref.ref(thing)
    del thing
    gc.collect()
    assert gone() is None
