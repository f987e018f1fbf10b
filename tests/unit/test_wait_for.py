"""`wait_for`: the same bodies on asyncio and on ferrio, then mixtures of both."""

import asyncio

import pytest
from tests.unit.implementations import since

import ferrio


async def at_once(value):
    return value


async def fail(error):
    raise error


@pytest.mark.parametrize("limit", [None, 100, 99.5, True])
def test_in_time(aio, limit):
    async def main():
        loop = aio.get_running_loop()
        future = loop.create_future()
        loop.call_soon(future.set_result, "future")
        return [
            await aio.wait_for(at_once("coroutine"), limit),
            await aio.wait_for(aio.sleep(0, "sleep"), limit),
            await aio.wait_for(aio.create_task(at_once("task")), limit),
            await aio.wait_for(future, limit),
            aio.current_task().cancelling(),
        ]

    assert aio.run(main()) == ["coroutine", "sleep", "task", "future", 0]


def test_awaitable_object(aio):
    class Awaitable:
        def __await__(self):
            yield from aio.sleep(0).__await__()
            return 7

    async def main():
        return await aio.wait_for(Awaitable(), 100)

    assert aio.run(main()) == 7


@pytest.mark.parametrize("kind", ["coroutine", "task", "future"])
def test_timeout_cancels_and_raises(aio, kind):
    async def main():
        thing = {
            "coroutine": lambda: aio.sleep(10),
            "task": lambda: aio.create_task(aio.sleep(10)),
            "future": lambda: aio.get_running_loop().create_future(),
        }[kind]()
        with pytest.raises(TimeoutError) as caught:
            await aio.wait_for(thing, 0.001)
        if kind != "coroutine":
            assert thing.cancelled()
        assert isinstance(caught.value.__cause__, aio.CancelledError)
        assert caught.value.__context__ is caught.value.__cause__
        return aio.current_task().cancelling()

    assert aio.run(main()) == 0


def test_timeout_ends_at_its_time(virtually):
    async def main():
        loop = ferrio.get_running_loop()
        start = loop.time()
        with pytest.raises(TimeoutError):
            await ferrio.wait_for(ferrio.sleep(100), 2.5)
        return loop.time() - start

    assert virtually(main()) == pytest.approx(2.5)


@pytest.mark.parametrize("limit", [0, -1, -0.5])
def test_deadline_that_has_already_passed(aio, limit):
    begun = []

    async def work():
        begun.append(True)

    async def main():
        with pytest.raises(TimeoutError) as caught:
            await aio.wait_for(work(), limit)
        assert isinstance(caught.value.__cause__, aio.CancelledError)
        done = aio.get_running_loop().create_future()
        done.set_result(5)
        return await aio.wait_for(done, limit)

    assert aio.run(main()) == 5
    assert begun == []


def test_no_time_for_a_task_that_resists(aio):
    async def resist():
        try:
            await aio.sleep(10)
        except aio.CancelledError:
            await aio.sleep(0)
            return "resisted"

    async def main():
        task = aio.create_task(resist())
        await aio.sleep(0)
        return await aio.wait_for(task, 0)

    assert aio.run(main()) == "resisted"


def test_no_time_for_a_task_that_fails(aio):
    async def resist():
        try:
            await aio.sleep(10)
        finally:
            raise LookupError("spam")

    async def main():
        task = aio.create_task(resist())
        await aio.sleep(0)
        with pytest.raises(LookupError, match="spam"):
            await aio.wait_for(task, 0)

    aio.run(main())


def test_no_time_and_cancelled_in_between(aio):
    """Waiting for a cancelled task can itself be cancelled, and leaves no callback behind."""

    async def resist():
        for _ in range(3):
            try:
                await aio.sleep(10)
            except aio.CancelledError:
                pass
        return "resisted"

    async def main():
        task = aio.create_task(resist())
        await aio.sleep(0)
        waiting = aio.create_task(aio.wait_for(task, 0))
        await aio.sleep(0)
        waiting.cancel()
        with pytest.raises(aio.CancelledError):
            await waiting
        assert not task.done()
        assert not task._callbacks
        task.cancel()
        await aio.sleep(0)
        task.cancel()
        return await task

    assert aio.run(main()) == "resisted"


def test_cancelled_from_outside(aio):
    async def main():
        task = aio.create_task(aio.sleep(10))
        waiting = aio.create_task(aio.wait_for(task, 10))
        await aio.sleep(0)
        await aio.sleep(0)
        waiting.cancel("enough")
        with pytest.raises(aio.CancelledError):
            await waiting
        return task.cancelled(), waiting.cancelling()

    assert aio.run(main()) == (True, 1)


@pytest.mark.parametrize("limit", [None, 100])
def test_exceptions_pass_through(aio, limit):
    async def main():
        with pytest.raises(LookupError, match="spam"):
            await aio.wait_for(fail(LookupError("spam")), limit)

    aio.run(main())


def test_exception_during_the_cancellation(aio):
    async def work():
        try:
            await aio.sleep(10)
        finally:
            raise LookupError("spam")

    async def main():
        with pytest.raises(LookupError, match="spam"):
            await aio.wait_for(work(), 0.001)
        return aio.current_task().cancelling()

    assert aio.run(main()) == 0


@since(3, 12)
def test_value_in_spite_of_the_cancellation(aio):
    async def work():
        try:
            await aio.sleep(10)
        except aio.CancelledError:
            return "resisted"

    async def main():
        return await aio.wait_for(work(), 0.001), aio.current_task().cancelling()

    assert aio.run(main()) == ("resisted", 0)


@since(3, 12)
def test_runs_in_the_waiting_task(aio):
    """From 3.12 on no task is made for the coroutine: it sees the waiter's task, context and name."""

    async def who():
        return aio.current_task()

    async def main():
        return await aio.wait_for(who(), 1) is aio.current_task()

    assert aio.run(main())


def test_non_awaitable_argument_is_refused(virtually):
    async def main():
        loop = ferrio.get_running_loop()
        for limit in (None, 1, 0):
            with pytest.raises(TypeError):
                await ferrio.wait_for(42, limit)
        before = loop.time()
        await ferrio.sleep(5)
        return loop.time() - before, ferrio.current_task().cancelling()

    assert virtually(main()) == (5, 0)


@pytest.mark.parametrize("bad", ["1", []], ids=["str", "list"])
def test_bad_timeout_raises_at_the_await(aio, bad):
    async def main():
        future = aio.get_running_loop().create_future()
        wait = aio.wait_for(future, bad)
        with pytest.raises(TypeError):
            await wait
        assert not future.done()

    aio.run(main())


def test_outside_a_task():
    inner = ferrio.sleep(0)
    with pytest.raises(RuntimeError, match="no running event loop"):
        ferrio.wait_for(inner, 1).send(None)
    inner.close()


def test_result_passes_for_a_coroutine():
    """What `wait_for` returns counts as one for `create_task`, `gather` and a nested `wait_for`."""

    async def main():
        task = ferrio.create_task(ferrio.wait_for(ferrio.sleep(0, 1), 1))
        both = await ferrio.gather(ferrio.wait_for(ferrio.sleep(0, 2), 1), task)
        nested = await ferrio.wait_for(ferrio.wait_for(ferrio.sleep(0, 3), 2), 1)
        return [*both, nested]

    assert ferrio.run(main()) == [2, 1, 3]


def test_closing_closes_the_awaited_coroutine():
    closed = []

    async def work():
        try:
            await ferrio.sleep(10)
        finally:
            closed.append(True)

    async def main():
        operation = ferrio.wait_for(work(), 1)
        operation.send(None)
        operation.close()

    ferrio.run(main())
    assert closed == [True]


def test_call_graph_shows_who_awaits_the_cancelled_task(virtually):
    async def resist():
        try:
            await ferrio.sleep(10)
        except ferrio.CancelledError:
            await ferrio.sleep(1)

    async def main():
        task = ferrio.create_task(resist())
        await ferrio.sleep(0)
        waiting = ferrio.create_task(ferrio.wait_for(task, 0))
        await ferrio.sleep(0.5)
        assert task._asyncio_awaited_by == {waiting}
        await waiting
        return task._asyncio_awaited_by

    assert not virtually(main())


@pytest.mark.parametrize("loop_of", [asyncio, ferrio], ids=["asyncio loop", "ferrio loop"])
@pytest.mark.parametrize("names_of", [asyncio, ferrio], ids=["asyncio names", "ferrio names"])
def test_names_of_each_implementation_work_on_each_loop(loop_of, names_of):
    async def main():
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        loop.call_later(0.001, future.set_result, 3)
        assert await names_of.wait_for(future, 10) == 3
        for limit in (0, 0.001):
            with pytest.raises(TimeoutError):
                await names_of.wait_for(loop.create_task(asyncio.sleep(10)), limit)
        with pytest.raises(TimeoutError):
            await names_of.wait_for(names_of.sleep(10), 0.001)
        return asyncio.current_task().cancelling()

    loop = loop_of.new_event_loop()
    try:
        assert loop.run_until_complete(main()) == 0
    finally:
        loop.close()


@since(3, 12)
def test_await_method_that_returns_no_iterator(aio):
    class Wrong:
        def __await__(self):
            return 3

    async def main():
        with pytest.raises(
            TypeError, match=r"__await__\(\) (returned non-iterator of type 'int'|must return an iterator, not int)"
        ):
            await aio.wait_for(Wrong(), 60)

    aio.run(main())
