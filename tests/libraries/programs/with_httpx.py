"""httpx, h2: AsyncClient: a pool of kept connections, HTTP/2 with many streams on one connection, TLS, redirects,
streams both ways, time-outs, cancellation.

The servers are uvicorn (HTTP/1.1) and hypercorn (HTTP/2), on the same loop.
"""

import asyncio
import contextlib

import httpx
import hypercorn.asyncio
import hypercorn.config
import uvicorn
from common import free_port, report_loop, tls_files

connections: set[tuple[str, int]] = set()
left = asyncio.Event()


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    connections.add(tuple(scope["client"]))
    path = scope["path"]
    if path in ("/silent", "/wait"):
        if path == "/wait":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "more_body": True})
        while (await receive())["type"] != "http.disconnect":
            pass
        if path == "/wait":
            left.set()
        return
    if path == "/redirect":
        while (await receive()).get("more_body"):
            pass
        await send({"type": "http.response.start", "status": 307, "headers": [(b"location", b"/echo")]})
        await send({"type": "http.response.body"})
        return
    headers = [(b"x-version", scope["http_version"].encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    more = True
    while more:
        message = await receive()
        more = message.get("more_body", False)
        await send({"type": "http.response.body", "body": message.get("body", b""), "more_body": True})
    await send({"type": "http.response.body"})


@contextlib.asynccontextmanager
async def http_1(key: str, certificate: str):
    config = uvicorn.Config(app, port=0, log_level="critical", ssl_keyfile=key, ssl_certfile=certificate)
    server = uvicorn.Server(config)
    running = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    await running


@contextlib.asynccontextmanager
async def http_2(key: str, certificate: str):
    config = hypercorn.config.Config()
    port = free_port()
    config.bind, config.loglevel = [f"127.0.0.1:{port}"], "CRITICAL"
    config.keyfile, config.certfile = key, certificate
    end = asyncio.Event()
    running = asyncio.create_task(hypercorn.asyncio.serve(app, config, shutdown_trigger=end.wait))
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            break
        except OSError:
            await asyncio.sleep(0.01)
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    yield port
    end.set()
    await running


async def body():
    for number in range(200):
        yield bytes([number]) * 5000


async def talk(client: httpx.AsyncClient, version: str) -> None:
    connections.clear()
    for number in range(10):
        answer = await client.post("/echo", content=str(number))
    print(answer.http_version, answer.headers["x-version"], answer.text, "on connections:", len(connections))
    answers = await asyncio.gather(*(client.post("/echo", content=b"x" * number * 100) for number in range(60)))
    print("at once:", sum(len(answer.content) for answer in answers))
    print("at most ten connections:", len(connections) <= 10)
    print("streamed:", len((await client.post("/echo", content=body())).content))
    async with client.stream("POST", "/echo", content=b"y" * 300_000) as answer:
        print("in pieces:", sum([len(chunk) async for chunk in answer.aiter_bytes(1000)]))
    answer = await client.post("/redirect", content="again", follow_redirects=True)
    print(answer.status_code, answer.text, len(answer.history))
    try:
        await client.get("/silent", timeout=httpx.Timeout(30, read=0.2))
    except httpx.ReadTimeout as error:
        print(type(error).__name__)
    answered = asyncio.Event()

    async def read() -> None:
        async with client.stream("GET", "/wait") as answer:
            answered.set()
            await answer.aread()

    request = asyncio.create_task(read())
    await answered.wait()
    request.cancel()
    print(await asyncio.gather(request, return_exceptions=True))
    # On HTTP/2 httpx doesn't tell the server when it no longer wants one of the connection's streams.
    if version == "1.1":
        await left.wait()
    print("the server goes on:", (await client.post("/echo", content="yes")).text)


async def main() -> None:
    report_loop()
    key, certificate, trusting = tls_files()
    limits = httpx.Limits(max_connections=10)
    async with http_1(key, certificate) as port:
        async with httpx.AsyncClient(base_url=f"https://localhost:{port}", verify=trusting, limits=limits) as client:
            await talk(client, "1.1")
        try:
            await httpx.AsyncClient().get(f"https://localhost:{port}")
        except httpx.ConnectError as error:
            print(error)
    async with http_2(key, certificate) as port:
        url = f"https://localhost:{port}"
        async with httpx.AsyncClient(base_url=url, verify=trusting, http2=True, limits=limits) as client:
            await talk(client, "2")
    try:
        await httpx.AsyncClient().get(f"http://127.0.0.1:{free_port()}")
    except httpx.ConnectError as error:
        print(type(error).__name__)


if __name__ == "__main__":
    asyncio.run(main())
