"""`ferrio.ThreadPool` as an executor: what it shares with `ThreadPoolExecutor`, and its additions."""

import concurrent.futures
import gc
import os
import threading
import weakref

import pytest

import ferrio
from ferrio.executor import ThreadPool


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


def test_pool_runs_queued_calls_before_it_ends(pool_class):
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


def test_pool_cancels_futures_that_a_loop_awaits():
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


def test_default_pool_size_is_asyncios():
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


def test_larger_pool_size_starts_threads_for_waiting_calls():
    with ThreadPool(1) as pool:
        barrier = threading.Barrier(4)
        # The first call waits for the others, which have no thread yet.
        waiting = [pool.submit(barrier.wait) for _ in range(4)]
        pool.max_workers = 4
        for future in waiting:
            future.result()
        assert len(pool._threads) == 4


def test_larger_pool_size_when_no_thread_can_start(monkeypatch):
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


def test_call_may_submit_another(pool_class):
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
    # A thread drops its pool when it ends, and nothing waits for that here.
    while live() > before:
        os.sched_yield()


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_forked_child_has_its_own_threads():
    with ThreadPool(2) as pool:
        barrier = threading.Barrier(2)
        for future in [pool.submit(barrier.wait) for _ in range(2)]:
            future.result()
        child = os.fork()
        if child == 0:
            # No exception may leave the child, or it would run the parent's tests.
            try:
                worked = pool.submit(os.getpid).result(10) == os.getpid() and len(pool._threads) == 1
                worked = worked and ferrio.run(ferrio.to_thread(os.getpid)) == os.getpid()
                pool.shutdown()
                os._exit(0 if worked else 1)
            finally:
                os._exit(2)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert pool.submit(abs, -1).result() == 1
