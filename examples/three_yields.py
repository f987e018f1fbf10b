"""A hand-written awaitable that gives up control three times.

Shows what is underneath `await`. Each bare `yield` in `__await__` hands control to the loop, which runs everything else
that is ready before it comes back. The return value of `__await__` is the value of the `await` expression.
"""

import ferrio as asyncio


class Yields:
    """An awaitable that yields to the loop `count` times and whose value is `count`."""

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
