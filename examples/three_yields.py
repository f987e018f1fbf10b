"""A hand-written awaitable that gives up control three times.

Shows what `await` is underneath: each bare `yield` of `__await__` hands control to the loop, which runs
everything else that is ready before it comes back; what `__await__` returns is the value of the `await`
expression.
"""

import ferrio as asyncio


class Yields:
    """An awaitable that yields to the loop `count` times and is worth `count`."""

    def __init__(self, count):
        self.count = count

    def __await__(self):
        for turn in range(1, self.count + 1):
            print(f"yield {turn}")
            yield
        return self.count


async def other():
    for turn in range(1, 4):
        print(f"  other runs, turn {turn}")
        await asyncio.sleep(0)


async def main():
    beside = asyncio.create_task(other())
    turns = await Yields(3)
    await beside
    print(f"done after {turns} yields")


if __name__ == "__main__":
    asyncio.run(main())
