"""`wait`: which futures are done, and when it returns."""

import asyncio
import gc
import weakref

import pytest
from tests.unit.implementations import Turns, failure, forever, since, value_of

import ferrio


def test_all_completed(aio, run):
    async def main():
        tasks = [aio.create_task(value_of(aio, number, number)) for number in range(4)]
        done, pending = await aio.wait(tasks)
        assert (done, pending) == (set(tasks), set())

    run(main())


@since(3, 12)
def test_generator_of_futures(aio, run):
    async def main():
        tasks = [aio.create_task(value_of(aio, number, number)) for number in range(4)]
        assert await aio.wait(task for task in tasks) == (set(tasks), set())

    run(main())


def test_first_completed(aio, run):
    async def main():
        fast, slow = aio.create_task(value_of(aio, 1)), aio.create_task(forever(aio))
        assert await aio.wait([fast, slow], return_when=aio.FIRST_COMPLETED) == ({fast}, {slow})
        assert await aio.wait([fast, slow], return_when="FIRST_COMPLETED") == ({fast}, {slow})
        slow.cancel()

    run(main())


def test_first_exception(aio, run):
    async def main():
        fine, cancelled = aio.create_task(value_of(aio, 1)), aio.create_task(forever(aio))
        bad, slow = aio.create_task(failure(aio, LookupError(), 4)), aio.create_task(forever(aio))
        aio.get_running_loop().call_soon(cancelled.cancel)
        done, pending = await aio.wait([fine, cancelled, bad, slow], return_when=aio.FIRST_EXCEPTION)
        assert (done, pending) == ({fine, cancelled, bad}, {slow})
        slow.cancel()

    run(main())


def test_first_exception_without_one(aio, run):
    async def main():
        tasks = {aio.create_task(value_of(aio, number)) for number in range(3)}
        assert await aio.wait(tasks, return_when=aio.FIRST_EXCEPTION) == (tasks, set())

    run(main())


@pytest.mark.parametrize("timeout", [0, -1, 0.001])
def test_timeout(aio, run, timeout):
    async def main():
        task, future = aio.create_task(forever(aio)), aio.Future()
        future.set_result(None)
        assert await aio.wait([task, future], timeout=timeout) == ({future}, {task})
        assert not task.done()
        task.cancel()

    run(main())


def test_timeout_that_is_not_needed():
    loop = ferrio.EventLoop(virtual_time=True)

    async def main():
        start = loop.time()
        tasks = {ferrio.create_task(ferrio.sleep(5)) for _ in range(3)}
        assert await ferrio.wait(tasks, timeout=100) == (tasks, set())
        assert loop.time() - start == pytest.approx(5)

    loop.run_until_complete(main())
    loop.close()


def test_cancelled_wait_leaves_the_futures_alone(aio, run):
    async def main():
        task = aio.create_task(forever(aio))
        waiting = aio.create_task(aio.wait([task]))
        await aio.sleep(0)
        waiting.cancel("why")
        with pytest.raises(aio.CancelledError, match="why"):
            await waiting
        assert not task.done()
        assert not task._callbacks
        task.cancel()

    run(main())


def test_no_callback_stays_on_the_futures(aio, run):
    async def main():
        task, fast = aio.create_task(forever(aio)), aio.create_task(value_of(aio, 1))
        for return_when in (aio.FIRST_COMPLETED, aio.FIRST_EXCEPTION):
            await aio.wait([task, fast], timeout=0.001, return_when=return_when)
            assert not task._callbacks
        task.cancel()

    run(main())


def test_turns(aio, run, loop):
    async def main():
        turns = Turns(loop)
        done = aio.Future()
        done.set_result(None)
        await aio.wait([done])
        first = turns.count
        await aio.wait([aio.create_task(value_of(aio, 1))])
        turns.stop()
        return first, turns.count - first

    assert run(main()) == (2, 3)


def test_same_future_twice_counts_once(aio, run):
    async def main():
        task = aio.create_task(value_of(aio, 1))
        assert await aio.wait([task, task]) == ({task}, set())

    run(main())


@pytest.mark.parametrize(
    "arguments", [((), {}), (([],), {}), ((set(),), {"timeout": 1})], ids=["missing", "list", "set"]
)
def test_nothing_to_wait_for(aio, run, arguments):
    positional, keywords = arguments

    async def main():
        with pytest.raises((TypeError, ValueError)):
            await aio.wait(*positional, **keywords)

    run(main())


@pytest.mark.parametrize("return_when", [-1, None])
def test_invalid_return_when(aio, run, return_when):
    async def main():
        future = aio.Future()
        with pytest.raises(ValueError, match="return_when"):
            await aio.wait([future], return_when=return_when)

    run(main())


def test_argument_must_be_iterable(aio, run):
    async def main():
        future, coro = aio.Future(), value_of(aio, 1)
        for single in (future, coro):
            with pytest.raises(TypeError, match="list of futures"):
                await aio.wait(single)
        coro.close()

    run(main())


def test_coroutines_are_refused(aio, run):
    async def main():
        coro = value_of(aio, 1)
        with pytest.raises(TypeError, match="tasks explicitly"):
            await aio.wait([coro])
        coro.close()

    run(main())


def test_operations_are_refused_as_coroutines():
    loop = ferrio.new_event_loop()

    async def main():
        operation = ferrio.sleep(1)
        with pytest.raises(TypeError, match="tasks explicitly"):
            await ferrio.wait([operation])
        operation.close()

    loop.run_until_complete(main())
    loop.close()


def test_list_may_only_contain_futures(aio, run):
    async def main():
        task = aio.create_task(forever(aio))
        with pytest.raises(AttributeError):
            await aio.wait([task, 3], timeout=10)
        task.cancel()

    run(main())


def test_standard_tasks():
    loop = ferrio.new_event_loop()

    async def main():
        standard, ours = asyncio.Task(value_of(ferrio, 1, 2)), ferrio.create_task(value_of(ferrio, 2))
        assert await ferrio.wait([standard, ours]) == ({standard, ours}, set())
        slow = asyncio.Task(forever(ferrio))
        assert await ferrio.wait([slow], timeout=0) == (set(), {slow})
        assert await asyncio.wait([ours], timeout=1) == ({ours}, set())
        slow.cancel()

    loop.run_until_complete(main())
    loop.close()


def test_never_awaited_wait_warns():
    with pytest.warns(RuntimeWarning, match="was never awaited"):
        ferrio.wait([])
        gc.collect()


def test_cycle_is_collected(collected):
    loop = ferrio.new_event_loop()

    class Future(ferrio.Future):
        pass

    async def main():
        future = Future()
        future.cycle = ferrio.wait([future])
        task = ferrio.create_task(future.cycle)
        await ferrio.sleep(0)
        task.cancel()
        await ferrio.sleep(0)
        return weakref.ref(future)

    gone = loop.run_until_complete(main())
    collected()
    assert gone() is None
    loop.close()
