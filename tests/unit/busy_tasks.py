"""A program whose tasks take turns, for profilers that look at it from another process.

    python busy_tasks.py asyncio
    python busy_tasks.py ferrio           with `import ferrio as asyncio`
    python -m ferrio busy_tasks.py asyncio

It prints "ready" in its first turn, and goes on until it is killed.
"""

import importlib
import sys

asyncio = importlib.import_module(sys.argv[1])


def spin():
    for _ in range(20_000):
        pass


async def works():
    while True:
        spin()
        await asyncio.sleep(0)


async def waits():
    await asyncio.get_running_loop().create_future()


async def main():
    asyncio.get_running_loop().call_soon(lambda: print("ready", flush=True))
    async with asyncio.TaskGroup() as group:
        for number in range(2):
            group.create_task(works(), name=f"works_{number}")
        group.create_task(waits(), name="waits")


asyncio.run(main())
