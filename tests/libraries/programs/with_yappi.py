"""yappi: calls of coroutines that wait, counted once each, with their time in wall clock and without it in CPU time;
the calls of each task apart, by a callback that gives it a tag.
"""

import asyncio
import time

import yappi
from common import report_loop

LONG = 0.05


def busy():
    end = time.process_time() + LONG
    while time.process_time() < end:
        pass


async def waits():
    await asyncio.sleep(LONG)


async def works():
    await asyncio.sleep(0)
    busy()


async def nested(depth):
    if depth:
        await nested(depth - 1)
    else:
        await waits()


async def queued(queue):
    while await queue.get():
        pass


async def profiled():
    queue = asyncio.Queue()
    consumer = asyncio.create_task(queued(queue), name="consumer")
    async with asyncio.TaskGroup() as group:
        for number in range(3):
            group.create_task(waits(), name=f"waits {number}")
        group.create_task(works(), name="works")
        group.create_task(nested(3), name="nested")
    for number in (1, 2, 0):
        queue.put_nowait(number)
    await consumer
    await asyncio.gather(asyncio.to_thread(busy), waits(), return_exceptions=True)


def show(text):
    """Prints how often each of this file's functions was called, and whether it took the time of a wait."""
    print(text)
    found = yappi.get_func_stats(filter_callback=lambda stat: stat.module == __file__)
    for stat in sorted(found, key=lambda stat: stat.name):
        print(" ", stat.name, stat.ncall, stat.nactualcall, "long" if stat.ttot >= LONG * 0.9 else "short")


async def by_clock():
    for clock in ("wall", "cpu"):
        yappi.set_clock_type(clock)
        with yappi.run():
            await profiled()
        show(clock)
        yappi.clear_stats()


async def by_task():
    """Gives each task a number, as a web framework does with its requests."""
    numbers = {}

    def number_of_task():
        try:
            task = asyncio.current_task()
        except RuntimeError:
            return 0
        return numbers.setdefault(task.get_name(), len(numbers) + 1) if task else 0

    yappi.set_clock_type("wall")
    yappi.set_tag_callback(number_of_task)
    yappi.start()
    async with asyncio.TaskGroup() as group:
        for number in range(3):
            group.create_task(nested(number), name=f"depth {number}")
    yappi.stop()
    for name in sorted(name for name in numbers if name.startswith("depth")):
        found = yappi.get_func_stats(tag=numbers[name], filter_callback=lambda stat: stat.module == __file__)
        print(name, sorted((stat.name, stat.ncall) for stat in found))
    yappi.set_tag_callback(None)


async def main():
    report_loop()
    await by_clock()
    await by_task()


if __name__ == "__main__":
    asyncio.run(main())
