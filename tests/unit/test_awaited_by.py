"""`_asyncio_awaited_by`: who awaits a future, as the combinators record it for call graphs."""

import pytest
from tests.unit.implementations import failure, forever, since, value_of

import ferrio
from ferrio import _ferrio


def waiters(future):
    """Returns a future's waiters as a set; without any the attribute is None or an empty set."""
    return set(future._asyncio_awaited_by or ())


@since(3, 14)
def test_await(aio, run):
    async def main():
        future = aio.Future()

        async def waiting():
            await future

        tasks = [aio.create_task(waiting()) for _ in range(2)]
        assert waiters(future) == set()
        await aio.sleep(0)
        assert waiters(future) == set(tasks)
        future.set_result(None)
        await aio.wait(tasks)
        assert waiters(future) == set()

    run(main())


@since(3, 14)
def test_await_of_a_subclass(aio, run):
    class OwnFuture(aio.Future):
        pass

    class OwnTask(aio.Task):
        pass

    async def main():
        async def waiting(future):
            await future

        for future in (OwnFuture(), OwnTask(forever(aio))):
            task = aio.create_task(waiting(future))
            await aio.sleep(0)
            assert waiters(future) == {task}
            future.cancel()
            with pytest.raises(aio.CancelledError):
                await task
            assert waiters(future) == set()

    run(main())


@since(3, 14)
def test_gather(aio, run):
    async def main():
        children = [aio.Future(), aio.Future()]

        async def waiting():
            outer.append(aio.gather(*children))
            await outer[0]

        outer = []
        task = aio.create_task(waiting())
        await aio.sleep(0)
        assert [waiters(child) for child in children] == [{task}, {task}]
        assert waiters(outer[0]) == {task}
        children[0].set_result(None)
        await aio.sleep(0)
        await aio.sleep(0)
        assert [waiters(child) for child in children] == [set(), {task}]
        task.cancel()
        await aio.wait([task])

    run(main())


@since(3, 15)
def test_children_that_outlive_a_gather_have_no_waiter(aio, run):
    async def main():
        slow = aio.create_task(forever(aio))
        with pytest.raises(LookupError):
            await aio.gather(failure(aio, LookupError()), slow)
        assert waiters(slow) == set()
        slow.cancel()

    run(main())


@since(3, 14)
def test_wait(aio, run):
    async def main():
        future = aio.Future()
        task = aio.create_task(aio.wait([future]))
        await aio.sleep(0)
        assert waiters(future) == {task}
        task.cancel()
        await aio.wait([task])
        assert waiters(future) == set()

    run(main())


@since(3, 15)
def test_as_completed(aio, run):
    async def main():
        future = aio.Future()
        # Before Python 3.13 the first step starts it.
        earliest = anext(aio.as_completed([future]))
        assert waiters(future) == {aio.current_task()}
        future.set_result(None)
        assert await earliest is future
        assert waiters(future) == set()

    run(main())


@since(3, 14, 10)
def test_shield(aio, run):
    async def main():
        inner = aio.Future()

        async def waiting():
            await aio.shield(inner)

        task = aio.create_task(waiting())
        await aio.sleep(0)
        assert waiters(inner) == {task}
        task.cancel()
        await aio.wait([task])
        assert waiters(inner) == set()

    run(main())


def test_shielded_future_is_awaited_by_the_waiter_of_the_shield():
    loop = ferrio.new_event_loop()

    async def main():
        inner = ferrio.Future()
        outer = ferrio.shield(inner)
        assert waiters(inner) == set()

        async def waiting():
            await outer

        task = ferrio.create_task(waiting())
        await ferrio.sleep(0)
        assert waiters(inner) == {task}
        task.cancel()
        await ferrio.wait([task])

    loop.run_until_complete(main())
    loop.close()


@since(3, 14)
def test_python_subclass(aio, run):
    class Future(aio.Future):
        def result(self):
            return super().result()

    async def main():
        future = Future()

        async def waiting():
            await aio.gather(future)

        task = aio.create_task(waiting())
        await aio.sleep(0)
        assert waiters(future) == {task}
        future.set_result(None)
        await task

    run(main())


@since(3, 14)
def test_recorded_by_hand(aio, run):
    async def main():
        future, other = aio.Future(), aio.create_task(value_of(aio, 1))
        aio.future_add_to_awaited_by(future, other)
        aio.future_add_to_awaited_by(future, aio.current_task())
        assert waiters(future) == {other, aio.current_task()}
        aio.future_discard_from_awaited_by(future, other)
        assert waiters(future) == {aio.current_task()}
        aio.future_add_to_awaited_by(future, object())
        aio.future_add_to_awaited_by(object(), other)
        await other

    run(main())


def test_watchers_are_not_shown_as_waiters():
    """The objects behind the edges appear as callbacks, never as waiters."""
    loop = _ferrio.Loop()
    future = loop.create_future()
    future.add_done_callback(print)
    outer = _ferrio.gather(future)
    assert future._asyncio_awaited_by is None
    assert [callback for callback, _context in future._callbacks] == [print, outer]
    future.remove_done_callback(print)
    future.cancel()
    loop.close()
