"""redis: Redis by Unix socket and TLS: pipelines, transactions, blocking pops, publish and subscribe, streams, scripts,
locks, a pool under 50 tasks, time-outs, cancellation, a connection that the server ends.

Needs: redis.
"""

import asyncio
import os

from common import report_loop
from redis.asyncio import BlockingConnectionPool, Redis
from redis.exceptions import ConnectionError, ResponseError, TimeoutError, WatchError

PASSWORD = os.environ["REDIS_PASSWORD"]


def plain(**options) -> Redis:
    return Redis(unix_socket_path=os.environ["REDIS_SOCKET"], password=PASSWORD, decode_responses=True, **options)


def pool_of(url: str, **options) -> Redis:
    """Returns a client with at most five connections; tasks that need another one wait."""
    pool = BlockingConnectionPool.from_url(
        url, password=PASSWORD, decode_responses=True, max_connections=5, timeout=60, **options
    )
    return Redis.from_pool(pool)


async def commands(client: Redis) -> None:
    await client.flushdb()
    print(await client.ping(), await client.set("a", "1"), await client.incrby("a", 41), await client.get("a"))
    await client.hset("h", mapping={"x": "1", "y": "2"})
    print(await client.hgetall("h"), await client.get("none"))
    await client.set("big", "x" * 3_000_000)
    print("one value of", len(await client.get("big")), "characters")
    async with client.pipeline(transaction=False) as pipe:
        for number in range(1000):
            pipe.rpush("l", number)
        print("pipeline", len(await pipe.execute()), await client.llen("l"))
    try:
        await client.incr("h")
    except ResponseError as error:
        print("error", error)
    script = client.register_script("return redis.call('GET', KEYS[1]) * ARGV[1]")
    print("script", await script(keys=["a"], args=[2]))
    print("scanned", sorted([key async for key in client.scan_iter("*")]))


async def transactions(client: Redis) -> None:
    async with client.pipeline() as pipe:
        await pipe.watch("a")
        await client.set("a", "changed")
        pipe.multi()
        pipe.set("a", "mine")
        try:
            await pipe.execute()
        except WatchError:
            print("watched:", await client.get("a"))


async def waiting(client: Redis) -> None:
    popped = asyncio.create_task(client.blpop("later", timeout=30))
    while not (await client.info("clients"))["blocked_clients"]:
        await asyncio.sleep(0.01)
    await client.rpush("later", "here")
    print("popped", await popped, await client.blpop("never", timeout=0.01))
    popped = asyncio.create_task(client.blpop("later", timeout=30))
    while not (await client.info("clients"))["blocked_clients"]:
        await asyncio.sleep(0.01)
    popped.cancel()
    print(type((await asyncio.gather(popped, return_exceptions=True))[0]).__name__, await client.ping())
    async with client.lock("the lock", timeout=30):
        other = client.lock("the lock", timeout=30, blocking_timeout=0.05)
        print("second lock:", await other.acquire())
    print("after:", await other.acquire(), await other.owned())


async def publish(client: Redis, publisher: Redis) -> None:
    async with client.pubsub() as channels:
        await channels.subscribe("news")
        await channels.psubscribe("we*")
        for _ in range(2):
            print((await channels.get_message(timeout=10))["type"])
        for number in range(3):
            print("receivers", await publisher.publish(("news", "weather")[number % 2], number))
        for _ in range(3):
            message = await channels.get_message(ignore_subscribe_messages=True, timeout=10)
            print(message["type"], message["channel"], message["data"])
        print("silence", await channels.get_message(timeout=0.01))


async def stream(client: Redis) -> None:
    await client.xgroup_create("s", "group", mkstream=True)
    for number in range(5):
        await client.xadd("s", {"n": number}, id=f"{number + 1}-0")
    taken = await client.xreadgroup("group", "me", {"s": ">"}, count=3)
    print("taken", taken, await client.xack("s", "group", "1-0"))


async def pool_under_many(client: Redis) -> None:
    async def work(number: int) -> int:
        await client.incrby("sum", number)
        return len(await client.echo("x" * number))

    await client.delete("sum")
    print("pool", sum(await asyncio.gather(*(work(number) for number in range(50)))), await client.get("sum"))


async def lost(client: Redis) -> None:
    victim = plain(retry=None, single_connection_client=True)
    number = await victim.client_id()
    popped = asyncio.create_task(victim.blpop("never", timeout=30))
    while not (await client.info("clients"))["blocked_clients"]:
        await asyncio.sleep(0.01)
    await client.client_kill_filter(_id=number)
    print("lost:", isinstance((await asyncio.gather(popped, return_exceptions=True))[0], ConnectionError))
    print("again:", await victim.ping())
    await victim.aclose()
    hasty = plain(socket_timeout=0.05, retry=None)
    try:
        await hasty.blpop("never", timeout=30)
    except TimeoutError as error:
        print("timed out:", type(error).__name__)
    await hasty.aclose()


async def main() -> None:
    report_loop()
    async with (
        pool_of(f"unix://{os.environ['REDIS_SOCKET']}") as first,
        pool_of(f"rediss://localhost:{os.environ['REDIS_PORT']}", ssl_ca_certs=os.environ["REDIS_CA"]) as second,
    ):
        for client in (first, second):
            await commands(client)
            await transactions(client)
            await waiting(client)
            await stream(client)
            await pool_under_many(client)
        await publish(first, second)
        await publish(second, first)
        await lost(second)


if __name__ == "__main__":
    asyncio.run(main())
