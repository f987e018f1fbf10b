"""distributed: a cluster of worker processes and an asynchronous client: functions and coroutines, maps, data sent
ahead, errors, cancellation; a task that asks its own cluster, a worker that dies, `run_in_executor` with the cluster as
the executor, a client with a loop in a thread of its own, TLS.

Workers run on ferrio just like their program, because multiprocessing starts them from it.
"""

import asyncio
import logging
import os
import sys
import time

import dask
from common import report_loop
from distributed import Client, KilledWorker, LocalCluster, as_completed, worker_client
from distributed.security import Security

dask.config.set({"distributed.scheduler.allowed-failures": 0, "distributed.comm.timeouts.connect": "60s"})


def square(number: int) -> int:
    return number * number


def divide(number: int) -> float:
    return 1 / number


def die() -> None:
    os._exit(1)


def sum_of_squares(count: int) -> int:
    """A task that starts tasks of its own."""
    with worker_client() as client:
        return sum(client.gather(client.map(square, range(count))))


async def on_the_workers_loop(number: int) -> int:
    await asyncio.sleep(0.001)
    return number + 1


async def loop_of_worker() -> str:
    return type(asyncio.get_running_loop()).__module__.partition(".")[0]


async def compute(client: Client) -> None:
    for family in (await client.run(loop_of_worker)).values():
        sys.stderr.write(f"running on {family}\n")
    print(await client.submit(square, 7), await client.submit(on_the_workers_loop, 7))
    print(sum(await client.gather(client.map(square, range(200)))))
    numbers = await client.scatter(list(range(10)), broadcast=True)
    print(await client.submit(sum, numbers), await client.submit(sum_of_squares, 10))
    print(sorted([await future async for future in as_completed(client.map(square, range(10, 15)))]))
    print(await client.compute(dask.delayed(sum)([dask.delayed(square)(number) for number in range(5)])))
    big = await client.submit(bytes, 5_000_000)
    print(len(big), await client.submit(len, big))
    try:
        await client.submit(divide, 0)
    except ZeroDivisionError as error:
        print(repr(error))


async def executor(client: Client) -> None:
    """Uses the cluster in place of a pool."""
    loop = asyncio.get_running_loop()
    cluster = client.get_executor()
    print(await loop.run_in_executor(cluster, square, 9))
    print(await asyncio.gather(*(loop.run_in_executor(cluster, square, number) for number in range(10))))
    try:
        await asyncio.wait_for(loop.run_in_executor(cluster, divide, 0), 60)
    except ZeroDivisionError as error:
        print(repr(error))


async def stopped(client: Client) -> None:
    future = client.submit(time.sleep, 3600, pure=False)
    await future.cancel()
    print(future.status)
    try:
        async with asyncio.timeout(0.05):
            await client.submit(time.sleep, 0.5, pure=False)
    except TimeoutError:
        print("timed out")
    try:
        await client.submit(die, pure=False)
    except KilledWorker as error:
        print(type(error).__name__)
    # The nanny replaces it.
    await client.wait_for_workers(2)
    print(await client.submit(square, 11))


def in_a_thread(address: str) -> int:
    with Client(address) as client:
        return sum(client.gather(client.map(square, range(5), pure=False)))


async def main() -> None:
    report_loop()
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    options = {"asynchronous": True, "dashboard_address": None, "silence_logs": logging.CRITICAL}
    async with (
        LocalCluster(n_workers=2, threads_per_worker=2, **options) as cluster,
        Client(cluster, asynchronous=True) as client,
    ):
        await compute(client)
        await executor(client)
        await stopped(client)
        print("in a thread", await asyncio.to_thread(in_a_thread, cluster.scheduler_address))
    async with (
        LocalCluster(n_workers=1, processes=False, security=Security.temporary(), **options) as cluster,
        Client(cluster, asynchronous=True) as client,
    ):
        print(cluster.scheduler_address.partition(":")[0], await client.submit(square, 12))


if __name__ == "__main__":
    asyncio.run(main())
