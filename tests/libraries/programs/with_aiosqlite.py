"""aiosqlite: rows, transactions, functions and progress handlers in Python, backup and dump, an interrupted and a
cancelled query, a locked database, 20 connections at once.
"""

import asyncio
import pathlib
import sqlite3
import tempfile

import aiosqlite
from common import report_loop

# A query that ends only when it is interrupted.
ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"


async def rows(database: aiosqlite.Connection) -> None:
    await database.execute("CREATE TABLE account (name TEXT PRIMARY KEY, money INTEGER CHECK (money >= 0))")
    await database.executemany("INSERT INTO account VALUES (?, ?)", [(f"name {n:03}", n) for n in range(200)])
    await database.commit()
    database.row_factory = aiosqlite.Row
    async with database.execute("SELECT * FROM account WHERE money > ? ORDER BY name", (195,)) as cursor:
        print([tuple(row) async for row in cursor], [column[0] for column in cursor.description])
    await database.create_function("twice", 1, lambda number: number * 2, deterministic=True)
    async with database.execute("SELECT sum(twice(money)) AS total FROM account") as cursor:
        print((await cursor.fetchone())["total"])
    try:
        await database.execute("UPDATE account SET money = money - 10 WHERE name = 'name 003'")
    except sqlite3.IntegrityError as error:
        print("refused:", error)
    await database.execute("DELETE FROM account")
    print("in a transaction:", database.in_transaction)
    await database.rollback()
    print("rows:", len(await database.execute_fetchall("SELECT 1 FROM account")), database.total_changes)


async def copies(database: aiosqlite.Connection) -> None:
    async with aiosqlite.connect(":memory:") as copy:
        await database.backup(copy)
        print("copied:", len(await copy.execute_fetchall("SELECT * FROM account")))
    print("dumped:", len([line async for line in database.iterdump()]))


async def stopped(database: aiosqlite.Connection) -> None:
    running = asyncio.Event()
    loop = asyncio.get_running_loop()
    # SQLite calls this in the connection's thread, so it runs.
    await database.set_progress_handler(lambda: loop.call_soon_threadsafe(running.set) and None, 10_000)
    query = asyncio.create_task(database.execute_fetchall(ENDLESS))
    await running.wait()
    await database.interrupt()
    print(repr((await asyncio.gather(query, return_exceptions=True))[0]))
    running.clear()
    query = asyncio.create_task(database.execute_fetchall(ENDLESS))
    await running.wait()
    query.cancel()
    print(repr((await asyncio.gather(query, return_exceptions=True))[0]))
    # The thread is still busy with the query.
    await database.interrupt()
    await database.set_progress_handler(None, 0)
    print("usable:", (await database.execute_fetchall("SELECT 1"))[0][0])


async def many(path: pathlib.Path) -> None:
    async def add(number: int) -> None:
        async with aiosqlite.connect(path, timeout=60) as database:
            await database.execute("UPDATE account SET money = money + ? WHERE name = 'name 000'", (number,))
            await database.commit()

    async with asyncio.TaskGroup() as group:
        for number in range(20):
            group.create_task(add(number))
    async with aiosqlite.connect(path) as holder, aiosqlite.connect(path, timeout=0) as other:
        print(await (await holder.execute("SELECT money FROM account WHERE name = 'name 000'")).fetchone())
        await holder.execute("BEGIN IMMEDIATE")
        try:
            await other.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            print("locked:", error)


async def main() -> None:
    report_loop()
    with tempfile.TemporaryDirectory() as directory:
        path = pathlib.Path(directory) / "accounts.db"
        async with aiosqlite.connect(path) as database:
            await rows(database)
            await copies(database)
            await stopped(database)
        await many(path)


if __name__ == "__main__":
    asyncio.run(main())
