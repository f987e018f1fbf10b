"""tornado: server and client, streamed requests, websockets, TLS, timers of its IOLoop, threads, subprocesses, a TCP
server with its own streams, coroutines of generators.
"""

import asyncio
import functools
import sys

import tornado.gen
import tornado.httpclient
import tornado.httpserver
import tornado.ioloop
import tornado.iostream
import tornado.locks
import tornado.netutil
import tornado.process
import tornado.queues
import tornado.tcpclient
import tornado.tcpserver
import tornado.web
import tornado.websocket
from common import report_loop, tls_contexts


class Echo(tornado.web.RequestHandler):
    async def post(self) -> None:
        await asyncio.sleep(0)
        self.write(self.request.body)


class Generator(tornado.web.RequestHandler):
    @tornado.gen.coroutine
    def get(self):
        yield tornado.gen.sleep(0.001)
        both = yield [tornado.gen.maybe_future(1), tornado.gen.maybe_future(2)]
        self.write(str(both))


@tornado.web.stream_request_body
class Upload(tornado.web.RequestHandler):
    def prepare(self) -> None:
        self.size = 0

    async def data_received(self, chunk: bytes) -> None:
        self.size += len(chunk)
        await asyncio.sleep(0)

    def put(self) -> None:
        self.write(str(self.size))


class Stream(tornado.web.RequestHandler):
    async def get(self) -> None:
        for number in range(50):
            self.write(bytes([number]) * 10_000)
            await self.flush()


class Fails(tornado.web.RequestHandler):
    async def get(self) -> None:
        raise tornado.web.HTTPError(418, log_message=None)


class Socket(tornado.websocket.WebSocketHandler):
    async def on_message(self, message) -> None:
        await self.write_message(message[::-1], binary=isinstance(message, bytes))

    def on_close(self) -> None:
        closed.set_result((self.close_code, self.close_reason))


class Lines(tornado.tcpserver.TCPServer):
    async def handle_stream(self, stream: tornado.iostream.IOStream, address) -> None:
        try:
            while True:
                await stream.write((await stream.read_until(b"\n")).upper())
        except tornado.iostream.StreamClosedError:
            print("the client left")


def application() -> tornado.web.Application:
    return tornado.web.Application(
        [
            ("/echo", Echo),
            ("/generator", Generator),
            ("/upload", Upload),
            ("/stream", Stream),
            ("/fails", Fails),
            ("/socket", Socket),
        ],
        log_function=lambda handler: None,
    )


async def talk(url: str, context) -> None:
    client = tornado.httpclient.AsyncHTTPClient(force_instance=True, defaults={"ssl_options": context})
    print((await client.fetch(f"{url}/echo", method="POST", body="hello")).body)
    print((await client.fetch(f"{url}/generator")).body)

    async def produce(write) -> None:
        for _ in range(100):
            await write(b"x" * 10_000)

    print("uploaded:", (await client.fetch(f"{url}/upload", method="PUT", body_producer=produce)).body)
    chunks: list[bytes] = []
    await client.fetch(f"{url}/stream", streaming_callback=chunks.append)
    print("streamed:", len(b"".join(chunks)))
    answers = await asyncio.gather(*(client.fetch(f"{url}/echo", method="POST", body="x" * size) for size in range(50)))
    print("at once:", sum(len(answer.body) for answer in answers))
    try:
        await client.fetch(f"{url}/fails")
    except tornado.httpclient.HTTPClientError as error:
        print(error)
    client.close()
    global closed
    closed = asyncio.get_running_loop().create_future()
    request = tornado.httpclient.HTTPRequest(f"ws{url[4:]}/socket", ssl_options=context)
    connection = await tornado.websocket.websocket_connect(request)
    await connection.write_message("abc")
    print(await connection.read_message())
    await connection.write_message(bytes(range(256)) * 1000, binary=True)
    print(len(await connection.read_message()), "bytes")
    connection.close(4000, "done")
    print("closed:", await closed)


async def serve(contexts) -> None:
    sockets = tornado.netutil.bind_sockets(0, "127.0.0.1")
    server = tornado.httpserver.HTTPServer(application(), ssl_options=contexts[0] if contexts else None)
    server.add_sockets(sockets)
    scheme = "https" if contexts else "http"
    await talk(f"{scheme}://localhost:{sockets[0].getsockname()[1]}", contexts[1] if contexts else None)
    server.stop()
    await server.close_all_connections()


async def streams() -> None:
    sockets = tornado.netutil.bind_sockets(0, "127.0.0.1")
    server = Lines()
    server.add_sockets(sockets)
    stream = await tornado.tcpclient.TCPClient().connect("127.0.0.1", sockets[0].getsockname()[1])
    for line in (b"one\n", b"two\n"):
        await stream.write(line)
        print(await stream.read_until(b"\n"))
    stream.close()
    server.stop()


async def the_loop() -> None:
    loop = tornado.ioloop.IOLoop.current()
    print("the loop is asyncio's:", loop.asyncio_loop is asyncio.get_running_loop())
    ticks = tornado.queues.Queue()
    timer = tornado.ioloop.PeriodicCallback(functools.partial(ticks.put, "tick"), 1)
    timer.start()
    print([await ticks.get() for _ in range(3)])
    timer.stop()
    loop.add_timeout(loop.time() + 0.001, ticks.put_nowait, "a time-out")
    print(await ticks.get())
    print("in a thread:", await loop.run_in_executor(None, sum, [1, 2]))
    event = tornado.locks.Event()
    loop.add_callback(event.set)
    await event.wait()
    try:
        await tornado.gen.with_timeout(loop.time() + 0.01, asyncio.get_running_loop().create_future())
    except tornado.gen.TimeoutError as error:
        print(error)
    child = tornado.process.Subprocess(
        [sys.executable, "-c", "print(input()[::-1])"],
        stdin=tornado.process.Subprocess.STREAM,
        stdout=tornado.process.Subprocess.STREAM,
    )
    await child.stdin.write(b"abc\n")
    print("process:", await child.stdout.read_until_close(), await child.wait_for_exit())
    child.stdin.close()


async def main() -> None:
    report_loop()
    await serve(None)
    await serve(tls_contexts())
    await streams()
    await the_loop()


if __name__ == "__main__":
    asyncio.run(main())
