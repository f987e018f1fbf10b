"""tenacity: retries of coroutines by decorator and by block, waits, limits in number and time, a cancelled wait."""

import asyncio

import tenacity
from common import report_loop

attempts = 0


@tenacity.retry(stop=tenacity.stop_after_attempt(5), wait=tenacity.wait_exponential(multiplier=0.001))
async def works_at_the_third(name: str) -> str:
    global attempts
    attempts += 1
    await asyncio.sleep(0)
    if attempts < 3:
        raise ConnectionError(f"attempt {attempts}")
    return f"{name} at attempt {attempts}"


@tenacity.retry(stop=tenacity.stop_after_attempt(2), retry=tenacity.retry_if_exception_type(ConnectionError))
async def never_works(error: Exception) -> None:
    raise error


async def main() -> None:
    report_loop()
    print(await works_at_the_third("works"))
    print(works_at_the_third.statistics["attempt_number"])
    for error in (ConnectionError("each time"), ValueError("another")):
        try:
            await never_works(error)
        except (tenacity.RetryError, ValueError) as raised:
            print(type(raised).__name__)
    async for attempt in tenacity.AsyncRetrying(stop=tenacity.stop_after_attempt(4)):
        with attempt:
            number = attempt.retry_state.attempt_number
            print("block", number)
            if number < 4:
                raise OSError(number)
    tasks = [asyncio.create_task(tenacity.AsyncRetrying(wait=tenacity.wait_fixed(60))(fail)) for _ in range(3)]
    await failing.wait()
    for task in tasks:
        task.cancel()
    print(await asyncio.gather(*tasks, return_exceptions=True))
    before = asyncio.get_running_loop().time()
    try:
        await tenacity.AsyncRetrying(stop=tenacity.stop_after_delay(0.05), wait=tenacity.wait_fixed(0.01))(fail)
    except tenacity.RetryError as error:
        print(error.last_attempt.exception(), asyncio.get_running_loop().time() - before >= 0.05)


failing = asyncio.Event()


async def fail() -> None:
    failing.set()
    raise LookupError("nothing here")


if __name__ == "__main__":
    asyncio.run(main())
