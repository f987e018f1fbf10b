"""`Condition`: the same bodies on asyncio and on ferrio."""

import weakref

import pytest
from tests.unit.implementations import since

import ferrio


def test_notified_tasks_get_the_lock_one_at_a_time_in_order(aio):
    async def main():
        condition, order = aio.Condition(), []

        async def waiter(name):
            async with condition:
                assert await condition.wait() is True
                order.append(name)
                await aio.sleep(0)

        tasks = [aio.create_task(waiter(name)) for name in "abcd"]
        await aio.sleep(0)
        async with condition:
            condition.notify(2)
            await aio.sleep(0)
            assert order == []
        await aio.wait(tasks[:2])
        assert order == ["a", "b"]
        async with condition:
            condition.notify_all()
        await aio.gather(*tasks)
        return order

    assert aio.run(main()) == list("abcd")


def test_methods_that_need_the_lock_say_so(aio):
    async def main():
        condition = aio.Condition()
        with pytest.raises(RuntimeError, match=r"^cannot wait on un-acquired lock$"):
            await condition.wait()
        with pytest.raises(RuntimeError, match=r"^cannot notify on un-acquired lock$"):
            condition.notify()
        with pytest.raises(RuntimeError, match=r"^cannot notify on un-acquired lock$"):
            condition.notify_all()
        with pytest.raises(RuntimeError):
            condition.release()

    aio.run(main())


def test_wait_for_returns_what_the_predicate_returned(aio):
    async def main():
        condition, items = aio.Condition(), []

        async def consumer():
            async with condition:
                return await condition.wait_for(lambda: items and items[0])

        task = aio.create_task(consumer())
        await aio.sleep(0)
        async with condition:
            condition.notify_all()
        await aio.sleep(0)
        assert not task.done()
        async with condition:
            items.append("news")
            condition.notify_all()
        return await task

    assert aio.run(main()) == "news"


def test_wait_for_passes_on_what_the_predicate_raises(aio):
    async def main():
        condition = aio.Condition()
        async with condition:
            with pytest.raises(ZeroDivisionError):
                await condition.wait_for(lambda: 1 / 0)
        assert not condition.locked()

    aio.run(main())


@since(3, 13)  # gh-112202
def test_cancelled_wait_takes_the_lock_first(aio):
    async def main():
        condition, seen = aio.Condition(), []

        async def waiter():
            async with condition:
                try:
                    await condition.wait()
                except aio.CancelledError as error:
                    seen.append((condition.locked(), error.args, error.__context__.args))
                    raise

        task = aio.create_task(waiter())
        await aio.sleep(0)
        await condition.acquire()
        task.cancel("first")
        await aio.sleep(0)
        await aio.sleep(0)
        assert not task.done()
        task.cancel("second")
        await aio.sleep(0)
        await aio.sleep(0)
        assert not task.done()
        condition.release()
        with pytest.raises(aio.CancelledError):
            await task
        assert not condition.locked()
        assert not condition._waiters
        return seen

    # The newest cancellation is raised, exactly as it came: while the first one was being handled.
    assert aio.run(main()) == [(True, ("second",), ("first",))]


@since(3, 13)  # gh-112202
@pytest.mark.parametrize("turns", range(4))
def test_notification_for_a_cancelled_waiter_goes_to_the_next(aio, turns):
    async def main():
        condition, passed = aio.Condition(), []

        async def waiter(name):
            async with condition:
                await condition.wait()
                passed.append(name)

        tasks = [aio.create_task(waiter(name)) for name in "abc"]
        await aio.sleep(0)
        async with condition:
            condition.notify()
            for _ in range(turns):
                await aio.sleep(0)
            tasks[0].cancel()
        await aio.wait(tasks[:1])
        await aio.wait_for(tasks[1], 10)
        assert not tasks[2].done()
        tasks[2].cancel()
        await aio.wait(tasks)
        return passed

    assert aio.run(main()) == ["b"]


def test_lock_may_be_shared(aio):
    async def main():
        lock = aio.Lock()
        not_empty, not_full = aio.Condition(lock), aio.Condition(lock)
        assert not_empty._lock is lock
        async with not_empty:
            assert lock.locked()
            assert not_full.locked()
            not_full.notify()
        assert not lock.locked()
        assert await not_full.acquire() is True
        assert lock.locked()
        not_full.release()

    aio.run(main())


class Turnstile:
    """A lock that is neither asyncio's nor ferrio's."""

    def __init__(self, aio):
        self.inner = aio.Lock()
        self.calls = []

    def locked(self):
        return self.inner.locked()

    async def acquire(self):
        self.calls.append("acquire")
        await self.inner.acquire()
        return "through"

    def release(self):
        self.calls.append("release")
        self.inner.release()


def test_lock_may_be_of_any_class(aio):
    async def main():
        turnstile = Turnstile(aio)
        condition = aio.Condition(turnstile)

        async def waiter():
            async with condition:
                await condition.wait()

        tasks = [aio.create_task(waiter()) for _ in range(2)]
        await aio.sleep(0)
        assert await condition.acquire() == "through"
        condition.notify_all()
        condition.release()
        await aio.gather(*tasks)
        assert not turnstile.locked()
        return turnstile.calls

    calls = aio.run(main())
    assert calls.count("acquire") == calls.count("release") == 5


def test_wait_cancelled_while_it_takes_a_foreign_lock(aio):
    async def main():
        condition = aio.Condition(Turnstile(aio))

        async def waiter():
            async with condition:
                await condition.wait()

        task = aio.create_task(waiter())
        await aio.sleep(0)
        async with condition:
            condition.notify()
            await aio.sleep(0)
            task.cancel()
            await aio.sleep(0)
            assert not task.done()
        with pytest.raises(aio.CancelledError):
            await task
        assert not condition.locked()

    aio.run(main())


def test_object_that_is_not_a_lock_is_refused(aio):
    with pytest.raises(AttributeError):
        aio.Condition(object())


def test_repr(aio):
    async def main():
        condition = aio.Condition()
        assert repr(condition).endswith(" [unlocked]>")

        async def waiter():
            async with condition:
                await condition.wait()

        task = aio.create_task(waiter())
        await aio.sleep(0)
        assert repr(condition).endswith(" [unlocked, waiters:1]>")
        async with condition:
            assert repr(condition).endswith(" [locked, waiters:1]>")
            condition.notify()
        await task

    aio.run(main())


def test_subclass_may_override_wait_and_notify(aio):
    calls = []

    class Logged(aio.Condition):
        async def wait(self):
            calls.append("wait")
            return await super().wait()

        def notify(self, n=1):
            calls.append(f"notify {n}")
            super().notify(n)

    async def main():
        condition, done = Logged(), []

        async def waiter():
            async with condition:
                await condition.wait_for(lambda: done)

        task = aio.create_task(waiter())
        await aio.sleep(0)
        async with condition:
            done.append(True)
            condition.notify_all()
        await task

    aio.run(main())
    assert calls == ["wait", "notify 1"]


def test_object_belongs_to_the_loop_it_first_waited_on(aio):
    condition = aio.Condition()

    async def wait():
        async with condition:
            with pytest.raises(aio.TimeoutError):
                await aio.wait_for(condition.wait(), 0.001)

    async def wait_elsewhere():
        async with condition:
            with pytest.raises(RuntimeError, match=r"Condition object at .* is bound to a different event loop"):
                await condition.wait()
            assert condition.locked()

    aio.run(wait())
    aio.run(wait_elsewhere())


def test_condition_in_a_cycle_is_collected(collected):
    condition = ferrio.Condition()
    condition.myself = condition
    gone = weakref.ref(condition)
    del condition
    collected()
    assert gone() is None
