"""`out.json`: what Perfetto and Chrome read, checked against their format."""

import io
import json
import time

from tests.unit import chrome_format
from tests.unit.traces import recording

import ferrio
from ferrio.sight import perfetto


def written(trace):
    file = io.StringIO()
    perfetto.write(trace, file)
    return chrome_format.check(file.getvalue())


def names(events, kind):
    return {event["args"]["name"] for event in events if event["name"] == kind}


def test_tasks_threads_and_jobs():
    async def consume(queue):
        while await queue.get() is not None:
            await ferrio.to_thread(sum, [1, 2])

    async def main():
        queue = ferrio.Queue(2)
        tasks = [ferrio.create_task(consume(queue), name=f"consumer {n}") for n in range(3)]
        for n in range(20):
            await queue.put(n)
            await ferrio.sleep(0.0001)
        for _ in tasks:
            await queue.put(None)
        await ferrio.gather(*tasks)

    with recording() as traced:
        ferrio.run(main())
    events = written(traced.trace)
    tracks = names(events, "thread_name")
    coroutine = f"{__name__.rpartition('.')[2]}"
    assert {name.partition(" (")[0] for name in tracks} >= {"consumer 0", "consumer 1", "consumer 2", "loop", "jobs"}
    assert "MainThread (loop 1)" in names(events, "process_name"), coroutine
    assert {event["cat"] for event in events if event["ph"] == "X"} >= {"task", "step", "wait", "job", "poll"}
    flows = {(event["name"], event["cat"]) for event in events if event["ph"] == "s"}
    assert ("Queue.get", "wake") in flows and ("sum", "wake") in flows
    queued = [event for event in events if event["ph"] == "b"]
    assert len(queued) == 20 and {event["name"] for event in queued} == {"sum"}


def test_every_entry_of_the_trace_is_written():
    async def child():
        await ferrio.sleep(0)

    async def main():
        async with ferrio.TaskGroup() as group:
            for _ in range(10):
                group.create_task(child())

    with recording() as traced:
        ferrio.run(main())
    trace, events = traced.trace, written(traced.trace)
    slices = [event for event in events if event["ph"] == "X"]
    tasks = [row for row in trace.rows if row["kind"] == "task"]
    expected = trace.count("slices") + trace.count("polls") + trace.count("waits") + len(tasks)
    assert len(slices) == expected
    begins = {(event["ts"], event["dur"]) for event in slices if event["cat"] == "step"}
    assert begins == {(each.start / 1000, each.length / 1000) for each in trace.slices() if each.kind == 0}


def test_a_life_says_who_made_the_task_where_and_how_it_ended():
    async def child():
        raise ValueError

    async def main():
        ferrio.current_task().set_name("parent")
        await ferrio.gather(ferrio.create_task(child(), name="child"), return_exceptions=True)

    with recording() as traced:
        ferrio.run(main())
    [life] = [event for event in written(traced.trace) if event.get("cat") == "task" and event["name"] == "child"]
    assert life["args"]["made by"] == "parent" and life["args"]["end"] == "raised an exception"
    line = main.__code__.co_firstlineno + 2
    assert life["args"]["made at"][-1] == f"{__file__}:{line} in {main.__qualname__}"


def test_what_blocks_is_marked():
    async def main():
        time.sleep(0.002)

    with recording() as traced:
        ferrio.run(main())
    traced.trace.threshold = 1_000_000
    marked = [event for event in written(traced.trace) if "cname" in event]
    assert {event["name"] for event in marked} == {main.__qualname__}


def test_odd_names():
    name = 'a "name"\n\\with <every>thing \N{SNOWMAN} \ud800 </script>'

    async def main():
        task = ferrio.create_task(ferrio.sleep(0), name=name)
        await task
        pending = ferrio.create_task(ferrio.sleep(0), name=name)
        await ferrio.sleep(0)
        return pending

    with recording() as traced:
        ferrio.run(main())
    events = written(traced.trace)
    assert json.dumps(events, ensure_ascii=True)
    lives = [event["name"] for event in events if event.get("cat") == "task"]
    assert sum(life.startswith(name[:30]) for life in lives) == 2


def test_an_empty_trace():
    with recording() as traced:
        pass
    assert written(traced.trace) == []


def test_a_ring_that_has_lost_the_beginning():
    async def child(future):
        await future

    async def main():
        loop = ferrio.get_running_loop()
        for _ in range(200):
            future = loop.create_future()
            task = ferrio.create_task(child(future))
            await ferrio.sleep(0)
            future.set_result(None)
            await task

    for events in (16, 33, 64, 100, 1000):
        with recording(events=events) as traced:
            ferrio.run(main())
        assert traced.trace.lost
        written(traced.trace)
