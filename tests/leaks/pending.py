"""A program for test_pending.py: prints how many bytes one pending, sleeping task takes.

python -m tests.leaks.pending IMPLEMENTATION
"""

import gc
import importlib
import sys

from tests.leaks.measure import own_bytes

TASKS = 50_000


async def measure(aio) -> float:
    async def sleeper():
        await aio.sleep(3600)

    # The first thousands also pay for arenas and the first sizes of tables, so these are made before measuring.
    first = [aio.create_task(sleeper()) for _ in range(1000)]
    await aio.sleep(0)
    gc.collect()
    gc.disable()
    before = own_bytes()
    tasks = [aio.create_task(sleeper()) for _ in range(TASKS)]
    await aio.sleep(0.01)
    after = own_bytes()
    gc.enable()
    for task in first + tasks:
        task.cancel()
    await aio.wait(tasks)
    return (after - before) / TASKS


if __name__ == "__main__":
    implementation = importlib.import_module(sys.argv[1])
    print(implementation.run(measure(implementation)))
