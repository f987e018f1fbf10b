"""Time limits: on one awaitable, on a block, moved while it runs, and removed.

Shows `wait_for`, `timeout`, `Timeout.reschedule` and `shield`, which keeps a job alive when its waiter gives up.
"""

import ferrio as asyncio


async def answer(seconds):
    try:
        await asyncio.sleep(seconds)
    except asyncio.CancelledError:
        print(f"  the {seconds} s job was cancelled")
        raise
    return f"answer after {seconds} s"


async def main():
    print(await asyncio.wait_for(answer(1), timeout=2))

    try:
        await asyncio.wait_for(answer(10), timeout=1)
    except TimeoutError:
        print("wait_for: no answer within 1 s")

    try:
        async with asyncio.timeout(1):
            await answer(20)
    except TimeoutError:
        print("timeout: the block took longer than 1 s")

    loop = asyncio.get_running_loop()
    async with asyncio.timeout(1) as limit:
        limit.reschedule(loop.time() + 5)
        print(await answer(3))
    print(f"expired: {limit.expired()}")

    job = asyncio.create_task(answer(2))
    try:
        await asyncio.wait_for(asyncio.shield(job), timeout=1)
    except TimeoutError:
        print("shield: the waiter gave up, the job goes on")
    print(await job)


if __name__ == "__main__":
    asyncio.run(main())
