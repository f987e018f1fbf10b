"""`run_in_executor`, the default executor and its end: on asyncio and on ferrio, and then ferrio's own pool."""

import asyncio
import concurrent.futures
import gc
import os
import re
import subprocess
import sys
import textwrap
import threading
import weakref

import pytest
from tests.unit.implementations import since

import ferrio
from ferrio.executor import ThreadPool


@pytest.fixture(params=[asyncio, ferrio], ids=["asyncio", "ferrio"])
def aio(request):
    """The implementation under test."""
    return request.param


@pytest.fixture(params=[concurrent.futures.ThreadPoolExecutor, ThreadPool], ids=["standard", "ferrio"])
def pool_class(request):
    """A thread pool as `concurrent.futures` has it."""
    return request.param


def run_program(source):
    """Runs a program of its own, and returns its output."""
    return subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", textwrap.dedent(source)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=True,
    ).stdout


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


def test_what_is_no_executor(aio):
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


def test_cancelled_before_a_thread_begins_it_never_runs(aio, pool_class):
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


def test_exception_that_nobody_retrieves_is_reported(aio):
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


def test_closed_while_a_thread_is_at_work(aio):
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
    assert len(ran) == 101, "what was queued runs all the same"
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
def test_set_default_executor_takes_thread_pools_only(aio, wrong):
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
        await aio.sleep(0.01)
        assert not shutdown.done()
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
@since(3, 13)  # before, it waited for the threads after all
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


# The pool as an executor


def test_pool_submit(pool_class):
    with pool_class() as pool:
        assert pool.submit(divmod, 7, 4).result() == (1, 3)
        assert pool.submit(dict, fn=1, self=2).result() == {"fn": 1, "self": 2}
        assert isinstance(pool.submit(divmod, 1, 0).exception(), ZeroDivisionError)
        assert list(pool.map(divmod, [7, 8], [4, 4])) == [(1, 3), (2, 0)]
    with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
        pool.submit(print)


def test_pool_keeps_the_exceptions_of_concurrent_futures(pool_class):
    def fail():
        raise concurrent.futures.InvalidStateError("spam")

    with pool_class() as pool:
        assert type(pool.submit(fail).exception()) is concurrent.futures.InvalidStateError


def test_pool_runs_what_is_queued_before_it_ends(pool_class):
    ran = []
    with pool_class(1) as pool:
        for number in range(100):
            pool.submit(ran.append, number)
    assert ran == list(range(100))


def test_pool_cancels_futures(pool_class):
    started, release = threading.Event(), threading.Event()

    def call():
        started.set()
        release.wait()

    pool = pool_class(1)
    running = pool.submit(call)
    started.wait()
    waiting = [pool.submit(print) for _ in range(3)]
    assert waiting[0].cancel()
    pool.shutdown(wait=False, cancel_futures=True)
    assert not running.cancelled()
    assert all(future.cancelled() for future in waiting)
    release.set()
    pool.shutdown()
    assert running.done()


def test_pool_cancels_what_a_loop_waits_for():
    async def main():
        loop = ferrio.get_running_loop()
        pool = ThreadPool(1)
        loop.set_default_executor(pool)
        started, release = threading.Event(), threading.Event()
        first = loop.run_in_executor(None, lambda: (started.set(), release.wait()))
        started.wait()
        second = loop.run_in_executor(None, print)
        third = ferrio.create_task(ferrio.to_thread(print))
        await ferrio.sleep(0)
        assert (pool.queued, len(pool.running)) == (2, 1)
        pool.shutdown(wait=False, cancel_futures=True)
        for cancelled in (second, third):
            with pytest.raises(ferrio.CancelledError):
                await cancelled
        release.set()
        await first

    ferrio.run(main())


@pytest.mark.parametrize("count", [0, -1])
def test_pool_needs_a_thread(pool_class, count):
    with pytest.raises(ValueError, match="max_workers must be greater than 0"):
        pool_class(count)


def test_pool_has_no_more_threads_than_asked_for(pool_class):
    names = set()
    with pool_class(2, "mine") as pool:
        for _ in range(1000):
            pool.submit(lambda: names.add(threading.current_thread().name))
    assert names <= {"mine_0", "mine_1"}
    assert names


def test_pool_default_size_is_asyncio_s():
    with concurrent.futures.ThreadPoolExecutor() as standard, ThreadPool() as ours:
        assert ours.max_workers == standard._max_workers


def test_pool_size_can_change():
    with ThreadPool(1) as pool:
        pool.max_workers = 3
        assert pool.max_workers == 3
        barrier = threading.Barrier(3)
        for future in [pool.submit(barrier.wait) for _ in range(3)]:
            future.result()
        pool.max_workers = 1
        assert pool.submit(abs, -1).result() == 1
        with pytest.raises(ValueError, match="greater than 0, not 0"):
            pool.max_workers = 0


def test_raised_pool_size_starts_threads_for_the_calls_that_wait():
    with ThreadPool(1) as pool:
        barrier = threading.Barrier(4)
        # The first waits for the others, for which there is no thread.
        waiting = [pool.submit(barrier.wait) for _ in range(4)]
        pool.max_workers = 4
        for future in waiting:
            future.result()
        assert len(pool._threads) == 4


def test_raised_pool_size_without_threads_to_be_had(monkeypatch):
    def refuse(thread):
        raise RuntimeError("can't start new thread")

    with ThreadPool(1) as pool:
        release = threading.Event()
        waiting = [pool.submit(release.wait) for _ in range(3)]
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse)
            pool.max_workers = 3
        assert (pool.max_workers, len(pool._threads)) == (3, 1)
        release.set()
        assert all(future.result() for future in waiting)


def test_pool_that_is_dropped_ends_its_threads(pool_class):
    pool = pool_class(1)
    future = pool.submit(threading.current_thread)
    reference = weakref.ref(pool)
    thread = future.result()
    del pool
    thread.join()
    assert reference() is None


def test_call_that_submits(pool_class):
    with pool_class(2) as pool:
        assert pool.submit(lambda: pool.submit(abs, -1).result()).result() == 1


def test_pool_is_used_by_many_threads_at_once():
    results = []
    with ThreadPool(4) as pool:

        def submit():
            futures = [pool.submit(abs, -number) for number in range(500)]
            results.append(sum(future.result() for future in futures))

        threads = [threading.Thread(target=submit) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert results == [sum(range(500))] * 4


def test_loop_and_pool_are_collected(collected):
    def live():
        collected()
        return sum(isinstance(thing, ThreadPool) for thing in gc.get_objects())

    before = live()
    for _ in range(20):
        loop = ferrio.new_event_loop()
        loop.run_until_complete(loop.run_in_executor(None, abs, -1))
        loop.cycle = loop
        loop.close()
    del loop
    # A thread lets go of its pool when it ends, which nobody waits for here.
    while live() > before:
        os.sched_yield()


# Fork and exit


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_forked_child_has_threads_of_its_own():
    with ThreadPool(2) as pool:
        barrier = threading.Barrier(2)
        for future in [pool.submit(barrier.wait) for _ in range(2)]:
            future.result()
        child = os.fork()
        if child == 0:
            # No exception may leave the child, it would run the parent's tests.
            try:
                worked = pool.submit(os.getpid).result(10) == os.getpid() and len(pool._threads) == 1
                worked = worked and ferrio.run(ferrio.to_thread(os.getpid)) == os.getpid()
                pool.shutdown()
                os._exit(0 if worked else 1)
            finally:
                os._exit(2)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert pool.submit(abs, -1).result() == 1


def test_exit_with_idle_threads():
    output = run_program(
        """
        import ferrio
        loop = ferrio.new_event_loop()
        print(loop.run_until_complete(loop.run_in_executor(None, abs, -1)))
        """
    )
    assert output == "1\n"


def test_exit_waits_for_what_is_queued():
    output = run_program(
        """
        import threading
        from ferrio.executor import ThreadPool
        pool = ThreadPool(1)
        pool.submit(threading.main_thread().join)
        for number in range(3):
            pool.submit(print, number, flush=True)
        print("end of main", flush=True)
        """
    )
    assert output == "end of main\n0\n1\n2\n"


def test_submit_at_exit_is_refused():
    output = run_program(
        """
        import threading, ferrio
        from ferrio.executor import ThreadPool
        pool = ThreadPool(1)

        def late():
            threading.main_thread().join()
            try:
                # The pool learns of the end a moment after who joins the main thread.
                while True:
                    pool.submit(int).result()
            except RuntimeError as error:
                print(error)

        pool.submit(abs, 1).result()
        threading.Thread(target=late).start()
        """
    )
    assert output == "cannot schedule new futures after interpreter shutdown\n"


def test_interrupt_with_idle_threads_ends_at_once():
    output = run_program(
        """
        import os, signal, ferrio

        async def main():
            await ferrio.gather(*[ferrio.to_thread(abs, 1) for _ in range(10)])
            os.kill(os.getpid(), signal.SIGINT)
            await ferrio.sleep(3600)

        try:
            ferrio.run(main())
        except KeyboardInterrupt:
            print("interrupted")
        """
    )
    assert output == "interrupted\n"


# A thread that never ends

NEVER = """
    import os, signal, sys, threading, warnings, {aio} as aio

    def never():
        threading.Event().wait()

    def interrupt_when(thread, function):
        # Sends Ctrl-C once the main thread is within the function.
        def look():
            frame = sys._current_frames()[thread]
            while frame is not None:
                if frame.f_code.co_name == function:
                    return os.kill(os.getpid(), signal.SIGINT)
                frame = frame.f_back
            threading.Timer(0.01, look).start()
        look()

    async def main():
        aio.get_running_loop().run_in_executor(None, never)
    """


@pytest.mark.parametrize("name", ["asyncio", "ferrio"])
def test_interrupts_end_a_program_whose_thread_never_ends(name):
    # The first ends the wait of the runner's close(), the second that of the interpreter.
    output = run_program(
        NEVER.format(aio=name)
        + """
    main_thread = threading.get_ident()
    interrupt_when(main_thread, "close")
    try:
        aio.run(main())
    except KeyboardInterrupt:
        print("interrupted", flush=True)
    interrupt_when(main_thread, "_shutdown")
    """
    )
    assert output.startswith("interrupted\n")


@pytest.mark.skipif(
    sys.version_info[:2] == (3, 12), reason="Python 3.12 starts no thread at its end, so nobody can tell"
)
def test_program_that_waits_for_its_threads_at_exit_says_for_which():
    output = run_program(
        NEVER.format(aio="ferrio")
        + """
    import ferrio._exit
    ferrio._exit.REPORT_DELAY = 0.01
    ended = threading.Event()

    def report(message, *rest, **keywords):
        print(message, flush=True)
        ended.set()

    warnings.showwarning = report

    def slow_one():
        ended.wait()

    loop = ferrio.new_event_loop()
    loop.run_in_executor(None, slow_one)
    loop.close()
    """
    )
    assert re.fullmatch(
        r"The program is at its end, but it goes on waiting for <function slow_one at 0x\w+> in a thread\. "
        r"Ctrl-C ends it\n",
        output,
    )
