"""`shield`: cancelling the outer future leaves the inner one alone, and everything else passes through."""

import asyncio
import gc
import weakref

import pytest
from tests.unit.implementations import Turns, failure, since, value_of

import ferrio


def test_result(aio, run):
    async def main():
        return await aio.shield(value_of(aio, 1, 1))

    assert run(main()) == 1


def test_exception(aio, run):
    async def main():
        with pytest.raises(LookupError, match="spam"):
            await aio.shield(failure(aio, LookupError("spam"), 1))

    run(main())


def test_done_future_is_returned_itself(aio, run):
    async def main():
        future = aio.Future()
        future.set_result(1)
        assert aio.shield(future) is future

    run(main())


@since(3, 14, 10)  # some earlier releases left a callback that reports the task's exception
def test_cancelled_waiter_leaves_the_inner_task_alone(aio, run):
    async def main():
        inner = aio.create_task(value_of(aio, "done", 4))

        async def waiting():
            await aio.shield(inner)

        task = aio.create_task(waiting())
        await aio.sleep(0)
        task.cancel("why")
        with pytest.raises(aio.CancelledError, match="why"):
            await task
        assert not inner.done()
        # The only callback left on the inner task is this await's.
        assert not inner._callbacks
        return await inner

    assert run(main()) == "done"


def test_cancelled_inner_cancels_the_outer(aio, run):
    async def main():
        inner = aio.Future()
        outer = aio.shield(inner)
        inner.cancel()
        with pytest.raises(aio.CancelledError):
            await outer
        assert outer.cancelled()

    run(main())


def test_both_cancelled(aio, run):
    async def main():
        inner = aio.Future()
        outer = aio.shield(inner)
        assert outer.cancel() and inner.cancel()
        await aio.sleep(0)
        assert outer.cancelled() and inner.cancelled()

    run(main())


def test_error_of_an_inner_task_whose_outer_was_cancelled_is_reported(aio, run, loop):
    reports = []
    loop.set_exception_handler(lambda _, context: reports.append(str(context["exception"])))

    async def main():
        inner = aio.create_task(failure(aio, LookupError("spam"), 3))
        outer = aio.shield(inner)
        await aio.sleep(0)
        outer.cancel()
        del outer
        for _ in range(5):
            await aio.sleep(0)
        del inner

    run(main())
    gc.collect()
    assert reports == ["spam"]


def test_gathered(aio, run):
    async def main():
        children = [aio.Future(), aio.Future()]
        shielded = [aio.shield(child) for child in children]
        outer = aio.gather(*shielded)
        outer.cancel()
        with pytest.raises(aio.CancelledError):
            await outer
        assert [future.cancelled() for future in shielded] == [True, True]
        assert [future.done() for future in children] == [False, False]

    run(main())


def test_non_awaitable_is_refused(aio, run):
    async def main():
        with pytest.raises(TypeError):
            aio.shield(3)

    run(main())


def test_turns(aio, run, loop):
    async def main():
        turns = Turns(loop)
        await aio.shield(value_of(aio, 1))
        return turns.stop()

    # The task's step, its done callback, the wake-up.
    assert run(main()) == 3


def test_standard_task():
    loop = ferrio.new_event_loop()

    async def main():
        inner = asyncio.Task(value_of(ferrio, 1, 3))
        outer = ferrio.shield(inner)
        outer.cancel()
        await ferrio.sleep(0)
        assert await ferrio.shield(inner) == 1

    loop.run_until_complete(main())
    loop.close()


def test_cycle_is_collected(collected):
    loop = ferrio.new_event_loop()
    inner = loop.create_future()
    inner.cycle = ferrio.shield(inner)
    gone = weakref.ref(inner)
    del inner
    collected()
    assert gone() is None
    loop.close()
