"""`Event`: the same bodies on asyncio and on ferrio, then what only ferrio promises."""

import threading
import weakref

import pytest

import ferrio


def test_wait_for_a_set_event_does_not_suspend(aio):
    async def main():
        event = aio.Event()
        event.set()
        other = aio.create_task(aio.sleep(0))
        assert await event.wait() is True
        assert not other.done()
        await other

    aio.run(main())


def test_set_wakes_all_waiters_in_order(aio):
    async def main():
        event, order = aio.Event(), []

        async def waiter(number):
            order.append((number, await event.wait()))

        tasks = [aio.create_task(waiter(number)) for number in range(5)]
        await aio.sleep(0)
        event.set()
        event.set()
        assert order == []
        await aio.gather(*tasks)
        return order

    assert aio.run(main()) == [(number, True) for number in range(5)]


def test_clear_does_not_revoke_a_wake_up(aio):
    async def main():
        event = aio.Event()
        task = aio.create_task(event.wait())
        await aio.sleep(0)
        event.set()
        event.clear()
        assert not event.is_set()
        late = aio.create_task(event.wait())
        assert await task is True
        await aio.sleep(0)
        assert not late.done()
        event.set()
        assert await late is True

    aio.run(main())


def test_cancelled_waiter_leaves(aio):
    async def main():
        event = aio.Event()
        tasks = [aio.create_task(event.wait()) for _ in range(3)]
        await aio.sleep(0)
        assert repr(event).endswith(" [unset, waiters:3]>")
        tasks[1].cancel()
        await aio.wait([tasks[1]])
        assert repr(event).endswith(" [unset, waiters:2]>")
        assert len(event._waiters) == 2
        event.set()
        assert repr(event).endswith(" [set, waiters:2]>")
        await aio.gather(tasks[0], tasks[2])
        assert repr(event).endswith(" [set]>")

    aio.run(main())


def test_object_belongs_to_the_loop_it_first_waited_on(aio):
    event = aio.Event()

    async def wait():
        with pytest.raises(aio.TimeoutError):
            await aio.wait_for(event.wait(), 0.001)

    async def wait_elsewhere():
        with pytest.raises(RuntimeError, match=r"Event object at .* is bound to a different event loop"):
            await event.wait()
        event.set()
        assert await event.wait()

    aio.run(wait())
    aio.run(wait_elsewhere())


def test_subclass_may_have_its_own_arguments(aio):
    class Named(aio.Event):
        def __init__(self, name):
            super().__init__()
            self.name = name

    event = Named("dinner")
    assert event.name == "dinner"
    assert "Named object at" in repr(event)
    assert not event.is_set()


def test_thousand_waiters_are_woken_many_times(aio):
    async def main():
        events = [aio.Event() for _ in range(20)]
        passed = 0

        async def waiter():
            nonlocal passed
            for event in events:
                await event.wait()
                passed += 1

        tasks = [aio.create_task(waiter()) for _ in range(1_000)]
        await aio.sleep(0)
        for number, event in enumerate(events, 1):
            event.set()
            await aio.sleep(0)
            assert passed == number * 1_000
        await aio.gather(*tasks)

    aio.run(main())


def test_wait_without_a_loop():
    wait = ferrio.Event().wait()
    with pytest.raises(RuntimeError, match=r"no running event loop"):
        wait.send(None)


def test_set_from_another_thread_wakes_ferrios_loop():
    async def main():
        event = ferrio.Event()
        thread = threading.Thread(target=event.set)
        waiting = ferrio.create_task(event.wait())
        await ferrio.sleep(0)
        thread.start()
        assert await waiting is True
        thread.join()

    ferrio.run(main())


def test_event_in_a_cycle_is_collected(collected):
    event = ferrio.Event()
    event.myself = event
    gone = weakref.ref(event)
    del event
    collected()
    assert gone() is None
