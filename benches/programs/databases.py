"""Clients of databases, whose servers are other processes: redis-py and asyncpg."""

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager

import asyncpg
from redis.asyncio import Redis

TASKS = 10


@asynccontextmanager
async def redis_commands(port):
    """Tasks that each set a key and get it again, over a client's pool of TCP connections."""
    async with Redis(host="127.0.0.1", port=port, decode_responses=True) as client:

        async def work(name, rounds):
            for number in range(rounds):
                await client.set(name, number)
                found = await client.get(name)
                if found != str(number):
                    raise AssertionError(f"{name} is {found!r}, not {number}")

        async def operate(n):
            await asyncio.gather(*(work(f"key {task}", n // TASKS // 2) for task in range(TASKS)))

        yield operate


@asynccontextmanager
async def redis_subscribers(port):
    """Subscribers of a channel each, and one publisher that sends to them in turn."""
    async with Redis(host="127.0.0.1", port=port, decode_responses=True) as client, AsyncExitStack() as stack:
        subscriptions = []
        for number in range(TASKS):
            subscription = await stack.enter_async_context(client.pubsub(ignore_subscribe_messages=True))
            await subscription.subscribe(f"channel {number}")
            if await subscription.get_message(timeout=10) is not None:
                raise AssertionError("the subscription's confirmation wasn't ignored")
            subscriptions.append(subscription)

        async def hear(subscription, messages):
            expected = 0
            async for message in subscription.listen():
                if message["data"] != f"message {expected}":
                    raise AssertionError(f"heard {message!r}, not message {expected}")
                expected += 1
                if expected == messages:
                    return

        async def publish(messages):
            for message in range(messages):
                for number in range(TASKS):
                    if await client.publish(f"channel {number}", f"message {message}") != 1:
                        raise AssertionError(f"channel {number} has lost its subscriber")

        async def operate(n):
            messages = n // TASKS
            await asyncio.gather(publish(messages), *(hear(each, messages) for each in subscriptions))

        yield operate


@asynccontextmanager
async def asyncpg_queries(place):
    """Tasks that each fetch a value with a prepared statement, over a pool."""
    async with asyncpg.create_pool(**place, min_size=TASKS, max_size=TASKS) as pool:

        async def work(task, rounds):
            for number in range(rounds):
                found = await pool.fetchval("SELECT $1::int + $2::int", task, number)
                if found != task + number:
                    raise AssertionError(f"{task} + {number} is {found!r}")

        async def operate(n):
            await asyncio.gather(*(work(task, n // TASKS // 2) for task in range(2 * TASKS)))

        yield operate


@asynccontextmanager
async def asyncpg_transactions(place):
    """Tasks that each change a row of their own in a transaction, over a pool."""
    async with asyncpg.create_pool(**place, min_size=TASKS, max_size=TASKS) as pool:
        await pool.execute("DROP TABLE IF EXISTS counted; CREATE TABLE counted (task int PRIMARY KEY, times int)")
        await pool.executemany("INSERT INTO counted VALUES ($1, 0)", [(task,) for task in range(TASKS)])

        async def work(task, rounds):
            for _ in range(rounds):
                async with pool.acquire() as connection, connection.transaction():
                    await connection.execute("UPDATE counted SET times = times + 1 WHERE task = $1", task)

        async def operate(n):
            before = await pool.fetchval("SELECT sum(times) FROM counted")
            await asyncio.gather(*(work(task, n // TASKS) for task in range(TASKS)))
            after = await pool.fetchval("SELECT sum(times) FROM counted")
            if after - before != n:
                raise AssertionError(f"{after - before} updates instead of {n}")

        yield operate
