"""A pipeline of bounded queues, with nothing outside the process: a source, four workers, a sink."""

import asyncio
from contextlib import asynccontextmanager

WORKERS = 4
BOUND = 100


@asynccontextmanager
async def pipeline(_place):
    """Items go from the source through one of the workers to the sink, which adds them up."""

    async def operate(n):
        raw, squared = asyncio.Queue(BOUND), asyncio.Queue(BOUND)
        total = 0

        async def source():
            for number in range(n):
                await raw.put(number)

        async def work():
            while True:
                number = await raw.get()
                await squared.put(number * number)
                raw.task_done()

        async def sink():
            nonlocal total
            while True:
                total += await squared.get()
                squared.task_done()

        tasks = [asyncio.create_task(sink()), *(asyncio.create_task(work()) for _ in range(WORKERS))]
        await source()
        await raw.join()
        await squared.join()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if total != sum(number * number for number in range(n)):
            raise AssertionError(f"the squares add up to {total}")

    yield operate
