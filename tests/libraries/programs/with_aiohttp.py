"""aiohttp: server and client: JSON, streamed upload and download, websockets, a client that disconnects, time-outs,
cookies, TLS.

The server and the client share the loop.
"""

import asyncio
import hashlib
import ssl

from aiohttp import ClientSession, ClientTimeout, CookieJar, FormData, TCPConnector, WSMsgType, web
from common import report_loop, tls_contexts

MEBIBYTE = 1 << 20
# What the handlers of `/never` report.
said: asyncio.Queue[str] = asyncio.Queue()


async def echo_json(request: web.Request) -> web.Response:
    return web.json_response({"got": await request.json(), "query": dict(request.query)})


async def upload(request: web.Request) -> web.Response:
    digest, size = hashlib.sha256(), 0
    async for chunk in request.content.iter_chunked(64 * 1024):
        digest.update(chunk)
        size += len(chunk)
    return web.json_response({"size": size, "sha256": digest.hexdigest()})


async def form(request: web.Request) -> web.Response:
    parts = {}
    async for part in await request.multipart():
        parts[part.name] = len(await part.read())
    return web.json_response(parts)


async def download(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    for number in range(64):
        await response.write(bytes([number]) * 65536)
    await response.write_eof()
    return response


async def file(request: web.Request) -> web.FileResponse:
    return web.FileResponse(__file__)


async def never(request: web.Request) -> web.Response:
    await said.put("the handler runs")
    try:
        await asyncio.Event().wait()
    finally:
        await said.put("its client left, and it was cancelled")


async def silent(request: web.Request) -> web.Response:
    await asyncio.Event().wait()


async def login(request: web.Request) -> web.Response:
    response = web.Response(text=request.cookies.get("name", "nobody"))
    response.set_cookie("name", "Ada")
    return response


async def websocket(request: web.Request) -> web.WebSocketResponse:
    socket = web.WebSocketResponse(heartbeat=30)
    await socket.prepare(request)
    async for message in socket:
        if message.type is WSMsgType.TEXT:
            await socket.send_str(message.data.upper())
        elif message.type is WSMsgType.BINARY:
            await socket.send_bytes(message.data[::-1])
    return socket


def application() -> web.Application:
    app = web.Application(client_max_size=64 * MEBIBYTE)
    app.add_routes(
        [
            web.post("/json", echo_json),
            web.post("/upload", upload),
            web.post("/form", form),
            web.get("/download", download),
            web.get("/file", file),
            web.get("/never", never),
            web.get("/silent", silent),
            web.get("/login", login),
            web.get("/websocket", websocket),
        ]
    )

    async def lifespan(app: web.Application):
        print("the server starts")
        yield
        print("the server ends")

    app.cleanup_ctx.append(lifespan)
    return app


async def chunks():
    for number in range(100):
        yield bytes([number]) * 10_000
        await asyncio.sleep(0)


async def talk(session: ClientSession, url: str) -> None:
    async with session.post(f"{url}/json?a=1", json={"x": [1, 2]}) as response:
        print(response.status, await response.json())
    async with session.post(f"{url}/upload", data=chunks()) as response:
        print("uploaded", await response.json())
    data = FormData({"small": "abc"})
    data.add_field("large", b"x" * MEBIBYTE, filename="large.bin")
    async with session.post(f"{url}/form", data=data) as response:
        print("form", await response.json())
    async with session.get(f"{url}/download") as response:
        digest = hashlib.sha256()
        async for chunk in response.content.iter_any():
            digest.update(chunk)
        print("downloaded", digest.hexdigest())
    async with session.get(f"{url}/file") as response:
        with open(__file__, "rb") as itself:
            print("file is the same:", await response.read() == itself.read())
    async with session.get(f"{url}/file", headers={"Range": "bytes=3-10"}) as response:
        print(response.status, await response.text())
    for _ in range(2):
        async with session.get(f"{url}/login") as response:
            print("hello", await response.text())
    answers = await asyncio.gather(*(session.post(f"{url}/json", json=number) for number in range(50)))
    print("at once:", sum([(await answer.json())["got"] for answer in answers]))
    async with session.ws_connect(f"{url}/websocket") as socket:
        await socket.send_str("hello")
        print(await socket.receive_str())
        await socket.send_bytes(bytes(range(256)) * 1000)
        print(len(await socket.receive_bytes()), "bytes")
        await socket.close(code=1000)
        print("closed with", socket.close_code)


async def leave(session: ClientSession, url: str) -> None:
    """Leaves without an answer in two ways: the client's time-out, and a cancelled task."""
    try:
        async with session.get(f"{url}/silent", timeout=ClientTimeout(total=0.2)):
            pass
    except TimeoutError as error:
        print("time-out:", type(error).__name__)
    request = asyncio.create_task(session.get(f"{url}/never"))
    print(await said.get())
    request.cancel()
    print("cancelled:", await asyncio.gather(request, return_exceptions=True))
    print(await said.get())


async def serve(tls: tuple[ssl.SSLContext, ssl.SSLContext] | None) -> None:
    runner = web.AppRunner(application(), handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls[0] if tls else None)
    await site.start()
    port = runner.addresses[0][1]
    url = f"{'https' if tls else 'http'}://localhost:{port}"
    connector = TCPConnector(ssl=tls[1] if tls else True)
    async with ClientSession(connector=connector, cookie_jar=CookieJar(unsafe=True)) as session:
        await talk(session, url)
        await leave(session, url)
    await runner.cleanup()


async def main() -> None:
    report_loop()
    await serve(None)
    await serve(tls_contexts())


if __name__ == "__main__":
    asyncio.run(main())
