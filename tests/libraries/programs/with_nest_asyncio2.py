"""nest_asyncio2: `asyncio.run` and `run_until_complete` inside a running loop, in tasks and callbacks, several deep."""

import asyncio

import nest_asyncio2
from common import report_loop


async def double(number: int) -> int:
    await asyncio.sleep(0.001)
    return number * 2


async def deep(level: int) -> int:
    await asyncio.sleep(0)
    return level and 1 + asyncio.run(deep(level - 1))


async def tick(ticks: list[int]) -> None:
    for number in range(10):
        ticks.append(number)
        await asyncio.sleep(0)


async def main() -> None:
    report_loop()
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    nest_asyncio2.apply()
    ticks: list[int] = []
    ticking = asyncio.create_task(tick(ticks))
    print("run:", asyncio.run(double(1)), loop.run_until_complete(double(2)))
    print("meanwhile:", len(ticks) > 1, "the same task:", asyncio.current_task() is task)
    print("deep:", asyncio.run(deep(8)))
    from_callback = loop.create_future()
    loop.call_soon(lambda: from_callback.set_result(asyncio.run(double(3))))
    print("in a callback:", await from_callback)
    try:
        asyncio.run(asyncio.wait_for(asyncio.sleep(60), 0.001))
    except TimeoutError:
        print("too late")
    print("classes:", isinstance(ticking, asyncio.Task), isinstance(loop.create_future(), asyncio.Future))
    await ticking


if __name__ == "__main__":
    asyncio.run(main())
