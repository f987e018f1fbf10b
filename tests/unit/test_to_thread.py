"""`to_thread`: the same test bodies on asyncio and on ferrio, and then what ferrio adds."""

import asyncio
import concurrent.futures
import contextvars
import gc
import inspect
import threading
import weakref

import pytest
from tests.unit.implementations import since

import ferrio
from ferrio.executor import ThreadPool

variable = contextvars.ContextVar("variable", default="unset")


def test_result_of_the_call(aio):
    def call(*args, **kwargs):
        return args, kwargs, threading.current_thread() is threading.main_thread()

    async def main():
        return await aio.to_thread(call, 1, 2, func=3, self=4)

    assert aio.run(main()) == ((1, 2), {"func": 3, "self": 4}, False)


def test_exception_of_the_call(aio):
    def fail():
        raise LookupError("spam")

    async def main():
        with pytest.raises(LookupError, match="spam") as caught:
            await aio.to_thread(fail)
        return caught.traceback[-1].name

    assert aio.run(main()) == "fail"


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, GeneratorExit])
def test_exception_that_is_not_an_error_also_reaches_the_caller(aio, kind):
    def fail():
        raise kind("spam")

    async def main():
        try:
            await aio.to_thread(fail)
        except kind as caught:
            return caught.args

    assert aio.run(main()) == ("spam",)


@since(3, 12, 2)  # before, the exception was lost and the wait had no end
def test_stop_iteration_is_wrapped(aio):
    def fail():
        raise StopIteration("spam")

    async def main():
        with pytest.raises((RuntimeError, TypeError), match="StopIteration interacts badly"):
            await aio.to_thread(fail)

    aio.run(main())


def test_exceptions_of_concurrent_futures_become_asyncios(aio):
    def fail(kind):
        raise kind("spam")

    async def main():
        with pytest.raises(aio.CancelledError, match="spam"):
            await aio.to_thread(fail, concurrent.futures.CancelledError)
        with pytest.raises(aio.InvalidStateError, match="spam"):
            await aio.to_thread(fail, concurrent.futures.InvalidStateError)

    aio.run(main())


def test_context_is_copied_when_the_call_is_awaited(aio):
    def call():
        before = variable.get()
        variable.set("in the thread")
        return before

    async def main():
        awaitable = aio.to_thread(call)
        variable.set("set before the await")
        return await awaitable, variable.get()

    assert aio.run(main()) == ("set before the await", "set before the await")


def test_threads_are_named_as_asyncio_names_them(aio):
    async def main():
        barrier = threading.Barrier(3)

        def call():
            barrier.wait()
            return threading.current_thread().name

        return sorted(await aio.gather(*[aio.to_thread(call) for _ in range(3)]))

    assert aio.run(main()) == ["asyncio_0", "asyncio_1", "asyncio_2"]


def test_thread_locals_live_as_long_as_the_thread(aio):
    local = threading.local()

    def count():
        local.count = getattr(local, "count", 0) + 1
        return local.count

    async def main():
        return max([await aio.to_thread(count) for _ in range(100)])

    # asyncio may start another thread before the first has reported that it is idle; but not a hundred.
    assert aio.run(main()) >= 2


def test_threads_end_with_the_run(aio):
    seen = []

    async def main():
        await aio.to_thread(lambda: seen.append(threading.current_thread()))

    aio.run(main())
    assert not seen[0].is_alive()


def test_call_cancelled_before_it_begins_never_runs(aio):
    async def main():
        loop = aio.get_running_loop()
        loop.set_default_executor(one_thread(aio))
        release, ran = threading.Event(), []
        first = aio.create_task(aio.to_thread(release.wait))
        second = aio.create_task(aio.to_thread(ran.append, 1))
        await aio.sleep(0)
        await aio.sleep(0)
        second.cancel("message")
        with pytest.raises(aio.CancelledError, match="message"):
            await second
        release.set()
        assert await first is True
        await aio.to_thread(ran.append, 2)
        return ran

    assert aio.run(main()) == [2]


def one_thread(aio):
    """Returns a pool of one thread, of the implementation's default kind."""
    return ThreadPool(1) if aio is ferrio else concurrent.futures.ThreadPoolExecutor(1)


def test_call_cancelled_while_it_runs_goes_on(aio):
    async def main():
        started, release, ended = threading.Event(), threading.Event(), threading.Event()

        def call():
            started.set()
            release.wait()
            ended.set()

        task = aio.create_task(aio.to_thread(call))
        await aio.sleep(0)
        await aio.to_thread(started.wait)
        task.cancel()
        with pytest.raises(aio.CancelledError):
            await task
        assert not ended.is_set()
        release.set()
        await aio.to_thread(ended.wait)

    aio.run(main())


def test_wait_for_gives_up_on_a_thread(aio):
    async def main():
        release = threading.Event()
        with pytest.raises(TimeoutError):
            await aio.wait_for(aio.to_thread(release.wait), 0.01)
        release.set()

    aio.run(main())


def test_many_at_once(aio):
    count = 20_000 if aio is ferrio else 500
    threads = set()

    def double(number):
        threads.add(threading.get_ident())
        return 2 * number

    async def main():
        return await aio.gather(*[aio.to_thread(double, number) for number in range(count)])

    assert aio.run(main()) == [2 * number for number in range(count)]
    assert len(threads) <= 36


def test_blocked_calls_do_not_hold_up_others(aio):
    async def main():
        release = threading.Event()
        blocked = [aio.create_task(aio.to_thread(release.wait)) for _ in range(3)]
        await aio.sleep(0)
        results = [await aio.to_thread(abs, -number) for number in range(50)]
        release.set()
        await aio.gather(*blocked)
        return results

    assert aio.run(main()) == list(range(50))


def test_function_and_arguments_are_dropped(aio, collected):
    class Thing:
        def call(self):
            return 1

    async def main():
        aio.get_running_loop().set_default_executor(one_thread(aio))
        thing = Thing()
        reference = weakref.ref(thing)
        assert await aio.to_thread(thing.call) == 1
        del thing
        # The worker drops the call after posting the result and before starting the next call.
        await aio.to_thread(abs, 1)
        collected()
        return reference()

    assert aio.run(main()) is None


def test_loop_runs_on_while_a_thread_blocks(aio):
    async def main():
        release, ticks = threading.Event(), 0
        task = aio.create_task(aio.to_thread(release.wait))
        for _ in range(20):
            await aio.sleep(0.001)
            ticks += 1
        release.set()
        await task
        return ticks

    assert aio.run(main()) == 20


def test_never_awaited_call_warns(aio):
    with pytest.warns(RuntimeWarning, match="to_thread.* was never awaited"):
        aio.to_thread(print)
        gc.collect()


def test_outside_of_a_loop(aio):
    with pytest.raises(RuntimeError, match="no running event loop"):
        aio.to_thread(print).send(None)


def test_call_is_awaitable(aio):
    awaitable = aio.to_thread(print)
    assert inspect.isawaitable(awaitable)
    awaitable.close()


def test_overridden_run_in_executor_is_used(aio):
    base = ferrio.EventLoop if aio is ferrio else asyncio.SelectorEventLoop
    seen = []

    class Loop(base):
        def run_in_executor(self, executor, func, *args):
            seen.append((executor, args))
            return super().run_in_executor(executor, func, *args)

    async def main():
        variable.set("mine")
        return await aio.to_thread(variable.get)

    with aio.Runner(loop_factory=Loop) as runner:
        assert runner.run(main()) == "mine"
    assert seen == [(None, ())]


def test_other_default_executor_is_used(aio):
    async def main():
        pool = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="mine")
        aio.get_running_loop().set_default_executor(pool)
        variable.set("mine")
        assert await aio.to_thread(variable.get) == "mine"
        return (await aio.to_thread(threading.current_thread)).name

    assert aio.run(main()) == "mine_0"


def test_on_the_standard_loop():
    async def main():
        with pytest.raises(LookupError):
            await ferrio.to_thread({}.__getitem__, 1)
        return await ferrio.to_thread(abs, -1)

    assert asyncio.run(main()) == 1


def test_standard_to_thread_on_ferrios_loop():
    async def main():
        return await asyncio.gather(*[asyncio.to_thread(abs, -number) for number in range(100)])

    with asyncio.Runner(loop_factory=ferrio.new_event_loop) as runner:
        assert runner.run(main()) == list(range(100))


def test_standard_task_awaits_ferrios():
    async def main():
        task = asyncio.tasks._PyTask(ferrio.to_thread(abs, -1), loop=asyncio.get_running_loop())
        return await task

    with asyncio.Runner(loop_factory=ferrio.new_event_loop) as runner:
        assert runner.run(main()) == 1


def test_cycle_through_a_never_awaited_call_is_collected(collected):
    class Thing:
        pass

    thing = Thing()
    thing.awaitable = ferrio.to_thread(print, thing)
    reference = weakref.ref(thing)
    with pytest.warns(RuntimeWarning, match="never awaited"):
        del thing
        collected()
    collected()  # from Python 3.15 on the recorded warning kept it alive
    assert reference() is None


def test_virtual_time_waits_for_threads():
    async def main():
        loop = ferrio.get_running_loop()
        release = threading.Event()
        before = loop.time()
        sleeper = ferrio.create_task(ferrio.sleep(3600))
        call = ferrio.create_task(ferrio.to_thread(release.wait))
        timer = threading.Timer(0.02, release.set)
        timer.start()
        assert await call is True
        assert loop.time() == before, "the clock jumped while a thread was working"
        await sleeper
        assert loop.time() == pytest.approx(before + 3600)

    with ferrio.Runner(loop_factory=lambda: ferrio.EventLoop(virtual_time=True)) as runner:
        runner.run(main())
