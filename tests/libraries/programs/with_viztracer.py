"""viztracer: a trace with `log_async`: the calls of each task stand in a row of its own, with the task's name, in the
order in which they ran, through waits, groups and threads.
"""

import asyncio
import collections
import json
import os
import tempfile

from common import report_loop
from viztracer import VizTracer


def leaf(value):
    return value


async def step(value):
    await asyncio.sleep(0)
    return leaf(value)


async def worker(queue):
    while (number := await queue.get()) is not None:
        await step(number)


async def failing():
    await step("before it fails")
    raise ValueError("refused")


def in_a_thread():
    return leaf("in a thread")


async def traced():
    queue = asyncio.Queue(2)
    workers = [asyncio.create_task(worker(queue), name=f"worker {number}") for number in range(2)]
    for number in range(4):
        await queue.put(number)
    for _ in workers:
        await queue.put(None)
    await asyncio.gather(*workers)
    async with asyncio.TaskGroup() as group:
        group.create_task(step(10), name="grouped")
    await asyncio.wait_for(asyncio.create_task(step(11), name="limited"), 60)
    await asyncio.gather(asyncio.create_task(failing(), name="fails"), return_exceptions=True)
    await asyncio.to_thread(in_a_thread)
    done = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(lambda: done.set_result(leaf("in a callback")))
    await done


def show(file):
    """Prints the calls of this file's functions, by the names of the rows that they stand in."""
    with open(file) as trace:
        events = json.load(trace)["traceEvents"]
    rows = {event["tid"]: event["args"]["name"] for event in events if event["name"] == "thread_name"}
    calls = collections.defaultdict(list)
    for event in sorted((event for event in events if event["ph"] == "X"), key=lambda event: event["ts"]):
        function, _, place = event["name"].partition(" (")
        if place.startswith(__file__):
            calls[rows[event["tid"]]].append(function)
    for row, functions in sorted(calls.items()):
        print(row, functions)


async def main():
    report_loop()
    with tempfile.TemporaryDirectory() as directory:
        file = os.path.join(directory, "trace.json")
        tracer = VizTracer(log_async=True, ignore_c_function=True, verbose=0, output_file=file)
        tracer.start()
        await asyncio.create_task(traced(), name="traced")
        tracer.stop()
        tracer.save()
        show(file)


if __name__ == "__main__":
    asyncio.run(main())
