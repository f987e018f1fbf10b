"""What happens to errors when several things run at once.

Shows three ways. `gather` raises the first error and leaves the others running. `gather(return_exceptions=True)`
returns the errors as results. `TaskGroup` cancels the others and raises all the errors together.
"""

import ferrio as asyncio


async def divide(dividend, divisor, seconds):
    try:
        await asyncio.sleep(seconds)
    except asyncio.CancelledError:
        print(f"  {dividend}/{divisor} cancelled")
        raise
    quotient = dividend / divisor
    print(f"  {dividend}/{divisor} = {quotient}")
    return quotient


async def main():
    print("gather:")
    try:
        await asyncio.gather(divide(6, 3, 0.2), divide(1, 0, 0.1))
    except ZeroDivisionError as error:
        print(f"  caught {error!r}")
    await asyncio.sleep(0.2)

    print("gather with return_exceptions:")
    results = await asyncio.gather(divide(6, 3, 0.2), divide(1, 0, 0.1), return_exceptions=True)
    for result in results:
        print(f"  result {result!r}")

    print("task group:")
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(divide(6, 3, 0.2))
            group.create_task(divide(1, 0, 0.1))
    except* ZeroDivisionError as errors:
        print(f"  caught {errors.exceptions!r}")


if __name__ == "__main__":
    asyncio.run(main())
