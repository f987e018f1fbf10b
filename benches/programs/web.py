"""Both ends of HTTP and of websockets on one loop, over TCP on loopback: aiohttp, httpx on FastAPI, websockets."""

import asyncio
import socket
from contextlib import AsyncExitStack, asynccontextmanager

HOST = "127.0.0.1"
TASKS = 10


@asynccontextmanager
async def websockets_echo(_place):
    """A server that sends each message back, and clients that each wait for theirs. Nothing is compressed."""
    from websockets.asyncio.client import connect
    from websockets.asyncio.server import serve

    async def echo(connection):
        async for message in connection:
            await connection.send(message)

    async with serve(echo, HOST, 0, compression=None) as server, AsyncExitStack() as stack:
        port = next(iter(server.sockets)).getsockname()[1]
        url = f"ws://{HOST}:{port}/"
        clients = [await stack.enter_async_context(connect(url, compression=None)) for _ in range(TASKS)]

        async def work(client, rounds):
            for number in range(rounds):
                message = f"{number:0100}"
                await client.send(message)
                answer = await client.recv()
                if answer != message:
                    raise AssertionError(f"sent {message!r} and received {answer!r}")

        async def operate(n):
            await asyncio.gather(*(work(client, n // TASKS) for client in clients))

        yield operate


@asynccontextmanager
async def aiohttp_client_and_server(_place):
    """An application with a route, and a session whose tasks get it."""
    from aiohttp import ClientSession, web

    async def square(request):
        number = int(request.match_info["number"])
        return web.json_response({"number": number, "square": number * number})

    application = web.Application()
    application.router.add_get("/square/{number}", square)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, HOST, 0)
        await site.start()
        async with ClientSession(f"http://{HOST}:{runner.addresses[0][1]}") as session:

            async def get(number):
                async with session.get(f"/square/{number}") as response:
                    return await response.json()

            yield lambda n: get_all(get, n)
    finally:
        await runner.cleanup()


@asynccontextmanager
async def httpx_on_fastapi(_place):
    """A FastAPI application on uvicorn, and an httpx client whose tasks get a route of it."""
    import fastapi
    import httpx
    import uvicorn

    application = fastapi.FastAPI()

    @application.get("/square/{number}")
    async def square(number: int):
        return {"number": number, "square": number * number}

    listener = socket.create_server((HOST, 0))
    configuration = uvicorn.Config(application, http="httptools", log_level="warning", access_log=False, lifespan="off")
    server = uvicorn.Server(configuration)
    serving = asyncio.create_task(server.serve([listener]))
    try:
        async with httpx.AsyncClient(base_url=f"http://{HOST}:{listener.getsockname()[1]}") as client:

            async def get(number):
                return (await client.get(f"/square/{number}")).json()

            yield lambda n: get_all(get, n)
    finally:
        server.should_exit = True
        await serving


async def get_all(get, n):
    """Get the squares of `n` numbers, with several tasks, and check them."""

    async def work(numbers):
        for number in numbers:
            answer = await get(number)
            if answer != {"number": number, "square": number * number}:
                raise AssertionError(f"the square of {number} is {answer!r}")

    await asyncio.gather(*(work(range(task, n, TASKS)) for task in range(TASKS)))
