"""Async context managers and iterators: things that must wait to open, to close, or for their next item.

Shows a class with `__aenter__`/`__aexit__`, the same with `contextlib`, and several in one `AsyncExitStack`, which
closes them in reverse order, even after an error. Then a class with `__aiter__`/`__anext__`, and an async
comprehension.
"""

import contextlib

import ferrio as asyncio


class Connection:
    def __init__(self, name):
        self.name = name

    async def __aenter__(self):
        await asyncio.sleep(0.1)
        print(f"open {self.name}")
        return self

    async def __aexit__(self, *error):
        await asyncio.sleep(0.1)
        print(f"close {self.name}")


@contextlib.asynccontextmanager
async def transaction(connection):
    print(f"begin on {connection.name}")
    try:
        yield
    except ValueError as error:
        print(f"roll back: {error}")
    else:
        print("commit")


class Countdown:
    """An async iterator: `start`, `start - 1`, ... 1, one each 0.1 s."""

    def __init__(self, start):
        self.left = start

    def __aiter__(self):
        return self

    async def __anext__(self):
        if self.left == 0:
            raise StopAsyncIteration
        await asyncio.sleep(0.1)
        self.left -= 1
        return self.left + 1


async def main():
    async with Connection("first") as connection, transaction(connection):
        print("work")
    async with Connection("second") as connection, transaction(connection):
        raise ValueError("the work failed")

    async with contextlib.AsyncExitStack() as stack:
        for name in ("left", "right"):
            await stack.enter_async_context(Connection(name))
        print("both open")

    async for number in Countdown(3):
        print(number)
    print([number * number async for number in Countdown(4) if number % 2 == 0])


if __name__ == "__main__":
    asyncio.run(main())
