"""asyncpg: its client, with a server of a few lines: prepared statements, a pool under many tasks, a query that times
out, a connection that the server ends.
"""

import asyncio
import contextlib
import struct

import asyncpg

INT4 = 23


def message(kind: bytes, body: bytes = b"") -> bytes:
    return kind + struct.pack("!i", len(body) + 4) + body


READY = message(b"Z", b"I")


class Server:
    """As much of PostgreSQL as the client below needs. Its statements take one number; each name is a function."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.statements: dict[bytes, str] = {}
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            size, code = struct.unpack("!ii", await reader.readexactly(8))
            await reader.readexactly(size - 8)
            if code == 80877102:  # a request to cancel
                writer.close()
                return
            writer.write(message(b"R", struct.pack("!i", 0)))
            for name, value in ((b"server_version", b"17.0"), (b"client_encoding", b"UTF8")):
                writer.write(message(b"S", name + b"\0" + value + b"\0"))
            writer.write(message(b"K", struct.pack("!ii", 1, 2)) + READY)
            statements: dict[bytes, bytes] = {}
            bound = "", 0
            while True:
                kind = await reader.readexactly(1)
                body = await reader.readexactly(struct.unpack("!i", await reader.readexactly(4))[0] - 4)
                if kind == b"X":
                    break
                if kind == b"Q":
                    writer.write(message(b"C", b"OK\0") + READY)
                elif kind == b"P":
                    name, query, _ = body.split(b"\0", 2)
                    statements[name] = query
                    writer.write(message(b"1"))
                elif kind == b"D":
                    writer.write(message(b"t", struct.pack("!hi", 1, INT4)))
                    column = b"answer\0" + struct.pack("!ihihih", 0, 0, INT4, 4, -1, 0)
                    writer.write(message(b"T", struct.pack("!h", 1) + column))
                elif kind == b"B":
                    _, name, rest = body.split(b"\0", 2)
                    # Behind the formats and the count comes the length of the only value.
                    formats = struct.unpack_from("!h", rest)[0]
                    bound = statements[name].decode(), struct.unpack_from("!i", rest, 2 + 2 * formats + 2 + 4)[0]
                    writer.write(message(b"2"))
                elif kind == b"E":
                    await self.execute(writer, *bound)
                elif kind == b"C":
                    writer.write(message(b"3"))
                elif kind == b"S":
                    writer.write(READY)
                await writer.drain()
        writer.close()

    async def execute(self, writer: asyncio.StreamWriter, query: str, argument: int) -> None:
        if "slow" in query:
            await asyncio.sleep(argument)
        if "end" in query:
            writer.transport.abort()
            return
        rows = range(argument) if "rows" in query else [2 * argument]
        for value in rows:
            writer.write(message(b"D", struct.pack("!hii", 1, 4, value)))
        writer.write(message(b"C", b"SELECT %d\0" % len(rows)))


async def main() -> None:
    async with await asyncio.start_server(Server().serve, "127.0.0.1", 0) as listener:
        port = listener.sockets[0].getsockname()[1]
        where = {"host": "localhost", "port": port, "user": "u", "database": "d", "ssl": False, "password": "p"}
        connection = await asyncpg.connect(**where)
        print(await connection.fetchval("double $1", 21), connection.get_server_version().major)
        rows = await connection.fetch("rows $1", 1000)
        print("rows:", len(rows), sum(row["answer"] for row in rows))
        statement = await connection.prepare("double $1")
        print([await statement.fetchval(number) for number in range(5)])
        await connection.close()
        async with asyncpg.create_pool(min_size=2, max_size=5, **where) as pool:
            answers = await asyncio.gather(*(pool.fetchval("double $1", number) for number in range(50)))
            print("pool:", sum(answers))
        connection = await asyncpg.connect(**where)
        try:
            await connection.fetchval("end $1", 1)
        except (asyncpg.PostgresConnectionError, ConnectionError) as error:
            print("ended:", isinstance(error, Exception), connection.is_closed())
        connection = await asyncpg.connect(**where)
        try:
            await connection.fetchval("slow $1", 2, timeout=0.5)
        except TimeoutError as error:
            print("timed out:", type(error).__name__)
        connection.terminate()


if __name__ == "__main__":
    asyncio.run(main())
