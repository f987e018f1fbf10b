"""`gather`: results in order, errors, cancellation, and what happens to the children."""

import asyncio
import gc
import weakref

import pytest
from tests.unit.implementations import Turns, failure, forever, since, value_of

import ferrio


def test_results_are_in_the_order_of_the_arguments(aio, run):
    async def main():
        return await aio.gather(value_of(aio, "a", 3), value_of(aio, "b"), value_of(aio, "c", 1))

    assert run(main()) == ["a", "b", "c"]


def test_many(run, aio):
    async def main():
        return await aio.gather(*[value_of(aio, number) for number in range(2000)])

    assert run(main()) == list(range(2000))


def test_nothing_to_gather(aio, run, loop):
    async def main():
        outer = aio.gather()
        assert outer.done() and outer.get_loop() is loop
        return await outer

    assert run(main()) == []


def test_futures_and_any_awaitable(aio, run):
    class Awaitable:
        def __await__(self):
            yield
            return "awaitable"

    async def main():
        future = aio.Future()
        aio.get_running_loop().call_soon(future.set_result, "future")
        task = aio.create_task(value_of(aio, "task", 1))
        return await aio.gather(future, task, Awaitable())

    assert run(main()) == ["future", "task", "awaitable"]


@pytest.mark.parametrize("others", [0, 40])
def test_same_awaitable_twice_is_one_child(aio, run, others):
    async def main():
        coro, future = value_of(aio, "coro"), aio.Future()
        future.set_result("future")
        rest = [value_of(aio, number) for number in range(others)]
        return await aio.gather(coro, future, *rest, coro, future)

    assert run(main()) == ["coro", "future", *range(others), "coro", "future"]


def test_equal_awaitables_are_one_child(aio, run):
    class Equal:
        awaited = 0

        def __eq__(self, other):
            return isinstance(other, Equal)

        def __hash__(self):
            return 1

        def __await__(self):
            Equal.awaited += 1
            yield
            return "once"

    async def main():
        return await aio.gather(Equal(), Equal())

    assert run(main()) == ["once", "once"]
    assert Equal.awaited == 1


def test_first_error_ends_the_gather_and_the_others_go_on(aio, run):
    async def main():
        slow = aio.create_task(value_of(aio, "slow", 5))
        with pytest.raises(LookupError, match="spam"):
            await aio.gather(slow, failure(aio, LookupError("spam"), 1))
        assert not slow.done()
        return await slow

    assert run(main()) == "slow"


def test_return_exceptions(aio, run):
    async def main():
        cancelled, named = aio.create_task(forever(aio)), aio.Future()
        aio.get_running_loop().call_soon(cancelled.cancel)
        aio.get_running_loop().call_soon(named.cancel, "why")
        error = LookupError("spam")
        results = await aio.gather(failure(aio, error), cancelled, value_of(aio, 1), named, return_exceptions=True)
        assert results[0] is error
        assert type(results[1]) is aio.CancelledError and results[1].args == ("",)
        assert results[2] == 1
        assert type(results[3]) is aio.CancelledError and results[3].args == ("why",)
        assert len(results) == 4

    run(main())


def test_late_errors_are_not_reported(aio, run, loop):
    reports = []
    loop.set_exception_handler(lambda _, context: reports.append(context))

    async def main():
        with pytest.raises(LookupError):
            await aio.gather(failure(aio, LookupError()), failure(aio, ValueError(), 2))
        for _ in range(5):
            await aio.sleep(0)

    run(main())
    gc.collect()
    assert reports == []


def test_unretrieved_error_is_reported(aio, run, loop):
    reports = []
    loop.set_exception_handler(lambda _, context: reports.append(context["message"]))

    async def main():
        aio.gather(failure(aio, LookupError()))
        for _ in range(5):
            await aio.sleep(0)

    run(main())
    gc.collect()
    assert reports == ["_GatheringFuture exception was never retrieved"]


def test_cancelled_child_cancels_no_other(aio, run):
    async def main():
        child, other = aio.create_task(forever(aio)), aio.create_task(value_of(aio, 1, 4))
        outer = aio.gather(child, other)
        aio.get_running_loop().call_soon(child.cancel, "why")
        with pytest.raises(aio.CancelledError, match="why"):
            await outer
        assert not outer.cancelled() and not other.done()
        assert await other == 1

    run(main())


@pytest.mark.parametrize("return_exceptions", [False, True])
def test_cancel(aio, run, return_exceptions):
    seen = []

    async def child():
        try:
            await forever(aio)
        except aio.CancelledError as error:
            seen.append(error.args)
            raise

    async def main():
        outer = aio.gather(child(), child(), return_exceptions=return_exceptions)
        await aio.sleep(0)
        assert outer.cancel("why") is True
        assert not outer.done()
        with pytest.raises(aio.CancelledError, match="why"):
            await outer
        assert not outer.cancelled()
        assert outer.cancel() is False

    run(main())
    assert seen == [("why",), ("why",)]


def test_cancel_before_the_children_begin(aio, run):
    async def main():
        outer = aio.gather(forever(aio), forever(aio))
        outer.cancel()
        with pytest.raises(aio.CancelledError):
            await outer

    run(main())


def test_cancel_with_every_child_done(aio, run):
    async def main():
        futures = [aio.Future(), aio.Future()]
        outer = aio.gather(*futures)
        for future in futures:
            future.set_result(None)
        assert outer.cancel() is False
        return await outer

    assert run(main()) == [None, None]


def test_awaiting_task_is_cancelled(aio, run):
    async def main():
        children = [aio.create_task(forever(aio)) for _ in range(3)]

        async def waiting():
            await aio.gather(*children)

        task = aio.create_task(waiting())
        await aio.sleep(0)
        task.cancel()
        with pytest.raises(aio.CancelledError):
            await task
        assert [child.cancelled() for child in children] == [True, True, True]

    run(main())


def test_gather_of_gathers(aio, run):
    async def main():
        inner = aio.gather(value_of(aio, 1), value_of(aio, 2, 3))
        outer = aio.gather(inner, value_of(aio, 3))
        assert await outer == [[1, 2], 3]
        inner = aio.gather(forever(aio), forever(aio))
        outer = aio.gather(inner, forever(aio))
        await aio.sleep(0)
        outer.cancel()
        with pytest.raises(aio.CancelledError):
            await outer
        assert inner.done()

    run(main())


def test_non_awaitable_is_refused(aio, run, loop):
    reports = []
    loop.set_exception_handler(lambda _, context: reports.append(context["message"]))

    async def main():
        with pytest.raises(TypeError):
            aio.gather(failure(aio, LookupError()), 3)
        for _ in range(3):
            await aio.sleep(0)

    run(main())
    gc.collect()
    assert reports == []


def test_future_of_another_loop(aio, run):
    other = aio.new_event_loop()
    foreign = other.create_future()

    async def main():
        with pytest.raises(ValueError, match="loop"):
            aio.gather(value_of(aio, 1), foreign)
        await aio.sleep(0)

    run(main())
    other.close()


def test_without_a_running_loop_the_futures_loop_is_used(aio, loop):
    futures = [loop.create_future(), loop.create_future()]
    outer = aio.gather(*futures)
    assert outer.get_loop() is loop
    for number, future in enumerate(futures):
        future.set_result(number)
    assert loop.run_until_complete(outer) == [0, 1]


def test_turns(aio, run, loop):
    async def main():
        turns = Turns(loop)
        await aio.gather(value_of(aio, 1), value_of(aio, 2, 2))
        return turns.stop()

    # Two steps more than the slower child's first, its done callback, then the wake-up.
    assert run(main()) == 5


@since(3, 12)
def test_eager_children_are_done_at_once(aio, run, loop):
    loop.set_task_factory(aio.eager_task_factory)

    async def main():
        outer = aio.gather(value_of(aio, 1), value_of(aio, 2))
        assert outer.done()
        failed = aio.gather(failure(aio, LookupError()), value_of(aio, 2))
        assert failed.done() and isinstance(failed.exception(), LookupError)
        return await outer

    assert run(main()) == [1, 2]


def test_tasks_of_a_factory(aio, run, loop):
    made = []

    def factory(loop, coro, **keywords):
        made.append(aio.Task(coro, loop=loop, **keywords))
        return made[-1]

    async def main():
        outer = aio.gather(value_of(aio, 1), value_of(aio, 2))
        assert [task.get_coro().__name__ for task in made[1:]] == ["value_of", "value_of"]
        return await outer

    loop.set_task_factory(factory)
    assert run(main()) == [1, 2]


def test_python_subclass_with_methods_of_its_own(aio, run):
    class Loud(aio.Future):
        asked = 0

        def result(self):
            Loud.asked += 1
            return super().result()

    async def main():
        future = Loud()
        aio.get_running_loop().call_soon(future.set_result, 1)
        return await aio.gather(future)

    assert run(main()) == [1]
    assert Loud.asked == 1


def test_standard_tasks_among_ours():
    loop = ferrio.new_event_loop()

    async def main():
        standard = asyncio.Task(value_of(ferrio, "standard", 1))
        outer = ferrio.gather(standard, value_of(ferrio, "ours"))
        assert isinstance(outer, asyncio.Future) and asyncio.isfuture(outer)
        assert await outer == ["standard", "ours"]
        ours = ferrio.create_task(value_of(ferrio, "ours", 1))
        assert await asyncio.gather(ours, value_of(ferrio, "standard")) == ["ours", "standard"]

    loop.run_until_complete(main())
    loop.close()


def test_cancellation_reaches_the_end_of_any_chain():
    loop = ferrio.new_event_loop()

    async def waiting(future):
        return await future

    async def main():
        leaf = future = loop.create_future()
        for _ in range(5_000):
            future = ferrio.gather(loop.create_task(waiting(future)))
        # Every task starts, the innermost ones first.
        await ferrio.sleep(0)
        await ferrio.sleep(0)
        assert future.cancel() is True
        assert leaf.cancelled()
        with pytest.raises(ferrio.CancelledError):
            await future

    loop.run_until_complete(main())
    loop.close()


def test_cycle_is_collected(collected):
    loop = ferrio.new_event_loop()
    child = loop.create_future()
    outer = ferrio.gather(child)
    child.cycle = outer
    outer.cycle = child
    gone = weakref.ref(outer)
    del child, outer
    collected()
    assert gone() is None
    loop.close()
