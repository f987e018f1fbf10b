"""Work for more processors than one machine has: the same call, on a Dask cluster.

Shows `run_in_executor` with a cluster instead of a pool. If you pass the address of a Dask scheduler, it uses that
cluster; otherwise it starts one of two processes on this machine. It needs `pip install distributed`. The guard at the
end matters: the cluster's processes import this file, and must not start the program again.
"""

import contextlib
import sys

from distributed import Client, LocalCluster

import ferrio as asyncio


def count_primes(limit):
    """The number of primes below `limit`."""
    sieve = bytearray([1]) * limit
    sieve[:2] = b"\0\0"
    for number in range(2, int(limit**0.5) + 1):
        if sieve[number]:
            sieve[number * number :: number] = bytes(len(range(number * number, limit, number)))
    return sum(sieve)


async def main(address=None):
    async with contextlib.AsyncExitStack() as stack:
        if address is None:
            cluster = LocalCluster(n_workers=2, dashboard_address=None, asynchronous=True)
            address = await stack.enter_async_context(cluster)
        client = await stack.enter_async_context(Client(address, asynchronous=True))

        loop, executor = asyncio.get_running_loop(), client.get_executor()
        limits = [100, 10_000, 1_000_000]
        jobs = [loop.run_in_executor(executor, count_primes, limit) for limit in limits]
        for limit, count in zip(limits, await asyncio.gather(*jobs), strict=True):
            print(f"{count} primes below {limit}")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
