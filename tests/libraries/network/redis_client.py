"""redis: its client, with a server of a few lines: commands, a pipeline, a pool under many tasks, publish and
subscribe, a blocking pop that is cancelled.
"""

import asyncio
import collections
import contextlib

from redis.asyncio import BlockingConnectionPool, Redis


class Server:
    """As much of Redis as the client below needs, in the protocol's version 2."""

    def __init__(self) -> None:
        self.values: dict[bytes, bytes] = {}
        self.lists = collections.defaultdict(asyncio.Queue)
        self.channels: dict[bytes, list[asyncio.StreamWriter]] = collections.defaultdict(list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                count = int((await reader.readuntil(b"\r\n"))[1:])
                words = []
                for _ in range(count):
                    size = int((await reader.readuntil(b"\r\n"))[1:])
                    words.append((await reader.readexactly(size + 2))[:-2])
                writer.write(await self.answer(words[0].upper(), words[1:], writer))
                await writer.drain()
        writer.close()

    async def answer(self, command: bytes, words: list[bytes], writer: asyncio.StreamWriter) -> bytes:
        if command == b"PING":
            return b"+PONG\r\n"
        if command == b"SET":
            self.values[words[0]] = words[1]
            return b"+OK\r\n"
        if command == b"GET":
            return text(self.values.get(words[0]))
        if command == b"INCRBY":
            number = int(self.values.get(words[0], b"0")) + int(words[1])
            self.values[words[0]] = b"%d" % number
            return b":%d\r\n" % number
        if command == b"ECHO":
            return text(words[0])
        if command == b"RPUSH":
            self.lists[words[0]].put_nowait(words[1])
            return b":%d\r\n" % self.lists[words[0]].qsize()
        if command == b"BLPOP":
            return b"*2\r\n" + text(words[0]) + text(await self.lists[words[0]].get())
        if command == b"SUBSCRIBE":
            self.channels[words[0]].append(writer)
            return b"*3\r\n" + text(b"subscribe") + text(words[0]) + b":1\r\n"
        if command == b"UNSUBSCRIBE":
            return b"*3\r\n" + text(b"unsubscribe") + text(words[0]) + b":0\r\n"
        if command == b"PUBLISH":
            for listener in self.channels[words[0]]:
                listener.write(b"*3\r\n" + text(b"message") + text(words[0]) + text(words[1]))
            return b":%d\r\n" % len(self.channels[words[0]])
        if command == b"CLIENT":
            return b"+OK\r\n"
        return b"-ERR unknown command\r\n"


def text(value: bytes | None) -> bytes:
    return b"$-1\r\n" if value is None else b"$%d\r\n%s\r\n" % (len(value), value)


async def main() -> None:
    server = Server()
    async with await asyncio.start_server(server.serve, "127.0.0.1", 0) as listener:
        port = listener.sockets[0].getsockname()[1]
        pool = BlockingConnectionPool(
            host="localhost", port=port, decode_responses=True, max_connections=5, timeout=60, protocol=2
        )
        async with Redis.from_pool(pool) as client:
            print(await client.ping(), await client.set("a", "1"), await client.incrby("a", 41), await client.get("a"))
            await client.set("big", "x" * 1_000_000)
            print(len(await client.get("big")), await client.get("none"))
            async with client.pipeline(transaction=False) as pipe:
                for number in range(200):
                    pipe.incrby("sum", number)
                print("pipeline:", (await pipe.execute())[-1])
            answers = await asyncio.gather(*(client.echo("x" * number) for number in range(50)))
            print("pool:", sum(map(len, answers)))
            popped = asyncio.create_task(client.blpop("later", timeout=0))
            await asyncio.sleep(0.3)
            await client.rpush("later", "here")
            print("popped:", await popped)
            popped = asyncio.create_task(client.blpop("later", timeout=0))
            await asyncio.sleep(0.3)
            popped.cancel()
            print(type((await asyncio.gather(popped, return_exceptions=True))[0]).__name__, await client.ping())
            await client.rpush("later", "for the one who left")
            async with client.pubsub() as channel:
                await channel.subscribe("news")
                print((await channel.get_message(timeout=10))["type"])
                for number in range(3):
                    print("receivers:", await client.publish("news", number))
                print([(await channel.get_message(timeout=10))["data"] for _ in range(3)])
                print("silence:", await channel.get_message(timeout=0.1))


if __name__ == "__main__":
    asyncio.run(main())
