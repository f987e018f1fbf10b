"""`run_in_executor`, the default executor and its shutdown: one body on asyncio and on ferrio."""

import asyncio
import concurrent.futures
import gc
import re
import sys
import threading

import pytest
from tests.unit.implementations import parked, since
from tests.unit.programs import run_program

import ferrio
from ferrio.executor import ThreadPool

# run_in_executor


def test_default_executor(aio):
    async def main():
        loop = aio.get_running_loop()
        assert loop._default_executor is None
        future = loop.run_in_executor(None, divmod, 7, 4)
        assert aio.isfuture(future)
        assert isinstance(loop._default_executor, concurrent.futures.Executor)
        with pytest.raises(ZeroDivisionError):
            await loop.run_in_executor(None, divmod, 1, 0)
        return await future

    assert aio.run(main()) == (1, 3)


def test_any_executor(aio, pool_class):
    async def main():
        with pool_class(1) as pool:
            loop = aio.get_running_loop()
            with pytest.raises(ZeroDivisionError):
                await loop.run_in_executor(pool, divmod, 1, 0)
            assert loop._default_executor is None
            return await loop.run_in_executor(pool, divmod, 7, 4)

    assert aio.run(main()) == (1, 3)


class Inline(concurrent.futures.Executor):
    """Has finished a call before `submit()` returns."""

    def submit(self, function, /, *arguments, **keywords):
        future = concurrent.futures.Future()
        future.set_result(function(*arguments, **keywords))
        return future


def test_executor_that_completes_in_submit(aio):
    async def main():
        loop = aio.get_running_loop()
        seen = []
        loop.call_soon(lambda: seen.append(future.done()))
        future = loop.run_in_executor(Inline(), int, "3")
        future.add_done_callback(lambda _: seen.append("callback"))
        loop.call_soon(lambda: seen.append(future.done()))
        return seen, await future

    # asyncio sets the outcome at once from Python 3.14 on, and a turn later before.
    at_once = sys.version_info >= (3, 14)
    assert aio.run(main()) == ([True, "callback", True] if at_once else [False, True, "callback"], 3)


def test_foreign_future_that_the_loops_own_thread_completes(aio):
    async def main():
        loop = aio.get_running_loop()
        source = concurrent.futures.Future()

        class Later(concurrent.futures.Executor):
            def submit(self, function, /, *arguments):
                return source

        seen = []
        future = loop.run_in_executor(Later(), int)
        loop.call_soon(source.set_result, 5)
        loop.call_soon(lambda: loop.call_soon(lambda: seen.append(future.done())))
        return seen, await future

    assert aio.run(main()) == ([True], 5)


def test_object_that_is_not_an_executor_is_refused(aio):
    async def main():
        with pytest.raises(AttributeError, match="submit"):
            aio.get_running_loop().run_in_executor(42, print)

    aio.run(main())


def test_executors_by_name():
    async def main():
        loop = ferrio.get_running_loop()
        thread = await loop.run_in_executor("thread", threading.current_thread)
        assert thread.name == "asyncio_0"
        with pytest.raises(ValueError, match=r"no executor named 'treads': use \"thread\", \"process\""):
            loop.run_in_executor("treads", print)

    ferrio.run(main())


def test_process_executor_is_kept_for_the_loop():
    output = run_program(
        """
        import os, ferrio

        async def main():
            loop = ferrio.get_running_loop()
            children = await ferrio.gather(*[loop.run_in_executor("process", os.getpid) for _ in range(4)])
            assert os.getpid() not in children
            before = loop._executors()
            await loop.run_in_executor("process", os.getpid)
            assert loop._executors() == before and len(before) == 1
            try:
                await loop.run_in_executor("process", divmod, 1, 0)
            except ZeroDivisionError:
                return before[0]

        pool = ferrio.run(main())
        try:
            pool.submit(print)
        except RuntimeError as error:
            print(error)
        """
    )
    assert output == "cannot schedule new futures after shutdown\n"


def test_call_cancelled_before_it_begins_never_runs(aio, pool_class):
    async def main():
        loop = aio.get_running_loop()
        release, ran = threading.Event(), []
        with pool_class(1) as pool:
            first = loop.run_in_executor(pool, release.wait)
            second = loop.run_in_executor(pool, ran.append, 1)
            second.cancel("message")
            with pytest.raises(aio.CancelledError, match="message"):
                await second
            # asyncio tells the executor in the next turn.
            await aio.sleep(0)
            release.set()
            assert await first is True
            await loop.run_in_executor(pool, ran.append, 2)
        return ran

    assert aio.run(main()) == [2]


def test_cancelled_while_it_runs(aio):
    async def main():
        loop = aio.get_running_loop()
        started, release, ran = threading.Event(), threading.Event(), []

        def call():
            started.set()
            release.wait()
            ran.append(1)
            raise LookupError("nobody hears this")

        future = loop.run_in_executor(None, call)
        await loop.run_in_executor(None, started.wait)
        assert future.cancel() is True
        with pytest.raises(aio.CancelledError):
            await future
        release.set()
        await loop.shutdown_default_executor()
        return ran

    assert aio.run(main()) == [1]


def test_unretrieved_exception_is_reported(aio):
    reports = []

    async def main():
        loop = aio.get_running_loop()
        loop.set_exception_handler(lambda loop, context: reports.append(context))
        future = loop.run_in_executor(None, divmod, 1, 0)
        await aio.wait([future])
        del future
        gc.collect()

    aio.run(main())
    assert [type(report["exception"]) for report in reports] == [ZeroDivisionError]
    assert reports[0]["message"] == "Future exception was never retrieved"


def test_debug_mode_refuses_coroutines(aio):
    async def work():
        pass

    async def main():
        loop = aio.get_running_loop()
        with pytest.raises(TypeError, match=r"coroutines cannot be used with run_in_executor\(\)"):
            loop.run_in_executor(None, work)
        with pytest.raises(TypeError, match=r"a callable object was expected by run_in_executor\(\), got 42"):
            loop.run_in_executor(None, 42)

    aio.run(main(), debug=True)


def test_closed_loop(aio):
    loop = aio.new_event_loop()
    loop.close()
    with pytest.raises(RuntimeError, match="Event loop is closed"):
        loop.run_in_executor(None, print)


def test_loop_can_be_closed_while_a_thread_works(aio):
    release, ran = threading.Event(), []

    def call():
        release.wait()
        ran.append(1)

    loop = aio.new_event_loop()
    future = loop.run_in_executor(None, call)
    queued = [loop.run_in_executor(None, ran.append, number) for number in range(100)]
    threads = list(loop._default_executor._threads)
    loop.close()
    assert loop._default_executor is None
    release.set()
    for thread in threads:
        thread.join()
    assert len(ran) == 101, "queued jobs must still run"
    assert not any(one.done() for one in [future, *queued])


# set_default_executor


@pytest.mark.parametrize(
    ("aio", "pool_class"),
    [
        (asyncio, concurrent.futures.ThreadPoolExecutor),
        (ferrio, concurrent.futures.ThreadPoolExecutor),
        (ferrio, ThreadPool),
    ],
    ids=["asyncio", "ferrio", "ferrio's own"],
)
def test_set_default_executor(aio, pool_class):
    async def main():
        loop = aio.get_running_loop()
        pool = pool_class(1, thread_name_prefix="mine")
        loop.set_default_executor(pool)
        assert loop._default_executor is pool
        return (await loop.run_in_executor(None, threading.current_thread)).name

    assert aio.run(main()) == "mine_0"


@pytest.mark.parametrize("wrong", [None, 42, concurrent.futures.Executor()])
def test_set_default_executor_accepts_only_thread_pools(aio, wrong):
    loop = aio.new_event_loop()
    with pytest.raises(TypeError, match="executor must be ThreadPoolExecutor instance"):
        loop.set_default_executor(wrong)
    assert loop._default_executor is None
    loop.close()


def test_overridden_submit_is_used():
    class Counting(ThreadPool):
        calls = 0

        def submit(self, *args, **kwargs):
            self.calls += 1
            return super().submit(*args, **kwargs)

    async def main():
        pool = Counting()
        ferrio.get_running_loop().set_default_executor(pool)
        assert await ferrio.to_thread(abs, -1) == 1
        return pool.calls

    assert ferrio.run(main()) == 1


# shutdown_default_executor


def test_shutdown_waits_for_threads(aio):
    ran = []

    async def main():
        loop = aio.get_running_loop()
        started, release = threading.Event(), threading.Event()

        def call():
            started.set()
            release.wait()
            ran.append(1)

        loop.run_in_executor(None, call)
        await loop.run_in_executor(None, started.wait)
        threads = list(loop._default_executor._threads)
        shutdown = aio.create_task(loop.shutdown_default_executor())
        await parked(shutdown)
        with pytest.raises(RuntimeError, match="Executor shutdown has been called"):
            loop.run_in_executor(None, print)
        with pytest.raises(RuntimeError, match="Executor shutdown has been called"):
            await aio.to_thread(print)
        release.set()
        assert await shutdown is None
        assert not any(thread.is_alive() for thread in threads)
        await loop.shutdown_default_executor()

    aio.run(main())
    assert ran == [1]


def test_shutdown_without_executor(aio):
    async def main():
        loop = aio.get_running_loop()
        await loop.shutdown_default_executor()
        with pytest.raises(RuntimeError, match="Executor shutdown has been called"):
            loop.run_in_executor(None, print)

    aio.run(main())


@pytest.mark.skipif(sys.version_info < (3, 12), reason="asyncio's function has no timeout before 3.12")
@since(3, 13)  # older versions wait for the threads after all
def test_shutdown_gives_up_after_the_timeout(aio):
    check_shutdown_timeout(aio)


def check_shutdown_timeout(aio):
    started, release = threading.Event(), threading.Event()

    def slow_one():
        started.set()
        release.wait()

    async def main():
        loop = aio.get_running_loop()
        loop.run_in_executor(None, slow_one)
        started.wait()
        with pytest.warns(RuntimeWarning, match=r"did not finishing joining its threads within 0\.01 sec") as caught:
            await loop.shutdown_default_executor(0.01)
        release.set()
        return str(caught[0].message)

    return aio.run(main())


def test_shutdown_that_gives_up_names_the_function():
    assert re.search(r"Still running: <function .*slow_one at 0x\w+>\.$", check_shutdown_timeout(ferrio))


def test_shutdown_that_fails(aio):
    class Failing(concurrent.futures.ThreadPoolExecutor):
        def shutdown(self, wait=True, **kwargs):
            super().shutdown(wait, **kwargs)
            if wait:
                raise LookupError("spam")

    async def main():
        loop = aio.get_running_loop()
        loop.set_default_executor(Failing())
        with pytest.raises(LookupError, match="spam"):
            await loop.shutdown_default_executor()
        loop._default_executor = None

    aio.run(main())


def test_shutdown_on_virtual_time_waits_for_threads():
    async def main():
        loop = ferrio.get_running_loop()
        release = threading.Event()
        loop.run_in_executor(None, release.wait)
        timer = threading.Timer(0.02, release.set)
        timer.start()
        await loop.shutdown_default_executor(1)
        timer.join()

    with ferrio.Runner(loop_factory=lambda: ferrio.EventLoop(virtual_time=True)) as runner:
        runner.run(main())


def test_virtual_time_waits_for_other_executors():
    async def main():
        loop = ferrio.get_running_loop()
        with concurrent.futures.ThreadPoolExecutor() as pool:
            release = threading.Event()
            sleeper = ferrio.create_task(ferrio.sleep(3600))
            timer = threading.Timer(0.02, release.set)
            timer.start()
            await loop.run_in_executor(pool, release.wait)
            assert not sleeper.done()
            await sleeper
            timer.join()

    with ferrio.Runner(loop_factory=lambda: ferrio.EventLoop(virtual_time=True)) as runner:
        runner.run(main())


def test_default_executor_needs_no_concurrent_future():
    # Without this, each call would make one and be told of its end by Python calls.
    made = []

    def note(frame, event, argument):
        if event == "call" and frame.f_code is concurrent.futures.Future.__init__.__code__:
            made.append(frame)

    async def main():
        await ferrio.to_thread(len, "started")
        sys.setprofile(note)
        try:
            calls = [ferrio.get_running_loop().run_in_executor(None, len, "four"), ferrio.to_thread(len, "three")]
            return await ferrio.gather(*calls)
        finally:
            sys.setprofile(None)

    assert ferrio.run(main()) == [4, 5]
    assert made == []
