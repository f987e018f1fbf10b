"""A connection is closed twice: by the task that fails, and by the end of the program. The flag is set too late.

Closing waits for what is still to be sent, and meanwhile it looks as if nobody had closed it. `explore` finds the
order in which both do.
"""

import asyncio

import pytest

from ferrio import testing


class Connection:
    def __init__(self):
        self.is_open = True
        self.released = 0

    async def close(self):
        if self.is_open:
            await asyncio.sleep(0)  # sends the rest
            self.is_open = False
            self.release()

    def release(self):
        """Gives the socket back to its pool, which must happen once."""
        self.released += 1
        assert self.released == 1, "closed twice"


class CorrectConnection(Connection):
    async def close(self):
        if self.is_open:
            self.is_open = False
            await asyncio.sleep(0)
            self.release()


async def use(connection):
    async def reader():
        await connection.close()  # at the end of the input

    async def shutdown():
        for _ in range(3):
            await asyncio.sleep(0)  # stops the server
        await connection.close()

    await asyncio.gather(reader(), shutdown())


async def broken():
    await use(Connection())


async def corrected():
    await use(CorrectConnection())


def test_asyncio_doesnt_show_it():
    asyncio.run(broken())


def test_the_bench_finds_it():
    with pytest.raises(AssertionError, match="closed twice"):
        testing.explore(broken, runs=100)


def test_with_the_flag_set_first_it_is_gone():
    testing.explore(corrected, runs=100)
