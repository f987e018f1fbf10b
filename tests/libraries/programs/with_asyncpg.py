"""asyncpg: PostgreSQL by Unix socket and TLS: prepared statements, transactions, cursors, COPY, LISTEN, a query that
times out or is cancelled, a pool under 50 tasks, a connection that the server ends.

Needs: postgresql.
"""

import asyncio
import datetime
import io
import os
import ssl

import asyncpg
from common import report_loop

SOCKETS = os.environ["POSTGRESQL_SOCKETS"]


async def values(connection: asyncpg.Connection) -> None:
    row = await connection.fetchrow(
        "SELECT $1::int AS i, $2::text AS t, $3::bytea AS b, $4::jsonb AS j, $5::timestamptz AS d, $6::int[] AS a",
        7,
        "seven €",
        b"\0\xff",
        '{"a": [1, null]}',
        datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC),
        [1, 2, 3],
    )
    print("values", dict(row))
    statement = await connection.prepare("SELECT n * $1 FROM generate_series(1, 5) AS n")
    print("prepared", [await statement.fetchval(factor, column=0) for factor in (2, 3)], await statement.fetch(10))
    big = await connection.fetchval("SELECT repeat('x', $1)", 5_000_000)
    print("one value of", len(big), "characters")
    try:
        await connection.fetchval("SELECT 1 / $1::int", 0)
    except asyncpg.DivisionByZeroError as error:
        print("error", error.sqlstate, error)


async def transactions(connection: asyncpg.Connection) -> None:
    await connection.execute("CREATE TEMPORARY TABLE account (name text PRIMARY KEY, money int CHECK (money >= 0))")
    await connection.executemany("INSERT INTO account VALUES ($1, $2)", [("anna", 10), ("ben", 0)])
    for amount in (4, 40):
        try:
            async with connection.transaction(isolation="serializable"):
                await connection.execute("UPDATE account SET money = money + $1 WHERE name = 'ben'", amount)
                await connection.execute("UPDATE account SET money = money - $1 WHERE name = 'anna'", amount)
        except asyncpg.CheckViolationError as error:
            print("rolled back:", error.constraint_name)
        print([tuple(row) for row in await connection.fetch("SELECT * FROM account ORDER BY name")])
    async with connection.transaction():
        total = 0
        async for record in connection.cursor("SELECT n FROM generate_series(1, 10000) AS n", prefetch=100):
            total += record["n"]
        print("cursor", total)


async def copy(connection: asyncpg.Connection) -> None:
    await connection.execute("CREATE TEMPORARY TABLE copied (n int, t text)")
    records = [(number, f"line {number}") for number in range(20_000)]
    print(await connection.copy_records_to_table("copied", records=records))
    output = io.BytesIO()
    print(await connection.copy_from_query("SELECT * FROM copied ORDER BY n LIMIT 1000", output=output, format="csv"))
    lines = output.getvalue().splitlines()
    print(len(lines), lines[0], lines[-1])

    async def source():
        for number in range(100):
            await asyncio.sleep(0)
            yield b"%d\tfrom a generator\n" % number

    print(await connection.copy_to_table("copied", source=source()))
    print("rows", await connection.fetchval("SELECT count(*) FROM copied"))


async def stopped_queries(connection: asyncpg.Connection) -> None:
    # Both ask the server to stop, over a connection of their own.
    try:
        await connection.fetchval("SELECT pg_sleep(60)", timeout=0.05)
    except TimeoutError as error:
        print("timed out:", type(error).__name__)
    print("usable:", await connection.fetchval("SELECT 1"))
    query = asyncio.create_task(connection.fetchval("SELECT pg_sleep(60)"))
    async with asyncpg.create_pool(min_size=1, max_size=1) as pool:
        while not await pool.fetchval("SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(60)'"):
            await asyncio.sleep(0.01)
    query.cancel()
    print("cancelled:", (await asyncio.gather(query, return_exceptions=True))[0].__class__.__name__)
    print("usable:", await connection.fetchval("SELECT 2"))


async def notifications(listener: asyncpg.Connection, sender: asyncpg.Connection) -> None:
    got: asyncio.Queue[tuple] = asyncio.Queue()
    await listener.add_listener("news", lambda _, pid, channel, payload: got.put_nowait((channel, payload)))
    for number in range(3):
        await sender.execute("SELECT pg_notify('news', $1)", f"number {number}")
    print("heard", [await got.get() for _ in range(3)])
    await listener.reset(timeout=10)


async def pool_under_many() -> None:
    async with asyncpg.create_pool(host=SOCKETS, min_size=2, max_size=5) as pool:
        await pool.execute("DROP TABLE IF EXISTS counter; CREATE TABLE counter (n int); INSERT INTO counter VALUES (0)")
        used = set()

        async def work(number: int) -> int:
            async with pool.acquire() as connection, connection.transaction():
                used.add(connection.get_server_pid())
                await connection.execute("UPDATE counter SET n = n + $1", number)
                return await connection.fetchval("SELECT $1::int * 2", number)

        doubled = await asyncio.gather(*(work(number) for number in range(50)))
        print("pool", sum(doubled), await pool.fetchval("SELECT n FROM counter"), 1 <= len(used) <= 5)
        await pool.execute("DROP TABLE counter")


async def lost_connection(other: asyncpg.Connection) -> None:
    connection = await asyncpg.connect(host=SOCKETS)
    ended = asyncio.Event()
    connection.add_termination_listener(lambda _: ended.set())
    query = asyncio.create_task(connection.fetchval("SELECT pg_sleep(60)"))
    pid = connection.get_server_pid()
    while not await other.fetchval("SELECT true FROM pg_stat_activity WHERE pid = $1 AND state = 'active'", pid):
        await asyncio.sleep(0.01)
    await other.execute("SELECT pg_terminate_backend($1)", pid)
    result = (await asyncio.gather(query, return_exceptions=True))[0]
    await ended.wait()
    print("lost:", type(result).__name__, connection.is_closed())


async def main() -> None:
    report_loop()
    tls = ssl.create_default_context(cafile=os.environ["PGSSLROOTCERT"])
    plain = await asyncpg.connect(host=SOCKETS)
    encrypted = await asyncpg.connect(ssl=tls)
    for connection in (plain, encrypted):
        pid = connection.get_server_pid()
        print("TLS:", await connection.fetchval("SELECT ssl FROM pg_stat_ssl WHERE pid = $1", pid))
        await values(connection)
        await transactions(connection)
        await copy(connection)
        await stopped_queries(connection)
    await notifications(plain, encrypted)
    await pool_under_many()
    await lost_connection(encrypted)
    await plain.close()
    encrypted.terminate()


if __name__ == "__main__":
    asyncio.run(main())
