"""The services of the soak's server: everything that a program would do on a loop.

HTTP, HTTPS and websockets by aiohttp; HTTP and websockets by uvicorn; echoes by streams, protocols, datagrams, TLS,
STARTTLS and Unix sockets; children, files, threads and processes. Each answers so that a client can check the answer.
The clients are in `load.py`; how the server is watched is in `server.py`.
"""

import asyncio
import contextlib
import hashlib
import logging
import os
import signal
import ssl
import subprocess
import tempfile
import time

import uvicorn
from aiohttp import WSMsgType, web
from tests.soak.plan import Plan, server_context

import ferrio

#: Longer than a period of work: otherwise a server ends an idle connection while its client sends the next request.
KEPT_ALIVE = 120


def digest(data: bytes) -> str:
    """Returns what names data in the answers."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def pattern(length: int) -> bytes:
    """Returns `length` bytes in which a shift or a gap would show."""
    return (b"".join(b"%08x" % number for number in range(0, length, 8)) if length else b"")[:length]


# ---- what handlers do, whatever protocol they were asked by


async def in_child(data: bytes, path: str) -> tuple[int, bytes]:
    """Sends data through a child of the system; returns its status and what it wrote."""
    if path.endswith("shell"):
        child = await asyncio.create_subprocess_shell(
            "cat; exit 7", stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
    else:
        child = await asyncio.create_subprocess_exec(
            "cat", stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )
    try:
        output, _ = await child.communicate(data)
        return child.returncode, output
    finally:
        # The request may have been cancelled. A shell's own child would keep the pipes open if only the shell ended.
        if child.returncode is None:
            try:
                os.killpg(child.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            await child.wait()


async def in_file(data: bytes, folder: str) -> bytes:
    """Writes data to a new file, and returns what a second handle reads of it."""
    descriptor, path = tempfile.mkstemp(dir=folder)
    os.close(descriptor)
    try:
        async with ferrio.open(path, "wb") as file:
            for start in range(0, len(data), 10_000):
                await file.write(data[start : start + 10_000])
        async with ferrio.open(path, "rb") as file:
            return await file.read()
    finally:
        os.unlink(path)


async def in_others(data: bytes) -> str:
    """Digests data in threads and in a process; returns the digest if all agree."""
    loop = asyncio.get_running_loop()
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(asyncio.to_thread(digest, data)),
            group.create_task(ferrio.to_process(digest, data)),
        ]
        others = await asyncio.gather(*(loop.run_in_executor(None, digest, data) for _ in range(3)))
    found = {*others, *(task.result() for task in tasks)}
    return found.pop() if len(found) == 1 else "they differ"


async def by_tasks(data: bytes) -> bytes:
    """Passes data through a queue from one task to another, under a lock and a semaphore, and puts it together."""
    queue: asyncio.Queue = asyncio.Queue(2)
    lock, places, told = asyncio.Lock(), asyncio.Semaphore(2), asyncio.Event()

    async def produce():
        for start in range(0, len(data), 1000):
            async with places:
                await queue.put(data[start : start + 1000])
        await queue.put(None)

    async def consume():
        parts = []
        while (part := await queue.get()) is not None:
            async with lock:
                parts.append(part)
        told.set()
        return b"".join(parts)

    async with asyncio.timeout(30):
        producer, consumer = asyncio.create_task(produce()), asyncio.create_task(consume())
        await asyncio.shield(told.wait())
        await producer
        return await consumer


async def slowly() -> None:
    """Waits in every way at once until somebody cancels it."""
    async with asyncio.TaskGroup() as group:
        group.create_task(asyncio.sleep(3))
        group.create_task(asyncio.wait_for(asyncio.Event().wait(), 4))
        group.create_task(asyncio.to_thread(lambda: None))
        try:
            async with asyncio.timeout(3.5):
                await asyncio.gather(asyncio.sleep(5), asyncio.Queue().get())
        except TimeoutError:
            return


# ---- HTTP and websockets by aiohttp


def application(plan: Plan) -> web.Application:
    """Returns aiohttp's application."""

    async def echo(request):
        return web.Response(body=await request.read())

    async def give(request):
        return web.Response(body=pattern(int(request.query["n"])))

    async def download(request):
        return web.FileResponse(f"{plan.folder}/download.bin")

    async def child(request):
        status, output = await in_child(await request.read(), request.path)
        return web.Response(body=output, headers={"x-status": str(status)})

    async def file(request):
        return web.Response(body=await in_file(await request.read(), plan.folder))

    async def others(request):
        return web.Response(text=await in_others(await request.read()))

    async def tasks(request):
        return web.Response(body=await by_tasks(await request.read()))

    async def slow(request):
        await slowly()
        return web.Response(text="too late")

    async def stream(request):
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(int(request.query["n"])):
            await response.write(pattern(20_000))
            await asyncio.sleep(0)
        await response.write_eof()
        return response

    async def websocket(request):
        socket = web.WebSocketResponse(receive_timeout=plan.idle)
        await socket.prepare(request)
        try:
            async for message in socket:
                if message.type == WSMsgType.BINARY:
                    await socket.send_bytes(message.data)
                elif message.type == WSMsgType.TEXT:
                    await socket.send_str(message.data)
        except (TimeoutError, OSError):
            pass
        return socket

    site = web.Application(client_max_size=2**24)
    site.add_routes(
        [
            web.post("/echo", echo),
            web.get("/give", give),
            web.get("/download", download),
            web.post("/child", child),
            web.post("/shell", child),
            web.post("/file", file),
            web.post("/others", others),
            web.post("/tasks", tasks),
            web.get("/slow", slow),
            web.get("/stream", stream),
            web.get("/websocket", websocket),
        ]
    )
    return site


# ---- HTTP and websockets by uvicorn


async def asgi(scope, receive, send):
    """Echoes the body of a request, and the messages of a websocket."""
    if scope["type"] == "http":
        body = b""
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        await send({"type": "http.response.start", "status": 200, "headers": [(b"x-digest", digest(body).encode())]})
        await send({"type": "http.response.body", "body": body})
    elif scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", **{name: message.get(name) for name in ("bytes", "text")}})


class Uvicorn(uvicorn.Server):
    """uvicorn's server as a part of ours, which has the signals."""

    def install_signal_handlers(self):  # of older versions
        pass

    def capture_signals(self):
        return contextlib.nullcontext()


# ---- echoes


async def echo_streams(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, idle: float) -> None:
    """Echoes until the peer ends, breaks, or says nothing for a while."""
    try:
        while True:
            async with asyncio.timeout(idle):
                data = await reader.read(65536)
            if not data:
                break
            writer.write(data)
            async with asyncio.timeout(idle):
                await writer.drain()
        writer.close()
        async with asyncio.timeout(idle):
            await writer.wait_closed()
    except (OSError, TimeoutError):  # an SSLError is an OSError
        writer.transport.abort()


async def echo_lines(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, idle: float, context: ssl.SSLContext
) -> None:
    """Answers lines. "starttls" goes on with TLS."""
    try:
        async with asyncio.timeout(idle):
            while line := await reader.readline():
                writer.write(line)
                await writer.drain()
                if line == b"starttls\n":
                    await writer.start_tls(context, ssl_handshake_timeout=idle)
        writer.close()
        async with asyncio.timeout(idle):
            await writer.wait_closed()
    except (OSError, TimeoutError, ValueError):  # a ValueError: a line without an end
        writer.transport.abort()


class EchoProtocol(asyncio.Protocol):
    """Echoes by a protocol, which holds its peer's reading to its own writing, and closes idle connections."""

    def __init__(self, idle: float):
        self.idle = idle

    def connection_made(self, transport):
        self.transport = transport
        self.alarm = asyncio.get_running_loop().call_later(self.idle, transport.abort)

    def data_received(self, data):
        self.alarm.cancel()
        self.alarm = asyncio.get_running_loop().call_later(self.idle, self.transport.abort)
        self.transport.write(data)

    def pause_writing(self):
        self.transport.pause_reading()

    def resume_writing(self):
        self.transport.resume_reading()

    def connection_lost(self, error):
        self.alarm.cancel()


class BufferedEcho(EchoProtocol, asyncio.BufferedProtocol):
    """The same with a buffer of its own."""

    def connection_made(self, transport):
        super().connection_made(transport)
        self.buffer = bytearray(8192)

    def get_buffer(self, size):
        return self.buffer

    def buffer_updated(self, length):
        self.data_received(bytes(memoryview(self.buffer)[:length]))


class EchoDatagrams(asyncio.DatagramProtocol):
    """Echoes datagrams."""

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, address):
        self.transport.sendto(data, address)


class Services:
    """All of them, until they are stopped."""

    def __init__(self, plan: Plan):
        self.plan = plan
        self.servers: list[asyncio.AbstractServer] = []

    async def start(self) -> dict[str, int]:
        """Starts all; returns the port of each."""
        loop, plan = asyncio.get_running_loop(), self.plan
        with open(f"{plan.folder}/download.bin", "wb") as file:
            file.write(pattern(300_000))
        context = server_context(plan.folder)
        tls = {"ssl": context, "ssl_handshake_timeout": plan.idle, "ssl_shutdown_timeout": plan.idle}
        here = "127.0.0.1"
        # They log what hostile clients sent, and writes to clients that have gone.
        for name in ("aiohttp", "asyncio"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        self.runner = web.AppRunner(
            application(plan),
            handler_cancellation=True,
            access_log=None,
            shutdown_timeout=1,
            keepalive_timeout=KEPT_ALIVE,
        )
        await self.runner.setup()
        sites = [web.TCPSite(self.runner, here, 0), web.TCPSite(self.runner, here, 0, ssl_context=context)]
        for site in sites:
            await site.start()
        ports = {
            name: site._server.sockets[0].getsockname()[1] for name, site in zip(("http", "https"), sites, strict=True)
        }
        config = uvicorn.Config(
            asgi, here, 0, log_level="critical", lifespan="off", timeout_keep_alive=KEPT_ALIVE,
            ws_ping_interval=None, timeout_graceful_shutdown=1,
        )  # fmt: skip
        self.uvicorn = Uvicorn(config)
        self.serving = asyncio.create_task(self.uvicorn.serve(), name="uvicorn")
        while not self.uvicorn.started:
            await asyncio.sleep(0.01)
        ports["asgi"] = self.uvicorn.servers[0].sockets[0].getsockname()[1]

        async def echo(reader, writer):
            await echo_streams(reader, writer, plan.idle)

        async def lines(reader, writer):
            await echo_lines(reader, writer, plan.idle, context)

        servers = {
            "streams": await asyncio.start_server(echo, here, 0),
            "tls streams": await asyncio.start_server(echo, here, 0, **tls),
            "lines": await asyncio.start_server(lines, here, 0),
            "protocol": await loop.create_server(lambda: EchoProtocol(plan.idle), here, 0),
            "buffered": await loop.create_server(lambda: BufferedEcho(plan.idle), here, 0),
            "tls protocol": await loop.create_server(lambda: EchoProtocol(plan.idle), here, 0, **tls),
            "unix": await asyncio.start_unix_server(echo, plan.unix_path()),
        }
        self.servers = list(servers.values())
        for name, server in servers.items():
            if name != "unix":
                ports[name] = server.sockets[0].getsockname()[1]
        self.datagrams, _ = await loop.create_datagram_endpoint(EchoDatagrams, (here, 0))
        ports["datagrams"] = self.datagrams.get_extra_info("sockname")[1]
        # The pools reach their sizes before anything is judged.
        await asyncio.gather(*(asyncio.to_thread(time.sleep, 0.05) for _ in range(100)))
        await asyncio.gather(*(ferrio.to_process(time.sleep, 0.5) for _ in range(8)))
        return ports

    async def stop(self) -> None:
        """Ends all and waits for their ends."""
        self.datagrams.close()
        for server in self.servers:
            server.close()
            await server.wait_closed()
        self.uvicorn.should_exit = True
        await self.serving
        await self.runner.cleanup()
