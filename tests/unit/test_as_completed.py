"""`as_completed`: futures in the order in which they end, with `async for` and with `for`."""

import asyncio
import gc
import weakref

import pytest
from tests.unit.implementations import failure, forever, since, value_of

import ferrio


def test_plain_iteration_gives_results_as_they_come(aio, run):
    async def main():
        coros = [value_of(aio, "slow", 3), value_of(aio, "fast"), value_of(aio, "mean", 1)]
        return [await following for following in aio.as_completed(coros)]

    assert run(main()) == ["fast", "mean", "slow"]


@since(3, 13)
def test_async_iteration_gives_the_futures_themselves(aio, run):
    async def main():
        slow, fast = aio.create_task(value_of(aio, "slow", 3)), aio.create_task(value_of(aio, "fast"))
        future = aio.Future()
        aio.get_running_loop().call_soon(future.set_result, "future")
        order = [earliest async for earliest in aio.as_completed([slow, fast, future])]
        assert [earliest.done() for earliest in order] == [True] * 3
        assert order[-1] is slow and set(order) == {slow, fast, future}

    run(main())


@since(3, 13)
def test_async_iteration_makes_tasks_of_coroutines(aio, run):
    async def main():
        results = []
        async for task in aio.as_completed([value_of(aio, 1), value_of(aio, 2, 1)]):
            assert isinstance(task, aio.Task)
            results.append(await task)
        return results

    assert run(main()) == [1, 2]


@since(3, 13)
def test_both_forms_work_on_one_iterator(aio, run):
    async def main():
        iterator = aio.as_completed([value_of(aio, number, number) for number in range(3)])
        assert iter(iterator) is iterator and iterator.__aiter__() is iterator
        first = await next(iterator)
        second = await (await anext(iterator))
        third = await next(iterator)
        with pytest.raises(StopIteration):
            next(iterator)
        with pytest.raises(StopAsyncIteration):
            await anext(iterator)
        return first, second, third

    assert run(main()) == (0, 1, 2)


def test_errors_come_from_the_awaitables(aio, run):
    async def main():
        following = list(aio.as_completed([failure(aio, LookupError("spam")), value_of(aio, 1, 1)]))
        with pytest.raises(LookupError, match="spam"):
            await following[0]
        return await following[1]

    assert run(main()) == 1


@since(3, 13)
def test_errors_do_not_end_async_iteration(aio, run):
    async def main():
        tasks = aio.as_completed([failure(aio, LookupError("spam")), value_of(aio, 1, 1)])
        return [task.exception() async for task in tasks]

    assert [type(error) for error in run(main())] == [LookupError, type(None)]


def test_timeout(aio, run):
    async def main():
        tasks = [aio.create_task(forever(aio)), aio.create_task(value_of(aio, 1)), aio.create_task(forever(aio))]
        results, timeouts = [], 0
        # Otherwise a machine that stalls for a moment lets the time pass before the loop reports the result.
        await tasks[1]
        for following in aio.as_completed(tasks, timeout=0.01):
            try:
                results.append(await following)
            except TimeoutError:
                timeouts += 1
        assert (results, timeouts) == ([1], 2)
        assert not tasks[0].done() and not tasks[0]._callbacks
        for task in tasks:
            task.cancel()

    run(main())


@since(3, 13)
def test_timeout_of_async_iteration(aio, run):
    async def main():
        slow, fast = aio.create_task(forever(aio)), aio.create_task(value_of(aio, 1))
        seen = []
        await fast
        with pytest.raises(TimeoutError):
            async for task in aio.as_completed([slow, fast], timeout=0.01):
                seen.append(task)  # noqa: PERF401 (what comes before the error counts)
        assert seen == [fast]
        slow.cancel()

    run(main())


def test_timeout_that_is_not_needed():
    loop = ferrio.EventLoop(virtual_time=True)

    async def main():
        start = loop.time()
        async for task in ferrio.as_completed([ferrio.sleep(2), ferrio.sleep(1)], timeout=10):
            assert await task is None
        assert loop.time() - start == pytest.approx(2)

    loop.run_until_complete(main())
    # The timer went with the last of them, so nothing is left that would make the clock jump.
    before = loop.time()
    loop.run_until_complete(ferrio.sleep(0))
    assert loop.time() - before < 5
    loop.close()


def test_nothing(aio, run):
    async def main():
        return [await following for following in aio.as_completed([], timeout=1)]

    assert run(main()) == []


def test_one_awaitable_given_twice_comes_once(aio, run):
    async def main():
        coro = value_of(aio, "spam")
        following = list(aio.as_completed([coro, coro, value_of(aio, "eggs", 1)]))
        return [await one for one in following]

    assert run(main()) == ["spam", "eggs"]


def test_waiters_are_served_in_order(aio, run):
    async def main():
        futures = [aio.Future() for _ in range(3)]
        tasks = [aio.ensure_future(following) for following in aio.as_completed(futures)]
        await aio.sleep(0)
        for number, future in enumerate(reversed(futures)):
            future.set_result(number)
        return await aio.gather(*tasks)

    assert run(main()) == [0, 1, 2]


def test_cancelled_waiter_wakes_the_next(aio, run):
    async def main():
        futures = [aio.Future() for _ in range(2)]
        first, second = (aio.ensure_future(following) for following in aio.as_completed(futures))
        await aio.sleep(0)
        futures[0].set_result("spam")
        await aio.sleep(0)
        # Woken in this very turn, and cancelled before it could take its future.
        first.cancel()
        with pytest.raises(aio.CancelledError):
            await first
        return await second

    assert run(main()) == "spam"


@since(3, 14, 10)
def test_cancelled_waiter_does_not_count(aio, run):
    async def main():
        future = aio.Future()
        iterator = aio.as_completed([future])
        waiting = aio.create_task(anext(iterator))
        await aio.sleep(0)
        waiting.cancel()
        with pytest.raises(aio.CancelledError):
            await waiting
        future.set_result(None)
        assert await anext(iterator) is future

    run(main())


@pytest.mark.parametrize("make", [lambda aio: aio.Future(), lambda aio: forever(aio)], ids=["future", "coroutine"])
@since(3, 13)
def test_single_awaitable_is_refused(aio, run, make):
    async def main():
        single = make(aio)
        with pytest.raises(TypeError, match="iterable of awaitables"):
            # Older Pythons check the argument only at the first step.
            next(aio.as_completed(single))
        if hasattr(single, "close"):
            single.close()

    run(main())


def test_many(run, aio):
    async def main():
        total = 0
        for following in aio.as_completed([value_of(aio, number, number % 3) for number in range(3000)]):
            total += await following
        return total

    assert run(main()) == sum(range(3000))


def test_standard_tasks():
    loop = ferrio.new_event_loop()

    async def main():
        standard, ours = asyncio.Task(value_of(ferrio, 1, 2)), ferrio.create_task(value_of(ferrio, 2))
        return [earliest async for earliest in ferrio.as_completed([standard, ours])] == [ours, standard]

    assert loop.run_until_complete(main())
    loop.close()


def test_never_awaited_awaitable_warns():
    loop = ferrio.new_event_loop()

    async def main():
        with pytest.warns(RuntimeWarning, match="was never awaited"):
            for following in ferrio.as_completed([value_of(ferrio, 1)]):
                del following
            gc.collect()
        await ferrio.sleep(0)

    loop.run_until_complete(main())
    loop.close()


def test_cycle_is_collected(collected):
    loop = ferrio.new_event_loop()

    async def main():
        future = loop.create_future()
        future.cycle = iterator = ferrio.as_completed([future])
        waiting = ferrio.create_task(anext(iterator))
        await ferrio.sleep(0)
        waiting.cancel()
        await ferrio.sleep(0)
        return weakref.ref(iterator)

    gone = loop.run_until_complete(main())
    collected()
    assert gone() is None
    loop.close()


def test_futures_that_are_done_come_in_the_order_in_which_they_were_given(run):
    async def main():
        loop = ferrio.get_running_loop()
        futures = [loop.create_future() for _ in range(50)]
        for number, future in enumerate(futures):
            future.set_result(number)
        shuffled = futures[1::2] + futures[::2]
        order = [future.result() async for future in ferrio.as_completed(shuffled + futures)]
        assert order == [future.result() for future in shuffled]

    run(main())
