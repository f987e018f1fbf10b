"""What private attributes do that tools use. Whether they exist is up to the table in `private.py`.

The bodies do what the tools do: a test helper fires timers by hand, a profiler looks at the loop's queue.
"""

import asyncio
import heapq
import threading

import pytest
from tests.surface.private import PRIVATE, VERSION_BOUND


@pytest.mark.parametrize("path", PRIVATE)
def test_table_names_what_asyncio_has(collected, path):
    # test_surface.py checks that ferrio has it too.
    names = [f"{path}.{name}" for name in PRIVATE[path]]
    assert [name for name in names if name not in collected("asyncio") and name not in VERSION_BOUND] == []


def fire_timers(loop, until):
    """Lets time pass the way the test helpers of Home Assistant and zeroconf do."""
    for task in list(loop._scheduled):
        assert isinstance(task, asyncio.TimerHandle)
        if not task.cancelled() and task.when() <= until:
            task._run()
            task.cancel()


def test_timers_can_be_fired_by_hand(aio):
    async def main():
        loop = aio.get_running_loop()
        called = []
        loop.call_later(1000, called.append, "timer")
        late = loop.call_later(3000, called.append, "late")
        sleeper = aio.create_task(aio.sleep(1000, "slept"))
        await aio.sleep(0)
        fire_timers(loop, loop.time() + 2000)
        assert called == ["timer"]
        assert await sleeper == "slept"
        assert [handle.when() for handle in loop._scheduled] == [late.when()]
        late.cancel()

    aio.run(main())


def test_timeout_can_be_fired_by_hand(aio):
    async def main():
        loop = aio.get_running_loop()

        async def limited():
            async with aio.timeout(1000) as scope:
                timeouts.append(scope)
                await loop.create_future()

        async def waits():
            await aio.wait_for(loop.create_future(), 1000)

        timeouts = []
        tasks = [aio.create_task(limited()), aio.create_task(waits())]
        await aio.sleep(0)
        (scope,) = timeouts
        assert scope._state.name == "ENTERED"
        assert scope._task is tasks[0]
        assert scope._timeout_handler.when() == scope._when == scope.when()
        fire_timers(loop, loop.time() + 2000)
        for task in tasks:
            with pytest.raises(TimeoutError):
                await task
        assert scope._state.name == "EXPIRED"

    aio.run(main())


def test_timeouts_handler_can_be_cancelled(aio):
    async def main():
        async with aio.timeout(0.001) as scope:
            scope._timeout_handler.cancel()
            await aio.sleep(0.01)
        assert not scope.expired()

    aio.run(main())


def test_sleeps_timer_can_be_cancelled(aio):
    async def main():
        loop = aio.get_running_loop()
        sleeper = aio.create_task(aio.sleep(0.001))
        await aio.sleep(0)
        (handle,) = loop._scheduled
        handle.cancel()
        assert handle.cancelled()
        _, pending = await aio.wait([sleeper], timeout=0.01)
        assert pending
        sleeper.cancel()

    aio.run(main())


def test_loops_queue_shows_what_runs_next(aio):
    async def main():
        loop = aio.get_running_loop()
        handle = loop.call_soon(print, "never seen")
        assert loop._ready[0] is handle
        assert (handle._callback, handle._args, handle._cancelled) == (print, ("never seen",), False)
        task = aio.create_task(aio.sleep(0))
        assert len(loop._ready) == 2
        step = loop._ready[1]
        assert isinstance(step, asyncio.Handle)
        assert step._callback.__self__ is task
        handle.cancel()
        await task
        assert not loop._ready

    aio.run(main())


def test_timer_handles_are_ordered_by_time(aio):
    async def main():
        loop = aio.get_running_loop()
        handles = [loop.call_later(delay, print) for delay in (300, 100, 200)]
        heap = []
        for handle in handles:
            heapq.heappush(heap, handle)
        whens = [heapq.heappop(heap)._when for _ in handles]
        assert whens == sorted(handle.when() for handle in handles)
        assert [handle._when for handle in sorted(loop._scheduled)] == whens
        assert all(handle._scheduled for handle in handles)
        for handle in handles:
            handle.cancel()

    aio.run(main())


def test_loop_shows_its_state(aio):
    def factory(loop, coro, **keywords):
        return asyncio.Task(coro, loop=loop, **keywords)

    def handler(loop, context):
        pass

    loop = aio.new_event_loop()
    assert (loop._closed, loop._thread_id, loop._debug, loop._stopping) == (False, None, False, False)
    assert (loop._exception_handler, loop._task_factory, loop._default_executor) == (None, None, None)
    assert 0 < loop._clock_resolution < 0.1
    loop.set_exception_handler(handler)
    loop.set_task_factory(factory)
    assert (loop._exception_handler, loop._task_factory) == (handler, factory)
    loop._exception_handler = loop._task_factory = None
    assert (loop.get_exception_handler(), loop.get_task_factory()) == (None, None)
    loop._debug = True
    assert loop.get_debug()
    loop._debug = False
    seen = []
    loop.call_soon(lambda: seen.append(loop._thread_id))
    loop.call_soon(loop.stop)
    loop.call_soon(lambda: seen.append(loop._stopping))
    loop.run_forever()
    assert seen == [threading.get_ident(), True]
    loop.close()
    assert loop._closed


def test_signal_handlers_are_shown(aio):
    async def main():
        loop = aio.get_running_loop()
        loop.add_signal_handler(10, print, "usr1")
        handle = loop._signal_handlers[10]
        assert (handle._callback, handle._args) == (print, ("usr1",))
        loop.remove_signal_handler(10)
        assert not loop._signal_handlers

    aio.run(main())


def test_waiters_are_shown(aio):
    async def main():
        queue, lock, event, semaphore = aio.Queue(), aio.Lock(), aio.Event(), aio.Semaphore(0)
        await lock.acquire()
        tasks = [aio.create_task(wait) for wait in (queue.get(), lock.acquire(), event.wait(), semaphore.acquire())]
        await aio.sleep(0)
        for waiters in (queue._getters, lock._waiters, event._waiters, semaphore._waiters):
            assert len(waiters) == 1
            assert not waiters[0].done()
        assert (lock._locked, event._value, semaphore._value) == (True, False, 0)
        for task in tasks:
            task.cancel()
        await aio.wait(tasks)
        assert not any((queue._getters, lock._waiters, event._waiters, semaphore._waiters))
        await queue.put(1)
        assert (list(queue._queue), queue._unfinished_tasks, queue._maxsize) == ([1], 1, 0)
        assert not queue._finished.is_set()

    aio.run(main())


def test_item_can_be_put_at_the_front(aio):
    """Programs that give an item back do this, through the parts of the queue."""

    async def main():
        queue = aio.Queue()
        task = aio.create_task(queue.get())
        await aio.sleep(0)
        queue._queue.appendleft("item")
        queue._unfinished_tasks += 1
        queue._finished.clear()
        queue._wakeup_next(queue._getters)
        assert await task == "item"
        queue._wakeup_next(queue._getters)
        queue.task_done()
        await queue.join()

    aio.run(main())


def test_lock_of_another_loop_can_be_reset(aio):
    """Test suites do this between two tests, to a lock that a module made."""
    lock = aio.Lock()

    async def blocked():
        await lock.acquire()
        waiter = aio.create_task(lock.acquire())
        await aio.sleep(0)
        waiter.cancel()

    async def free():
        async with lock:
            assert lock.locked()

    aio.run(blocked())
    lock._loop = lock._waiters = None
    lock._locked = False
    aio.run(free())


def test_barriers_state_is_asyncios(aio):
    async def main():
        barrier = aio.Barrier(2)
        assert (barrier._state.value, barrier._parties, barrier._count) == ("filling", 2, 0)
        await barrier.abort()
        assert barrier._state.value == "broken"

    aio.run(main())


def test_groups_parts_are_shown(aio):
    async def main():
        async with aio.TaskGroup() as group:
            assert (group._entered, group._exiting, group._aborting) == (True, False, False)
            task = group.create_task(aio.sleep(0))
            assert group._tasks == {task}
            assert group._parent_task is aio.current_task()
            assert group._loop is aio.get_running_loop()
            assert group._errors == []
        assert not group._tasks

    aio.run(main())


def test_runners_parts_are_shown(aio):
    with aio.Runner() as runner:
        assert runner._state.value == "initialized"
        loop = runner.get_loop()
        assert runner._loop is loop
        assert runner._context is not None
    assert runner._state.value == "closed"
    runner = aio.Runner()
    assert runner._state.value == "created"
    runner._lazy_init()
    assert runner._loop is not None
    runner.close()
