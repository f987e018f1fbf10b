"""`ferrio.sight.metrics`: each number against a program whose numbers are known."""

import asyncio
import concurrent.futures
import gc
import math
import os
import pickle
import random
import socket
import threading
import time

import pytest
from tests.unit.implementations import in_a_fork, in_thread
from tests.unit.programs import run_program

import ferrio
from ferrio import sight


@pytest.fixture
def metered():
    with sight.meter():
        yield


def run_between(body):
    """Runs `await body(loop)` in a metered loop; returns what the numbers changed by."""

    async def main():
        loop = ferrio.get_running_loop()
        sight.metrics(loop)
        await ferrio.sleep(0)
        before = sight.metrics()
        await body(loop)
        return sight.metrics() - before

    return ferrio.run(main())


# ---- what a loop runs


def test_turns_steps_and_callbacks():
    async def body(loop):
        for _ in range(10):
            loop.call_soon(int)
        for _ in range(20):
            await ferrio.sleep(0)

    found = run_between(body)
    assert (found.turns, found.steps, found.callbacks) == (20, 20, 10)


def test_a_cancelled_callback_is_none():
    async def body(loop):
        loop.call_soon(int).cancel()
        await ferrio.sleep(0)

    assert run_between(body).callbacks == 0


def test_a_timer_and_a_done_callback_are_callbacks():
    async def body(loop):
        future = loop.create_future()
        loop.call_later(0.001, future.set_result, None)
        await future  # the timer, and the step that it wakes
        future.add_done_callback(lambda _: None)
        await ferrio.sleep(0)

    found = run_between(body)
    assert found.callbacks == 2
    assert found.steps == 2


def test_an_error_that_leaves_the_loop_doesn_t_count_items_twice(metered):
    loop = ferrio.new_event_loop()

    def leave():
        raise KeyboardInterrupt

    loop.call_soon(leave)
    for _ in range(5):
        loop.call_soon(int)
    with pytest.raises(KeyboardInterrupt):
        loop.run_forever()
    assert sight.metrics(loop).callbacks == 1
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert sight.metrics(loop).callbacks == 7
    loop.close()


def test_handles_that_a_tracer_runs_are_counted(monkeypatch):
    monkeypatch.setattr(asyncio.Handle, "_run", lambda handle: original(handle))
    original = ferrio.Handle._run

    async def body(loop):
        loop.call_soon(int)
        await ferrio.sleep(0)

    assert run_between(body).callbacks == 1


# ---- its time


def test_busy_and_polling():
    async def main():
        sight.metrics()
        await ferrio.sleep(0)
        before = sight.metrics()
        while time.monotonic() < before.time + 0.05:
            pass
        await ferrio.sleep(0.05)
        return sight.metrics() - before

    found = ferrio.run(main())
    assert found.busy >= 0.05
    assert found.polling > 0
    assert found.time >= 0.1 - 0.001
    # Nothing is counted twice, and nothing is left out.
    assert found.busy + found.polling + found.resuming == pytest.approx(found.time, abs=0.001)
    assert 0 < found.utilization < 1


def test_a_blocked_loop_shows_that_it_is_busy_and_a_waiting_one_that_it_polls():

    async def main():
        loop = ferrio.get_running_loop()
        sight.metrics(loop)
        await ferrio.sleep(0)
        blocked = in_thread(until_it_grows, loop, "busy")
        waiting = await ferrio.to_thread(until_it_grows, loop, "polling")
        return blocked, waiting

    def until_it_grows(loop, name):
        first = sight.metrics(loop)
        while getattr(found := sight.metrics(loop) - first, name) < 0.01:
            time.sleep(0.001)
        return found

    blocked, waiting = ferrio.run(main())
    assert (blocked.polling, blocked.turns) == (0, 0)
    assert waiting.turns <= 1


def test_waiting_for_the_interpreter():
    """Another thread keeps it for longer than the loop's timer runs."""

    async def main():
        loop = ferrio.get_running_loop()
        sight.metrics(loop)
        await ferrio.sleep(0)
        before = sight.metrics()
        while (sight.metrics() - before).resuming == 0:
            await ferrio.sleep(0.001)

    stop = threading.Event()

    def compute():
        while not stop.is_set():
            sum(range(1000))

    thread = threading.Thread(target=compute)
    thread.start()
    try:
        ferrio.run(main())
    finally:
        stop.set()
        thread.join()


def test_time_counts_only_while_the_loop_runs(metered):
    loop = ferrio.new_event_loop()
    loop.run_until_complete(ferrio.sleep(0.001))
    first = sight.metrics(loop)
    time.sleep(0.01)
    second = sight.metrics(loop)
    assert (first.busy, first.polling, first.resuming) == (second.busy, second.polling, second.resuming)
    assert second.time > first.time
    loop.close()


def test_metering_that_pauses_leaves_the_pause_out():
    loop = ferrio.new_event_loop()
    with sight.meter():
        loop.run_until_complete(ferrio.sleep(0.001))
        first = sight.metrics(loop)

    async def unmetered():
        await ferrio.sleep(0.02)

    loop.run_until_complete(unmetered())
    with sight.meter():
        loop.run_until_complete(ferrio.sleep(0))
    found = sight.metrics(loop) - first
    assert found.polling < 0.02
    assert found.turns < 5
    loop.close()


# ---- its delays


def test_timer_delay():
    async def body(loop):
        future = loop.create_future()
        loop.call_later(0.001, future.set_result, None)
        time.sleep(0.03)
        await future

    delay = run_between(body).timer_delay
    assert delay.count == 1
    assert delay.max >= 0.028
    assert delay.sum == pytest.approx(delay.max, rel=0.07)


def test_many_timers_at_once_have_a_delay_each():
    async def body(loop):
        sleepers = [ferrio.create_task(ferrio.sleep(0.001)) for _ in range(500)]
        await ferrio.gather(*sleepers)

    assert run_between(body).timer_delay.count == 500


def test_virtual_timers_are_never_late():
    async def main():
        sight.metrics()
        await ferrio.sleep(3600)
        return sight.metrics()

    with ferrio.Runner(loop_factory=lambda: ferrio.EventLoop(virtual_time=True)) as runner:
        found = runner.run(main())
    assert (found.timer_delay.count, found.timer_delay.max) == (1, 0)
    # The time that passed is real.
    assert found.busy + found.polling < 3600


def test_ready_delay_is_sampled():
    """A callback that blocks makes what is behind it wait: a sample of that shows how long."""

    async def main():
        loop = ferrio.get_running_loop()
        sight.metrics(loop)
        while sight.metrics().ready_delay.max < 0.01:
            for _ in range(4):
                loop.call_soon(time.sleep, 0.005)
            await ferrio.sleep(0)
        return sight.metrics().ready_delay

    delay = ferrio.run(main())
    assert delay.count >= 1
    assert delay.max >= 0.01


def test_samples_in_nested_runs_and_after_errors_do_no_harm(metered):
    ferrio.allow_nested()
    try:

        async def inner():
            for _ in range(200):
                await ferrio.sleep(0)

        async def outer():
            for _ in range(20):
                ferrio.get_running_loop().run_until_complete(inner())
                await ferrio.sleep(0)
            return sight.metrics()

        found = ferrio.run(outer())
    finally:
        ferrio.allow_nested(False)
    assert found.steps >= 20 * 200
    assert found.turns >= 20 * 200


# ---- its tasks


def test_tasks():
    async def fail():
        raise ZeroDivisionError

    async def body(loop):
        waiting = ferrio.create_task(ferrio.sleep(3600))
        tasks = [ferrio.create_task(ferrio.sleep(0)) for _ in range(3)]
        tasks += [ferrio.create_task(fail()) for _ in range(2)]
        cancelled = ferrio.create_task(ferrio.sleep(3600))
        never_begun = ferrio.create_task(ferrio.sleep(3600))
        never_begun.cancel()
        await ferrio.sleep(0)
        cancelled.cancel()
        await ferrio.wait([*tasks, cancelled, never_begun])
        assert sight.metrics().tasks_pending == 2
        waiting.cancel()
        [task.exception() for task in tasks]

    found = run_between(body)
    assert found.tasks_created == 8
    assert found.tasks_finished == 7
    assert (found.tasks_failed, found.tasks_cancelled) == (2, 2)


def test_an_eager_task_that_ends_at_once_is_counted():
    async def nothing():
        pass

    async def body(loop):
        loop.set_task_factory(ferrio.eager_task_factory)
        await ferrio.create_task(nothing())

    found = run_between(body)
    assert (found.tasks_created, found.tasks_finished, found.tasks_pending) == (1, 1, 1)


# ---- what it has open


def test_queues_and_descriptors():
    here, there = socket.socketpair()

    async def main():
        loop = ferrio.get_running_loop()
        before = sight.metrics()
        loop.add_reader(here, int)
        loop.call_soon(int)
        timers = [loop.call_later(3600, int) for _ in range(3)]
        found = sight.metrics()
        timers[0].cancel()
        assert sight.metrics().timers == 2
        loop.remove_reader(here)
        assert sight.metrics().descriptors == before.descriptors
        return found.ready - before.ready, found.timers, found.descriptors - before.descriptors

    with here, there:
        assert ferrio.run(main()) == (1, 3, 1)


@pytest.mark.parametrize("size", [1, 3000, 300_000])
def test_connections_and_bytes(size):
    """Both ends are in this loop, so each byte is sent and received."""

    async def echo(reader, writer):
        writer.write(await reader.readexactly(size))
        await writer.drain()
        writer.close()

    async def body(loop):
        server = await ferrio.start_server(echo, "127.0.0.1", 0)
        reader, writer = await ferrio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"x" * size)
        assert len(await reader.read(-1)) == size
        assert sight.metrics().connections_open >= 1
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()

    found = run_between(body)
    assert (found.bytes_sent, found.bytes_received) == (2 * size, 2 * size)
    assert (found.connections_made, found.connections_accepted, found.connections_open) == (1, 1, 0)


class Buffered(asyncio.BufferedProtocol):
    def __init__(self, done):
        self.done = done
        self.buffer = bytearray(100)

    def get_buffer(self, hint):
        return self.buffer

    def buffer_updated(self, count):
        self.done.set_result(count)


class Whole(asyncio.Protocol):
    def __init__(self, done):
        self.done = done

    def data_received(self, data):
        self.done.set_result(len(data))


@pytest.mark.parametrize("protocol", [Buffered, Whole])
@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_bytes_of_protocols(protocol, kind):
    here, there = socket.socketpair()

    async def body(loop):
        done = loop.create_future()
        reading, _ = await loop.create_connection(lambda: protocol(done), sock=here)
        writing, _ = await loop.create_connection(asyncio.Protocol, sock=there)
        writing.write(kind(b"0123456789"))
        assert await done == 10
        reading.abort()
        writing.abort()
        await ferrio.sleep(0.001)

    found = run_between(body)
    assert (found.bytes_sent, found.bytes_received) == (10, 10)
    assert (found.connections_made, found.connections_open) == (2, 0)


def test_bytes_of_large_buffers_pipes_datagrams_and_sockets():
    async def body(loop):
        # Through a transport: a buffer that the program may change.
        here, there = socket.socketpair()
        done = loop.create_future()
        reading, _ = await loop.create_connection(lambda: Whole(done), sock=here)
        writing, _ = await loop.create_connection(asyncio.Protocol, sock=there)
        writing.write(bytearray(50_000))
        first = await done
        reading.abort()
        writing.abort()
        # Datagrams.
        done = loop.create_future()

        class Datagrams(asyncio.DatagramProtocol):
            def datagram_received(self, data, address):
                done.set_result(len(data))

        receiver, _ = await loop.create_datagram_endpoint(Datagrams, local_addr=("127.0.0.1", 0))
        sender, _ = await loop.create_datagram_endpoint(
            asyncio.DatagramProtocol, remote_addr=receiver.get_extra_info("sockname")
        )
        sender.sendto(b"12345")
        assert await done == 5
        receiver.abort()
        sender.abort()
        # Pipes.
        end, start = os.pipe()
        done = loop.create_future()
        with open(end, "rb", 0) as end, open(start, "wb", 0) as start:
            reading, _ = await loop.connect_read_pipe(lambda: Whole(done), end)
            writing, _ = await loop.connect_write_pipe(asyncio.BaseProtocol, start)
            writing.write(b"1234567")
            assert await done == 7
            reading.close()
            writing.close()
            await ferrio.sleep(0.001)
        # Sockets.
        here, there = socket.socketpair()
        with here, there:
            here.setblocking(False)
            there.setblocking(False)
            await loop.sock_sendall(here, b"x" * 20)
            assert len(await loop.sock_recv(there, 10)) == 10
            assert await loop.sock_recv_into(there, bytearray(10)) == 10
        return first

    found = run_between(body)
    assert found.bytes_sent == 50_000 + 5 + 7 + 20
    # The first read may have brought only a part of the fifty thousand.
    assert 5 + 7 + 20 < found.bytes_received <= 50_000 + 5 + 7 + 20


# ---- its jobs


def test_jobs_queued_running_and_finished():
    release = threading.Event()

    async def main():
        loop = ferrio.get_running_loop()
        sight.metrics(loop)
        loop.set_default_executor(ferrio.executor.ThreadPool(2))
        jobs = [loop.run_in_executor(None, release.wait) for _ in range(5)]
        jobs[4].cancel()
        while (found := sight.metrics()).jobs_running < 2:
            await ferrio.sleep(0.001)
        assert (found.jobs_queued, found.jobs_running, found.jobs_finished) == (3, 2, 0)
        release.set()
        await ferrio.gather(*jobs[:4])
        await ferrio.to_thread(int)
        while sight.metrics().jobs_queued:
            await ferrio.sleep(0.001)
        return sight.metrics()

    found = ferrio.run(main())
    assert (found.jobs_queued, found.jobs_running, found.jobs_finished) == (0, 0, 5)
    assert found.job_wait.count == 5


def test_jobs_of_another_executor_run_until_they_end():
    release = threading.Event()

    async def main():
        sight.metrics()
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            jobs = [ferrio.get_running_loop().run_in_executor(pool, release.wait) for _ in range(2)]
            assert sight.metrics().jobs_running == 2
            release.set()
            await ferrio.gather(*jobs)
        return sight.metrics()

    found = ferrio.run(main())
    assert (found.jobs_queued, found.jobs_running, found.jobs_finished, found.job_wait.count) == (0, 0, 2, 0)


# ---- slow callbacks


def test_slow_callbacks_of_debug_mode(caplog):
    async def main():
        loop = ferrio.get_running_loop()
        loop.set_debug(True)
        loop.slow_callback_duration = 0.01
        loop.call_soon(time.sleep, 0.02)
        await ferrio.sleep(0)
        await ferrio.sleep(0)
        return sight.metrics().slow_callbacks

    slow = ferrio.run(main())
    # On a busy machine there may be others.
    assert slow >= 1
    assert slow <= len([record for record in caplog.records if record.message.startswith("Executing")])


def test_slow_callbacks_of_watchdogs_count_once(caplog):
    reports = threading.Semaphore(0)

    async def main():
        for _ in range(2):
            reports.acquire()

    async def outer():
        await ferrio.create_task(main())
        return sight.metrics().slow_callbacks

    with sight.watch(0.5, lambda _: reports.release()), sight.watch(0.6, lambda _: reports.release()):
        assert ferrio.run(outer()) == 1


# ---- which loop, which thread


def test_a_wrong_loop_is_refused():
    with pytest.raises(RuntimeError, match="no running event loop"):
        sight.metrics()
    for wrong in (42, "loop", asyncio.SelectorEventLoop):
        with pytest.raises(TypeError, match=r"a ferrio loop is needed, such as .* makes, not "):
            sight.metrics(wrong)

    async def main():
        sight.metrics()

    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        with pytest.raises(TypeError, match="not <_UnixSelectorEventLoop running"):
            runner.run(main())


def test_the_first_snapshot_turns_metering_on():
    loop = ferrio.new_event_loop()
    loop.run_until_complete(ferrio.sleep(0))
    first = sight.metrics(loop)
    assert (first.turns, first.busy, first.tasks_finished) == (0, 0, 1)
    loop.run_until_complete(ferrio.sleep(0))
    assert sight.metrics(loop).turns > 0
    loop.close()


def test_a_closed_loop_keeps_its_numbers(metered):
    loop = ferrio.new_event_loop()
    loop.run_until_complete(ferrio.sleep(0))
    left = loop.create_task(ferrio.sleep(3600))
    loop.run_until_complete(ferrio.sleep(0))
    before = sight.metrics(loop)
    left._log_destroy_pending = False
    loop.close()
    after = sight.metrics(loop)
    assert (after.turns, after.steps, after.tasks_created) == (before.turns, before.steps, 3)
    assert (before.tasks_pending, after.tasks_pending, after.tasks_finished, after.ready) == (1, 0, 2, 0)
    del left
    gc.collect()


def test_a_subclass_is_a_loop_like_any_other(metered):
    class Mine(ferrio.EventLoop):
        turns = 0

        def _run_once(self):
            self.turns += 1
            super()._run_once()

    with ferrio.Runner(loop_factory=Mine) as runner:
        loop = runner.get_loop()
        runner.run(ferrio.sleep(0.001))
        assert sight.metrics(loop).turns == loop.turns


def test_several_loops_in_threads_have_their_own_numbers(metered):
    loops, barrier = {}, threading.Barrier(3)

    async def main(count):
        loops[count] = ferrio.get_running_loop()
        barrier.wait()
        for _ in range(count):
            await ferrio.sleep(0)
        return sight.metrics().steps

    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        counts = [100, 1000, 10_000]
        steps = list(pool.map(lambda count: ferrio.run(main(count)), counts))
    assert steps == [count + 1 for count in counts]
    assert all(sight.metrics(loops[count]).steps >= count for count in counts)


def test_snapshots_from_another_thread_never_go_back(metered):
    stop = threading.Event()

    async def main():
        while not stop.is_set():
            await ferrio.sleep(0.0001)
            await ferrio.sleep(0)
            await ferrio.to_thread(int)

    loop = ferrio.new_event_loop()
    thread = threading.Thread(target=loop.run_until_complete, args=(main(),))
    thread.start()
    try:
        last = sight.metrics(loop)
        for _ in range(300):
            found = sight.metrics(loop)
            for name in ("turns", "steps", "callbacks", "tasks_finished", "jobs_finished"):
                assert getattr(found, name) >= getattr(last, name)
            assert found.timer_delay.count >= last.timer_delay.count
            # A clock read in another thread may be a little earlier.
            assert found.busy + found.polling + found.resuming >= last.busy + last.polling + last.resuming - 0.01
            last = found
    finally:
        stop.set()
        thread.join()
        loop.close()


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_goes_on_from_its_parents_numbers(metered):
    other, go_on = ferrio.new_event_loop(), threading.Event()
    thread = threading.Thread(target=other.run_until_complete, args=(ferrio.to_thread(go_on.wait),))
    thread.start()
    while not other.is_running():
        time.sleep(0)

    def in_the_child():
        first = sight.metrics(other)
        time.sleep(0.01)
        # The thread of that loop isn't here.
        assert sight.metrics(other).polling == first.polling
        loop = ferrio.new_event_loop()
        loop.run_until_complete(ferrio.sleep(0.001))
        found = sight.metrics(loop)
        assert found.tasks_finished == 1 and found.turns > 0 and found.polling > 0
        assert sight.all_metrics()

    try:
        in_a_fork(in_the_child)
    finally:
        go_on.set()
        thread.join()
        other.close()


def test_meter_meters_until_the_last_one_stops():
    loop = ferrio.new_event_loop()
    outer, inner = sight.meter(), sight.meter()
    loop.run_until_complete(ferrio.sleep(0))
    first = sight.metrics(loop).turns
    assert first > 0
    inner.stop()
    inner.stop()
    loop.run_until_complete(ferrio.sleep(0))
    second = sight.metrics(loop).turns
    assert second > first
    outer.stop()
    loop.run_until_complete(ferrio.sleep(0))
    assert sight.metrics(loop).turns == second
    loop.close()


# ---- the numbers of all loops


def test_all_metrics_use_a_number_again_and_never_go_down():
    """In a process of its own: other tests have left loops behind."""
    printed = run_program("""
        import gc, threading
        import ferrio
        from ferrio import sight

        sight.all_metrics()
        async def main(count):
            for _ in range(count):
                await ferrio.sleep(0)

        total = 0
        for count in (10, 20, 30):
            ferrio.run(main(count))
            found = sight.all_metrics()
            assert list(found) == [0], found
            total += count
            assert found[0].steps >= total and found[0].tasks_pending == 0
            assert found[0].tasks_created == found[0].tasks_finished

        first, second = ferrio.new_event_loop(), ferrio.new_event_loop()
        first.run_until_complete(main(5))
        assert set(sight.all_metrics()) == {0, 1}
        before = sight.all_metrics()
        first.close()
        second.close()
        after = sight.all_metrics()
        assert sum(each.steps for each in before.values()) == sum(each.steps for each in after.values())
        ferrio.run(main(1))
        assert set(sight.all_metrics()) == {0, 1}

        # A loop that nobody closes, and nobody has any more.
        lost = ferrio.new_event_loop()
        lost.run_until_complete(main(7))
        before = sum(each.steps for each in sight.all_metrics().values())
        import warnings
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            del lost
            gc.collect()
        assert sum(each.steps for each in sight.all_metrics().values()) >= before
        print("ok")
    """)
    assert printed == "ok\n"


# ---- the snapshot


def test_a_histogram_against_the_durations_themselves():
    rng = random.Random(1)
    durations = sorted(rng.expovariate(1000) for _ in range(300))

    async def main():
        loop = ferrio.get_running_loop()
        sight.metrics(loop)
        # By a clock of its own, the loop sees each timer late by exactly such a duration.
        now = [loop.time()]
        loop.time = lambda: now[0]
        for duration in durations:
            future = loop.create_future()
            loop.call_at(now[0], future.set_result, None)
            now[0] += duration
            await future
        return sight.metrics().timer_delay

    found = ferrio.run(main())
    assert found.count == len(durations)
    assert found.sum == pytest.approx(sum(durations), rel=1e-3)
    assert (found.min, found.max) == (pytest.approx(durations[0], abs=1e-6), pytest.approx(durations[-1], abs=1e-6))
    for percent in (0, 1, 50, 90, 99, 100):
        exact = durations[max(1, math.ceil(len(durations) * percent / 100)) - 1]
        assert found.percentile(percent) == pytest.approx(exact, rel=1 / 31, abs=1e-6)
    mean = sum(durations) / len(durations)
    exact = math.sqrt(sum((duration - mean) ** 2 for duration in durations) / len(durations))
    assert found.stddev == pytest.approx(exact, rel=1 / 16)
    assert found.mean == pytest.approx(mean, rel=1e-3)


def test_an_empty_histogram():
    empty = sight.Histogram()
    assert (empty.count, empty.mean, empty.stddev, empty.percentile(99)) == (0, 0, 0, 0)
    assert empty + empty == empty == empty - empty
    for wrong in (-1, 101):
        with pytest.raises(ValueError, match="between 0 and 100"):
            empty.percentile(wrong)


def test_sums_and_differences_of_histograms():
    first = sight.Histogram(3.0, 1.0, 2.0, ((1.0, 1.5, 1), (2.0, 2.5, 1)))
    second = sight.Histogram(9.0, 0.25, 2.25, ((0.25, 0.5, 1), (2.0, 2.5, 3)))
    both = first + second
    assert both == sight.Histogram(12.0, 0.25, 2.25, ((0.25, 0.5, 1), (1.0, 1.5, 1), (2.0, 2.5, 4)))
    assert (both - first).buckets == second.buckets
    assert (both - first).sum == second.sum
    assert both - both == sight.Histogram()


def test_a_snapshot_can_be_compared_copied_and_pickled():
    loop = ferrio.new_event_loop()
    found = sight.metrics(loop)
    assert pickle.loads(pickle.dumps(found)) == found
    with pytest.raises(AttributeError):
        found.turns = 1
    assert hash(found)
    loop.close()
