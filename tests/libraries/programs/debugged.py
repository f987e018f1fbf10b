"""The program that with_debugpy.py debugs: python debugged.py WAY. Its comments name the places for breakpoints."""

import asyncio
import sys
import threading

from common import report_loop


async def leaf(number):
    await asyncio.sleep(0)
    return number * 2  # a result


async def first(number):
    number += 1  # a task
    return number


async def child(number):
    await asyncio.sleep(0)
    return number + 1


async def steps():
    result = await child(10)  # an await
    result = await child(result)
    print("steps:", result)


def following(value):
    return value + 1


def called(done):
    done.set_result("called")  # a callback


def in_a_thread(value):
    return value.upper()  # a thread


async def main():
    report_loop()
    print(await asyncio.create_task(first(1), name="first"))
    await asyncio.create_task(steps())
    print(following(1))
    done = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(called, done)
    print(await done, await asyncio.to_thread(in_a_thread, "in a thread"), threading.active_count() > 1)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(leaf(number)) for number in range(2)]
    print([task.result() for task in tasks])


if sys.argv[1] == "loop":
    import ferrio

    with asyncio.Runner(loop_factory=ferrio.new_event_loop) as runner:
        runner.run(main())
else:
    asyncio.run(main())
