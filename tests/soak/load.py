"""The soak's well-behaved clients: on ferrio's loop too, they ask every service and check each answer.

    python -m tests.soak.load PLAN

Several workers begin operations at the plan's rate while it says that they should work. At rest they have nothing open.
The process's levels go to `load.jsonl`, and at the end how often each operation succeeded and failed to
`load-end.json`. It fails if an answer was wrong, or if any operation that should succeed didn't.
"""

import asyncio
import collections
import json
import os
import random
import socket
import ssl
import sys
import time

import aiohttp
import websockets.asyncio.client
from tests.soak import plan as plans
from tests.soak.server import watch
from tests.soak.services import digest, pattern

import ferrio

WORKERS = 6
#: No operation takes so long, unless it hangs.
LIMIT = 20.0
HERE = "127.0.0.1"


def check(condition: bool, what: str) -> None:
    """Raises if an answer isn't as it must be."""
    if not condition:
        raise AssertionError(what)


class Worker:
    """One client: its connections of a period of work, and its operations."""

    def __init__(self, plan: plans.Plan, number: int, counts: collections.Counter, failures: list[str]):
        self.plan = plan
        self.random = random.Random(number)
        self.counts, self.failures = counts, failures
        self.tls = plans.client_context(plan.folder)
        self.operations = {
            name: getattr(type(self), name) for name in dir(type(self)) if name.startswith(("http_", "raw_", "own_"))
        }

    async def work(self) -> None:
        """Works and rests until the plan is over."""
        gap = WORKERS / self.plan.rate
        while not self.plan.over():
            if not self.plan.working():
                await asyncio.sleep(min(self.plan.until_work(), 1.0))
                continue
            async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=8, ssl=self.tls)) as self.session:
                # An operation takes a moment: none begins right before the rest.
                while self.plan.working(ahead=0.3):
                    await self.once()
                    await asyncio.sleep(self.random.uniform(0, 2 * gap))
            await asyncio.sleep(0.3)

    async def once(self) -> None:
        """Carries out one operation and counts how it ended."""
        name = self.random.choice(list(self.operations))
        began = time.monotonic()
        try:
            async with asyncio.timeout(LIMIT):
                await self.operations[name](self)
            self.counts[name] += 1
        except Exception as error:
            stalled = time.monotonic() - began >= self.plan.idle
            if stalled and not isinstance(error, (AssertionError, TimeoutError)):
                # The machine was busy for so long that the server gave us up.
                self.counts["given up after a stall"] += 1
                return
            self.counts[f"{name} failed"] += 1
            self.failures.append(f"{name} at {self.plan.now():.1f} s: {error!r}")

    def data(self, most: int = 200_000) -> bytes:
        """Returns something to send: mostly short, sometimes long."""
        return self.random.randbytes(int(most ** self.random.random()))

    def url(self, path: str) -> str:
        """Returns the address of a path at aiohttp's server, with or without TLS."""
        scheme = self.random.choice(("http", "https"))
        return f"{scheme}://{HERE}:{self.plan.ports[scheme]}{path}"

    async def post(self, path: str, data: bytes) -> bytes:
        async with self.session.post(self.url(path), data=data) as response:
            check(response.status == 200, f"{path}: {response.status}")
            return await response.read()

    # ---- HTTP, websockets, and what handlers do

    async def http_echo(self):
        data = self.data()
        check(await self.post("/echo", data) == data, "another body")

    async def http_give(self):
        length = self.random.choice((0, 10, 70_000, 1_000_000))
        async with self.session.get(self.url(f"/give?n={length}")) as response:
            check(await response.read() == pattern(length), "another body")

    async def http_stream(self):
        async with self.session.get(self.url("/stream?n=10")) as response:
            body = b"".join([part async for part in response.content.iter_any()])
        check(body == pattern(20_000) * 10, "another body")

    async def http_download(self):
        async with self.session.get(self.url("/download")) as response:
            check(await response.read() == pattern(300_000), "another file")

    async def http_file(self):
        data = self.data(50_000)
        check(await self.post("/file", data) == data, "another content")

    async def http_others(self):
        data = self.data(50_000)
        check(await self.post("/others", data) == digest(data).encode(), "another digest")

    async def http_tasks(self):
        data = self.data(20_000)
        check(await self.post("/tasks", data) == data, "another content")

    async def http_child(self):
        data, path = self.data(), self.random.choice(("/child", "/shell"))
        async with self.session.post(self.url(path), data=data) as response:
            output, status = await response.read(), response.headers.get("x-status")
        if status in ("-9", "137"):  # somebody killed it
            check(data.startswith(output), "another output of a killed child")
        else:
            check((status, output) == ("7" if path == "/shell" else "0", data), f"another output, status {status}")

    async def http_cancelled(self):
        try:
            async with asyncio.timeout(self.random.uniform(0, 0.1)):
                async with self.session.get(self.url("/slow")) as response:
                    await response.read()
        except TimeoutError:
            return
        raise AssertionError("a slow answer came early")

    async def http_websocket(self):
        async with self.session.ws_connect(self.url("/websocket"), max_msg_size=2**20) as connection:
            for _ in range(self.random.randrange(5)):
                data = self.data(100_000)
                await connection.send_bytes(data)
                check((await connection.receive_bytes()) == data, "another message")
            await connection.send_str("text")
            check((await connection.receive_str()) == "text", "another text")

    async def http_asgi(self):
        data = self.data()
        async with self.session.post(f"http://{HERE}:{self.plan.ports['asgi']}/", data=data) as response:
            check(await response.read() == data and response.headers["x-digest"] == digest(data), "another body")

    async def own_asgi_websocket(self):
        address = f"ws://{HERE}:{self.plan.ports['asgi']}/"
        async with websockets.asyncio.client.connect(address, proxy=None, max_size=None) as connection:
            for _ in range(self.random.randrange(5)):
                data = self.data(100_000)
                await connection.send(data)
                check(await connection.recv() == data, "another message")

    # ---- echoes

    async def raw_echo(self):
        name = self.random.choice(("streams", "tls streams", "protocol", "buffered", "tls protocol", "unix"))
        if name == "unix":
            reader, writer = await asyncio.open_unix_connection(self.plan.unix_path())
        elif name.startswith("tls"):
            reader, writer = await asyncio.open_connection(
                HERE, self.plan.ports[name], ssl=self.tls, server_hostname="localhost"
            )
        else:
            reader, writer = await asyncio.open_connection(HERE, self.plan.ports[name])
        try:
            for _ in range(self.random.randrange(1, 6)):
                data = self.data()
                writer.write(data)
                received, _ = await asyncio.gather(reader.readexactly(len(data)), writer.drain())
                check(received == data, f"another echo of {name}")
        finally:
            writer.close()
            await writer.wait_closed()

    async def raw_starttls(self):
        reader, writer = await asyncio.open_connection(HERE, self.plan.ports["lines"])
        try:
            for line in (b"plain\n", b"starttls\n"):
                writer.write(line)
                check(await reader.readline() == line, "another line")
            await writer.start_tls(self.tls, server_hostname="localhost")
            writer.write(b"secret\n")
            check(await reader.readline() == b"secret\n", "another line after STARTTLS")
        finally:
            writer.close()
            await writer.wait_closed()

    async def raw_cancelled(self):
        """A conversation that is cancelled somewhere; both sides must forget it."""
        task = asyncio.create_task(self.raw_echo())
        await asyncio.sleep(self.random.uniform(0, 0.02))
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled():
            try:
                task.result()
            except ssl.SSLError as error:
                # What the server echoed while we said that we close: asyncio has this, too.
                check(error.reason == "APPLICATION_DATA_AFTER_CLOSE_NOTIFY", repr(error))
                self.counts["data after the end of TLS"] += 1

    async def raw_datagrams(self):
        loop = asyncio.get_running_loop()
        received: asyncio.Queue = asyncio.Queue()

        class Receiver(asyncio.DatagramProtocol):
            def datagram_received(self, data, address):
                received.put_nowait(data)

        transport, _ = await loop.create_datagram_endpoint(Receiver, remote_addr=(HERE, self.plan.ports["datagrams"]))
        try:
            for number in range(self.random.randrange(1, 6)):
                data = b"%d:" % number + self.data(30_000)
                for _ in range(10):  # a datagram may be lost
                    transport.sendto(data)
                    try:
                        while await asyncio.wait_for(received.get(), 1) != data:
                            pass  # an answer to what was sent twice
                        break
                    except TimeoutError:
                        self.counts["datagrams lost"] += 1
                else:
                    raise AssertionError("no answer to ten datagrams")
        finally:
            transport.close()

    async def raw_sockets(self):
        """The loop's own methods for sockets."""
        loop = asyncio.get_running_loop()
        with socket.socket() as connection:
            connection.setblocking(False)
            await loop.sock_connect(connection, (HERE, self.plan.ports["streams"]))
            data = self.data(60_000)
            await loop.sock_sendall(connection, data)
            received = b""
            while len(received) < len(data):
                received += await loop.sock_recv(connection, 65536)
            check(received == data, "another echo")

    async def own_name(self):
        found = await asyncio.get_running_loop().getaddrinfo("localhost", 80, type=socket.SOCK_STREAM)
        check(bool(found), "localhost has no address")


async def main(path: str) -> int:
    """Works; returns the exit status."""
    plan = plans.load(path)
    counts: collections.Counter = collections.Counter()
    failures: list[str] = []
    asyncio.get_running_loop().set_exception_handler(
        lambda loop, context: failures.append(f"the loop reported: {context['message']}: {context.get('exception')!r}")
    )
    async with asyncio.TaskGroup() as group:
        watching = group.create_task(watch(plan, f"{plan.folder}/load.jsonl", lambda kind: None))
        workers = [group.create_task(Worker(plan, number, counts, failures).work()) for number in range(WORKERS)]
        await asyncio.wait(workers)
        watching.cancel()
    ended = {"counts": dict(sorted(counts.items())), "failures": failures[:20], "cpu": round(sum(os.times()[:2]), 2)}
    with open(f"{plan.folder}/load-end.json", "w") as file:
        json.dump(ended, file)
    for each in failures[:20]:
        print("load:", each, file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    ferrio.install()
    sys.exit(asyncio.run(main(sys.argv[1])))
