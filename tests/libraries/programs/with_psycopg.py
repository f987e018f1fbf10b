"""psycopg, psycopg-pool: PostgreSQL by Unix socket and TLS, asynchronously: prepared statements, transactions, a
pipeline, COPY, LISTEN, cancelled queries, a pool under 50 tasks, a connection that the server ends.

Needs: postgresql.
"""

import asyncio
import os

import psycopg
from common import report_loop
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb
from psycopg_pool import AsyncConnectionPool, PoolTimeout

PLAIN = f"host={os.environ['POSTGRESQL_SOCKETS']}"
ENCRYPTED = "sslmode=verify-full"


async def values(connection: psycopg.AsyncConnection) -> None:
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute("SELECT %s AS i, %s AS t, %s AS j, %b AS b", [7, "seven €", Jsonb({"a": [1]}), b"\0\xff"])
        print("values", await cursor.fetchone())
        for factor in (2, 3):
            await cursor.execute("SELECT n * %s AS n FROM generate_series(1, 3) AS n", [factor], prepare=True)
            print("prepared", await cursor.fetchall())
    async with connection.cursor(name="on_the_server") as cursor:
        await cursor.execute("SELECT n FROM generate_series(1, 10000) AS n")
        print("cursor", sum([row[0] async for row in cursor]))
    row = await (await connection.execute("SELECT repeat('x', 5000000)")).fetchone()
    print("one value of", len(row[0]), "characters")
    await connection.commit()


async def transactions(connection: psycopg.AsyncConnection) -> None:
    await connection.execute("CREATE TEMPORARY TABLE account (name text PRIMARY KEY, money int CHECK (money >= 0))")
    async with connection.cursor() as cursor:
        await cursor.executemany("INSERT INTO account VALUES (%s, %s)", [("anna", 10), ("ben", 0)])
    for amount in (4, 40):
        try:
            async with connection.transaction():
                await connection.execute("UPDATE account SET money = money + %s WHERE name = 'ben'", [amount])
                await connection.execute("UPDATE account SET money = money - %s WHERE name = 'anna'", [amount])
        except psycopg.errors.CheckViolation as error:
            print("rolled back:", error.diag.constraint_name)
        print(await (await connection.execute("SELECT * FROM account ORDER BY name")).fetchall())
    async with connection.pipeline():
        cursors = [await connection.execute("SELECT %s::int", [number]) for number in range(100)]
        print("pipeline", sum([(await cursor.fetchone())[0] for cursor in cursors]))
    await connection.commit()


async def copy(connection: psycopg.AsyncConnection) -> None:
    await connection.execute("CREATE TEMPORARY TABLE copied (n int, t text)")
    async with connection.cursor() as cursor:
        async with cursor.copy("COPY copied FROM STDIN") as into:
            for number in range(20_000):
                await into.write_row((number, f"line {number}"))
        print("copied", cursor.rowcount)
        async with cursor.copy("COPY (SELECT * FROM copied ORDER BY n) TO STDOUT") as out:
            size = sum([len(block) async for block in out])
        print("bytes back", size)
    await connection.commit()


async def stopped_queries(connection: psycopg.AsyncConnection) -> None:
    for way in ("wait_for", "timeout", "cancel_safe", "cancel"):
        query = asyncio.create_task(connection.execute("SELECT pg_sleep(60)"))
        await until_active(connection)
        try:
            if way == "wait_for":
                await asyncio.wait_for(query, 0.01)
            elif way == "timeout":
                async with asyncio.timeout(0.01):
                    await query
            elif way == "cancel_safe":
                await connection.cancel_safe()
                await query
            else:
                query.cancel()
                await query
        except (TimeoutError, asyncio.CancelledError, psycopg.errors.QueryCanceled) as error:
            print(f"{way}:", type(error).__name__)
        await connection.rollback()
        print("usable:", await (await connection.execute("SELECT 1")).fetchone())
        await connection.rollback()


async def until_active(connection: psycopg.AsyncConnection) -> None:
    """Returns once the server works on a query of this connection."""
    query = "SELECT true FROM pg_stat_activity WHERE pid = %s AND state = 'active'"
    async with await psycopg.AsyncConnection.connect(ENCRYPTED, autocommit=True) as other:
        while not await (await other.execute(query, [connection.info.backend_pid])).fetchone():
            await asyncio.sleep(0.01)


async def notifications() -> None:
    async with (
        await psycopg.AsyncConnection.connect(PLAIN, autocommit=True) as listener,
        await psycopg.AsyncConnection.connect(ENCRYPTED, autocommit=True) as sender,
    ):
        await listener.execute("LISTEN news")

        async def listen() -> list[str]:
            return [notify.payload async for notify in listener.notifies(stop_after=3)]

        heard = asyncio.create_task(listen())
        for number in range(3):
            await sender.execute("SELECT pg_notify('news', %s)", [f"number {number}"])
        print("heard", await heard)


async def pool_under_many() -> None:
    async with AsyncConnectionPool(PLAIN, min_size=2, max_size=5) as pool:
        await pool.wait()

        async def work(number: int) -> int:
            async with pool.connection() as connection:
                return (await (await connection.execute("SELECT %s::int * 2", [number])).fetchone())[0]

        print("pool", sum(await asyncio.gather(*(work(number) for number in range(50)))))
        holders = [await pool.getconn() for _ in range(5)]
        try:
            await pool.getconn(timeout=0.05)
        except PoolTimeout as error:
            print(type(error).__name__)
        for connection in holders:
            await pool.putconn(connection)


async def lost_connection() -> None:
    async with await psycopg.AsyncConnection.connect(ENCRYPTED, autocommit=True) as other:
        connection = await psycopg.AsyncConnection.connect(PLAIN, autocommit=True)
        query = asyncio.create_task(connection.execute("SELECT pg_sleep(60)"))
        await until_active(connection)
        await other.execute("SELECT pg_terminate_backend(%s)", [connection.info.backend_pid])
        result = (await asyncio.gather(query, return_exceptions=True))[0]
        print("lost:", type(result).__name__, connection.closed, connection.broken)


async def main() -> None:
    report_loop()
    for parameters in (PLAIN, ENCRYPTED):
        async with await psycopg.AsyncConnection.connect(parameters) as connection:
            print("TLS:", connection.pgconn.ssl_in_use)
            await values(connection)
            await transactions(connection)
            await copy(connection)
            await stopped_queries(connection)
    await notifications()
    await pool_under_many()
    await lost_connection()


if __name__ == "__main__":
    asyncio.run(main())
