"""aiohttp and websockets: clients that try again when their connection breaks."""

import asyncio
import hashlib

import aiohttp
from aiohttp import web
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed


async def page(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": "100000"})
    await response.prepare(request)
    for _ in range(10):
        await response.write(bytes([int(request.match_info["number"])]) * 10_000)
    return response


async def fetch(session: aiohttp.ClientSession, url: str) -> bytes:
    while True:
        try:
            async with session.get(url) as response:
                return await response.read()
        except (aiohttp.ClientError, ConnectionError, TimeoutError):
            await asyncio.sleep(0.05)


async def pages() -> None:
    app = web.Application()
    app.add_routes([web.get("/{number}", page)])
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    url = f"http://localhost:{runner.addresses[0][1]}"
    async with aiohttp.ClientSession() as session:
        bodies = await asyncio.gather(*(fetch(session, f"{url}/{number}") for number in range(30)))
    for number, body in enumerate(bodies):
        print(number, len(body), hashlib.sha256(body).hexdigest()[:10])
    await runner.cleanup()


async def messages() -> None:
    async def double(socket) -> None:
        try:
            async for message in socket:
                await socket.send(str(2 * int(message)))
        except ConnectionClosed:
            pass

    answers: list[str] = []
    async with serve(double, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        async for socket in connect(f"ws://localhost:{port}/"):
            try:
                while len(answers) < 50:
                    await socket.send(str(len(answers)))
                    answers.append(await socket.recv())
            except ConnectionClosed:
                continue
            await socket.close()
            break
    print(answers)


async def main() -> None:
    await pages()
    await messages()


if __name__ == "__main__":
    asyncio.run(main())
