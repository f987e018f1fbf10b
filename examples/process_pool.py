"""Work that keeps a processor busy, in other processes, while the loop stays free.

Shows `run_in_executor("process", ...)`: the loop keeps a process pool under that name. The guard at the end
matters: the pool's processes may import this file, and must not start the program again.
"""

import os

import ferrio as asyncio


def count_primes(limit):
    """The number of primes below `limit`, and the id of the process that counted them."""
    sieve = bytearray([1]) * limit
    sieve[:2] = b"\0\0"
    for number in range(2, int(limit**0.5) + 1):
        if sieve[number]:
            sieve[number * number :: number] = bytes(len(range(number * number, limit, number)))
    return sum(sieve), os.getpid()


async def main():
    loop = asyncio.get_running_loop()
    limits = [100, 10_000, 1_000_000]
    jobs = [loop.run_in_executor("process", count_primes, limit) for limit in limits]
    for limit, (count, process) in zip(limits, await asyncio.gather(*jobs), strict=True):
        where = "this process" if process == os.getpid() else "another process"
        print(f"{count} primes below {limit}, counted in {where}")


if __name__ == "__main__":
    asyncio.run(main())
