"""`Semaphore` and `BoundedSemaphore`: the same bodies on asyncio and on ferrio."""

import math
import weakref

import pytest
from tests.unit.implementations import since

import ferrio


@pytest.fixture(params=["Semaphore", "BoundedSemaphore"])
def kind(aio, request):
    """A semaphore class under test."""
    return getattr(aio, request.param)


def test_free_semaphore_is_acquired_without_suspending(aio, kind):
    async def main():
        semaphore = kind(2)
        other = aio.create_task(aio.sleep(0))
        assert await semaphore.acquire() is True
        async with semaphore as nothing:
            assert nothing is None
            assert semaphore.locked()
        assert not semaphore.locked()
        assert not other.done()
        semaphore.release()
        assert semaphore._value == 2
        await other

    aio.run(main())


def test_waiters_enter_in_order_up_to_the_limit(aio, kind):
    async def main():
        semaphore, order, inside, most = kind(3), [], 0, 0

        async def worker(number):
            nonlocal inside, most
            async with semaphore:
                order.append(number)
                inside += 1
                most = max(most, inside)
                await aio.sleep(0)
                inside -= 1

        await aio.gather(*[worker(number) for number in range(20)])
        assert semaphore._value == 3
        return order, most

    assert aio.run(main()) == (list(range(20)), 3)


def test_late_comer_does_not_overtake(aio, kind):
    async def main():
        semaphore, order = kind(1), []
        await semaphore.acquire()

        async def take(name):
            await semaphore.acquire()
            order.append(name)

        first = aio.create_task(take("first"))
        await aio.sleep(0)
        semaphore.release()
        assert semaphore._value == 0
        assert semaphore.locked()
        second = aio.create_task(take("second"))
        await first
        semaphore.release()
        await second
        return order

    assert aio.run(main()) == ["first", "second"]


def test_waiter_cancelled_after_its_wake_up_passes_it_on(aio, kind):
    async def main():
        semaphore = kind(1)
        await semaphore.acquire()
        first, second = aio.create_task(semaphore.acquire()), aio.create_task(semaphore.acquire())
        await aio.sleep(0)
        semaphore.release()
        first.cancel()
        assert await second is True
        assert first.cancelled()
        assert semaphore._value == 0
        assert not semaphore._waiters

    aio.run(main())


def test_many_releases_wake_many(aio):
    async def main():
        semaphore = aio.Semaphore(0)
        tasks = [aio.create_task(semaphore.acquire()) for _ in range(2_000)]
        await aio.sleep(0)
        for _ in range(1_500):
            semaphore.release()
        await aio.sleep(0)
        assert sum(task.done() for task in tasks) == 1_500
        assert all(task.done() for task in tasks[:1_500])
        assert repr(semaphore).endswith(" [locked, waiters:500]>")
        for task in tasks:
            task.cancel()
        await aio.wait(tasks)
        assert semaphore._value == 0

    aio.run(main())


def test_release_too_often_raises(aio):
    bounded = aio.BoundedSemaphore(2)
    with pytest.raises(ValueError, match=r"^BoundedSemaphore released too many times$"):
        bounded.release()
    plain = aio.Semaphore(2)
    plain.release()
    assert plain._value == 3


def test_initial_value_is_checked(aio, kind):
    with pytest.raises(ValueError, match=r"^Semaphore initial value must be >= 0$"):
        kind(-1)
    with pytest.raises(TypeError):
        kind("many")
    assert kind()._value == 1
    assert kind(value=5)._value == 5
    assert kind(0).locked()


@pytest.mark.parametrize("value", [3, 3.0, 10**30], ids=repr)
def test_value_may_be_any_whole_number(aio, kind, value):
    async def main():
        semaphore = kind(value)
        for _ in range(3):
            await semaphore.acquire()
        assert semaphore.locked() == (value == 3)
        semaphore.release()
        assert not semaphore.locked()

    aio.run(main())


def test_semaphore_without_a_limit(aio):
    async def main():
        semaphore = aio.Semaphore(math.inf)
        for _ in range(100):
            await semaphore.acquire()
        assert not semaphore.locked()
        assert semaphore._value == math.inf

    aio.run(main())


def test_repr(aio, kind):
    async def main():
        semaphore = kind(1)
        assert repr(semaphore).endswith(" [unlocked, value:1]>")
        await semaphore.acquire()
        assert repr(semaphore).endswith(" [locked]>")
        task = aio.create_task(semaphore.acquire())
        await aio.sleep(0)
        assert repr(semaphore).endswith(" [locked, waiters:1]>")
        semaphore.release()
        await task

    aio.run(main())


def test_value_may_be_changed_from_outside(aio):
    async def main():
        semaphore = aio.Semaphore(1)
        semaphore._value += 1
        await semaphore.acquire()
        await semaphore.acquire()
        assert semaphore.locked()

    aio.run(main())


def test_async_with_calls_overridden_methods(aio, kind):
    calls = []

    class Logged(kind):
        async def acquire(self):
            calls.append("acquire")
            return await super().acquire()

        def release(self):
            calls.append("release")
            super().release()

    async def main():
        async with Logged(1) as nothing:
            assert nothing is None

    aio.run(main())
    assert calls == ["acquire", "release"]


def test_object_belongs_to_the_loop_it_first_waited_on(aio, kind):
    semaphore = kind(0)

    async def wait():
        with pytest.raises(aio.TimeoutError):
            await aio.wait_for(semaphore.acquire(), 0.001)

    async def wait_elsewhere():
        with pytest.raises(RuntimeError, match=r"Semaphore object at .* is bound to a different event loop"):
            await semaphore.acquire()

    aio.run(wait())
    aio.run(wait_elsewhere())


@since(3, 13)  # gh-111693
def test_burst_of_releases_before_a_waiter_runs(aio):
    async def main():
        semaphore = aio.Semaphore(0)
        first = aio.create_task(semaphore.acquire())
        await aio.sleep(0)
        semaphore.release()
        semaphore.release()
        second = aio.create_task(semaphore.acquire())
        assert await aio.wait_for(aio.gather(first, second), 10) == [True, True]

    aio.run(main())


def test_semaphore_in_a_cycle_is_collected(collected):
    semaphore = ferrio.BoundedSemaphore(1)
    semaphore.myself = semaphore
    gone = weakref.ref(semaphore)
    del semaphore
    collected()
    assert gone() is None
