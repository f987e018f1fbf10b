"""The recorder: known programs, and what a recording shows of them.

Each trace is checked for what must always hold (`checked`): slices of one lane don't overlap, rows exist, wakes arrive.
"""

import asyncio
import threading
import time

import pytest
from tests.unit.traces import Picture, recording

import ferrio


def test_a_step_a_wait_and_a_wake():
    async def main():
        future = ferrio.get_running_loop().create_future()
        task = ferrio.create_task(waiter(future), name="waiter")
        await ferrio.sleep(0)
        future.set_result(None)
        await task

    async def waiter(future):
        await future

    with recording() as traced:
        ferrio.run(main())
    trace = traced.trace
    row = trace.row("waiter")
    assert row["coro"].endswith("waiter") and row["end"] == "finished"
    assert trace.parent(row)["coro"].endswith("main")
    assert [trace.label(wait.label) for wait in trace.waits_of(row)] == ["Future"]
    [wake] = trace.wakes_of(row)
    assert trace.rows[wake.source]["coro"].endswith("main")
    assert len(trace.slices_of(row)) == 2
    [waited] = [wait for wait in trace.waits_of(trace.parent(row)) if trace.label(wait.label) == "task waiter"]
    assert waited.length > 0


def test_every_end_is_told_apart():
    async def finish():
        pass

    async def fail():
        raise ValueError

    async def wait():
        await ferrio.sleep(1000)

    async def main():
        tasks = [ferrio.create_task(body(), name=body.__name__) for body in (finish, fail, wait)]
        await ferrio.sleep(0)
        tasks[2].cancel()
        await ferrio.gather(*tasks, return_exceptions=True)
        ferrio.create_task(wait(), name="left")
        await ferrio.sleep(0)

    with recording() as traced:
        loop = ferrio.new_event_loop()
        loop.run_until_complete(main())
        [left] = ferrio.all_tasks(loop)
        left._log_destroy_pending = False
        loop.close()
    trace = traced.trace
    ends = {row["name"]: row["end"] for row in trace.rows if row["kind"] == "task"}
    assert {name: ends[name] for name in ("finish", "fail", "wait", "left")} == {
        "finish": "finished",
        "fail": "failed",
        "wait": "cancelled",
        "left": None,
    }
    assert trace.row("left")["coro"].endswith("wait")


def test_names_of_callbacks():
    import functools

    class Owner:
        def method(self):
            pass

        def __call__(self):
            pass

    def function():
        pass

    async def main():
        loop = ferrio.get_running_loop()
        for callback in (function, Owner().method, functools.partial(function), Owner(), [].clear, Owner):
            loop.call_soon(callback)
        await ferrio.sleep(0)

    with recording() as traced:
        ferrio.run(main())
    labels = [traced.trace.label(each.label) for each in traced.trace.slices_of_kind("callbacks")]
    names = [label.rpartition("<locals>.")[2] for label in labels]
    assert names[:6] == ["function", "Owner.method", "function", "Owner", "list.clear", "Owner"]


def test_timers_have_no_waker():
    async def main():
        await ferrio.sleep(0.001)

    with recording() as traced:
        ferrio.run(main())
    trace = traced.trace
    row = next(row for row in trace.rows if row["kind"] == "task" and row["coro"].endswith("main"))
    [wake] = trace.wakes_of(row)
    assert (trace.source(wake), trace.label(wake.label)) == (None, "sleep")
    [wait] = trace.waits_of(row)
    assert trace.label(wait.label) == "sleep" and wait.length >= 1_000_000
    assert any(poll.length >= 500_000 for poll in trace.polls())


def test_io_wakes_from_its_row():
    async def main():
        server = await ferrio.start_server(answer, "127.0.0.1", 0)
        reader, writer = await ferrio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"a line\n")
        await reader.readline()
        writer.close()
        server.close()

    async def answer(reader, writer):
        writer.write(await reader.readline())
        writer.close()

    with recording() as traced:
        ferrio.run(main())
    trace = traced.trace
    io = [index for index, row in enumerate(trace.rows) if row["kind"] == "io"]
    assert len(io) == 1
    assert any(wake.source == io[0] for wake in trace.wakes())
    assert "StreamReader.readline" in trace.labels


def test_an_eager_task_interrupts_its_maker():
    async def child():
        await ferrio.sleep(0)

    async def main():
        await ferrio.Task(child(), loop=ferrio.get_running_loop(), name="eager", eager_start=True)

    with recording() as traced:
        ferrio.run(main())
    trace = traced.trace
    eager = trace.row("eager")
    maker = trace.parent(eager)
    first = trace.slices_of(eager)[0]
    around = trace.slices_of(maker)[:2]
    assert around[0].start + around[0].length <= first.start
    assert first.start + first.length <= around[1].start


def test_a_nested_run_interrupts_the_step_that_it_is_in():
    async def inner():
        await ferrio.sleep(0)

    async def main():
        ferrio.get_running_loop().run_until_complete(ferrio.create_task(inner(), name="inner"))

    allowed = ferrio._ferrio._allow_nested(True)
    try:
        with recording() as traced:
            ferrio.run(main())
    finally:
        ferrio._ferrio._allow_nested(allowed)
    trace = traced.trace
    inner_row = trace.row("inner")
    outer = trace.slices_of(trace.parent(inner_row))
    first, last = trace.slices_of(inner_row)[0], trace.slices_of(inner_row)[-1]
    assert outer[0].start + outer[0].length <= first.start
    assert last.start + last.length <= outer[1].start


def test_jobs_have_lanes_and_wake_the_loop():
    def work():
        return threading.current_thread().name

    async def main():
        return await ferrio.to_thread(work)

    with recording() as traced:
        name = ferrio.run(main())
    trace = traced.trace
    [jobs] = [row for row in trace.rows if row["kind"] == "jobs"]
    assert trace.lanes[jobs["lane"]] == {"name": name, "kind": "worker", "loop": None}
    [job] = trace.slices_of(jobs)
    assert trace.label(job.label).endswith("work")
    [wake] = trace.wakes_of(jobs)
    assert trace.source(wake)["coro"].endswith("main") and wake.time + wake.delay == job.start


def _fail():
    raise ValueError


@pytest.mark.parametrize("way", ["to_thread", "run_in_executor", "fails", "cancelled"])
def test_the_end_of_a_job_wakes_who_waited_for_it(way):
    async def main():
        loop = ferrio.get_running_loop()
        if way == "to_thread":
            await ferrio.to_thread(time.sleep, 0.01)
        elif way == "run_in_executor":
            assert await loop.run_in_executor(None, sum, [1, 2]) == 3
        elif way == "fails":
            with pytest.raises(ValueError):
                await loop.run_in_executor(None, _fail)
        else:
            # Its end wakes nobody.
            with pytest.raises(TimeoutError):
                await ferrio.wait_for(loop.run_in_executor(None, time.sleep, 0.05), 0.01)
            await loop.shutdown_default_executor()

    with recording() as traced:
        ferrio.run(main())
    trace = traced.trace
    [jobs] = [row for row in trace.rows if row["kind"] == "jobs"]
    [job] = trace.slices_of(jobs)
    wakes = [wake for wake in trace.wakes() if trace.source(wake) is jobs]
    assert len(wakes) == (way != "cancelled")
    for wake in wakes:
        assert trace.rows[wake.target]["coro"].endswith("main")
        assert wake.time == job.start + job.length and wake.label == job.label
        assert wake.time + wake.delay in [step.start for step in trace.slices_of(trace.rows[wake.target])]


def test_an_executor_outside_of_loops_is_recorded():
    with recording() as traced, ferrio.executor.ThreadPool(1) as pool:
        pool.submit(sum, [1, 2]).result()
    trace = traced.trace
    [jobs] = [row for row in trace.rows if row["kind"] == "jobs"]
    assert [trace.label(job.label) for job in trace.slices_of(jobs)] == ["sum"]


def test_several_loops_in_threads():
    async def main(name, barrier):
        ferrio.current_task().set_name(name)
        await ferrio.to_thread(barrier.wait)

    with recording() as traced:
        barrier = threading.Barrier(2)
        threads = [
            threading.Thread(target=lambda name=name: ferrio.run(main(name, barrier)), name=f"thread {name}")
            for name in ("one", "two")
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    trace = traced.trace
    for name in ("one", "two"):
        lane = trace.lanes[trace.row(name)["lane"]]
        assert (lane["name"], lane["kind"]) == (f"thread {name}", "loop")


def test_a_loop_that_moves_to_another_thread():
    with recording() as traced:
        loop = ferrio.new_event_loop()
        loop.run_until_complete(ferrio.sleep(0))
        thread = threading.Thread(target=lambda: loop.run_until_complete(ferrio.sleep(0)), name="the other")
        thread.start()
        thread.join()
        loop.close()
    assert [lane["name"] for lane in traced.trace.lanes] == [f"{threading.current_thread().name}, the other"]


def test_a_wake_from_another_thread_has_no_source():
    async def main():
        loop = ferrio.get_running_loop()
        future = loop.create_future()
        queue = ferrio.Queue()
        threading.Thread(target=lambda: loop.call_soon_threadsafe(future.set_result, None)).start()
        await future
        return queue

    with recording() as traced:
        ferrio.run(main())
    trace = traced.trace
    row = next(row for row in trace.rows if row["kind"] == "task" and row["coro"].endswith("main"))
    [wake] = trace.wakes_of(row)
    # The callback that the other thread queued.
    assert trace.source(wake)["kind"] == "callbacks" and trace.label(wake.label) == "Future.set_result"


def test_a_picture_can_be_taken_from_another_thread_while_a_step_blocks():
    held, seen = threading.Event(), threading.Event()

    async def main():
        ferrio.current_task().set_name("blocker")
        held.set()
        seen.wait()

    with recording() as traced:
        thread = threading.Thread(target=lambda: ferrio.run(main()))
        thread.start()
        held.wait()
        trace = Picture(traced.recorder.picture(), ended=0, whole=True)
        seen.set()
        thread.join()
    last = trace.slices_of(trace.row("blocker"))[-1]
    assert last.start + last.length == trace.duration


def test_a_small_ring_keeps_the_latest_and_counts_the_others():
    async def main():
        for _ in range(1000):
            await ferrio.sleep(0)

    with recording(events=64) as traced:
        ferrio.run(main())
    assert traced.trace.lost > 0
    assert 0 < traced.trace.count("slices") <= 64


def test_recording_begins_and_ends_in_the_middle():
    async def wait(event):
        await event.wait()

    async def main():
        event = ferrio.Event()
        task = ferrio.create_task(wait(event), name="older than the recording")
        await ferrio.sleep(0)
        with recording() as traced:
            event.set()
            await task
        ferrio.create_task(ferrio.sleep(0), name="too late")
        await ferrio.sleep(0)
        return traced.trace

    trace = ferrio.run(main())
    older = trace.row("older than the recording")
    assert older["created"] is None and older["end"] == "finished"
    assert all(row["name"] != "too late" for row in trace.rows)


def test_one_recorder_at_a_time():
    with recording(), pytest.raises(RuntimeError, match="recorded already"):
        ferrio._ferrio._Recorder(64, None).start({})
    with recording():
        pass


@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
def test_a_period_must_be_positive(seconds):
    with pytest.raises(ValueError, match="positive number of seconds"):
        ferrio._ferrio._Recorder(64, seconds)


def test_memory_that_cannot_be_had():
    recorder = ferrio._ferrio._Recorder(1 << 60, None)
    loop = ferrio.new_event_loop()
    try:
        with pytest.raises(MemoryError):
            recorder.start({})
    finally:
        recorder.stop()
        loop.close()


def test_callbacks_of_a_subclass_and_of_debug_mode():
    class Task(ferrio.Task):
        pass

    async def child():
        await asyncio.sleep(0)

    async def main():
        loop = ferrio.get_running_loop()
        loop.set_task_factory(lambda loop, coro, **given: Task(coro, loop=loop, **given))
        await loop.create_task(child(), name="subclass")

    for debug in (False, True):
        with recording() as traced:
            ferrio.run(main(), debug=debug)
        row = traced.trace.row("subclass")
        assert row["end"] == "finished" and len(traced.trace.slices_of(row)) == 2
