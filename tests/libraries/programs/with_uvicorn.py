"""uvicorn, httptools, fastapi, starlette: FastAPI and Starlette served in the program, with lifespan, dependencies,
threads for plain functions, background tasks, streams both ways, websockets, a graceful end, TLS.

The clients are httpx and websockets, on the same loop.
"""

import asyncio
import contextlib
import hashlib
import threading
from typing import Annotated

import httpx
import uvicorn
import websockets
from common import report_loop, tls_files
from fastapi import BackgroundTasks, Depends, FastAPI, Request, UploadFile, WebSocket
from fastapi.responses import StreamingResponse
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route, WebSocketRoute


class Item(BaseModel):
    name: str
    price: float


@contextlib.asynccontextmanager
async def lifespan(app: FastAPI):
    print("the application starts")
    yield {"greeting": "hello"}
    print("the application ends")


app = FastAPI(lifespan=lifespan)
done = asyncio.Event()
slow_runs, slow_may_end = asyncio.Event(), asyncio.Event()


async def connection():
    yield "a connection"
    print("the dependency is closed")


@app.post("/items")
async def create(item: Item, connection: Annotated[str, Depends(connection)]) -> Item:
    return Item(name=f"{item.name} through {connection}", price=item.price * 2)


@app.get("/plain")
def plain(request: Request) -> dict:
    main_thread = threading.current_thread() is threading.main_thread()
    return {"in the main thread": main_thread, "state": request.state.greeting}


@app.post("/upload")
async def upload(file: UploadFile) -> dict:
    return {"name": file.filename, "sha256": hashlib.sha256(await file.read()).hexdigest()}


@app.get("/stream")
async def stream() -> StreamingResponse:
    async def numbers():
        for number in range(1000):
            yield f"{number}\n".encode()
            await asyncio.sleep(0)

    return StreamingResponse(numbers())


@app.post("/background")
async def background(tasks: BackgroundTasks) -> dict:
    tasks.add_task(done.set)
    return {}


@app.get("/slow")
async def slow() -> dict:
    slow_runs.set()
    await slow_may_end.wait()
    return {"slow": "was answered"}


@app.websocket("/websocket")
async def websocket(socket: WebSocket) -> None:
    await socket.accept(subprotocol="upper")
    async for message in socket.iter_text():
        await socket.send_text(message.upper())


async def count(request: Request) -> PlainTextResponse:
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
    return PlainTextResponse(str(size))


async def echo(socket: WebSocket) -> None:
    await socket.accept()
    await socket.send_bytes((await socket.receive_bytes())[::-1])
    await socket.close(4000, "enough")


async def fail(request: Request) -> JSONResponse:
    raise ValueError("on purpose")


async def explain(request: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"error": str(error)}, 418)


starlette_app = Starlette(
    routes=[Route("/count", count, methods=["POST"]), Route("/fail", fail), WebSocketRoute("/echo", echo)],
    exception_handlers={ValueError: explain},
)


@contextlib.asynccontextmanager
async def serve(application, **options):
    """Serves until the end of the block; yields the port and the server."""
    config = uvicorn.Config(
        application, port=0, http="httptools", ws="websockets-sansio", log_level="critical", **options
    )
    server = uvicorn.Server(config)
    running = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()[1], server
    server.should_exit = True
    await running


async def upload_body():
    for _ in range(100):
        yield b"x" * 20_000


async def use_fastapi(client: httpx.AsyncClient, server: uvicorn.Server) -> None:
    answer = await client.post("/items", json={"name": "tea", "price": 1.5})
    print(answer.status_code, answer.json())
    answer = await client.post("/items", json={"name": "tea"})
    print(answer.status_code, answer.json()["detail"][0]["msg"])
    print((await client.get("/plain")).json())
    print((await client.post("/upload", files={"file": ("data.bin", b"data" * 100_000)})).json())
    async with client.stream("GET", "/stream") as answer:
        print("streamed", sum([int(line) async for line in answer.aiter_lines()]))
    print((await client.post("/background")).status_code)
    await done.wait()
    answers = await asyncio.gather(*(client.get("/plain") for _ in range(50)))
    print("at once:", {answer.status_code for answer in answers})
    print((await client.get("/openapi.json")).json()["info"])
    # A request that is running when the server is told to end is answered; new connections are refused.
    waiting = asyncio.create_task(client.get("/slow"))
    await slow_runs.wait()
    server.should_exit = True
    while server.servers[0].is_serving():
        await asyncio.sleep(0.01)
    slow_may_end.set()
    print((await waiting).json())


async def main() -> None:
    report_loop()
    async with serve(app) as (port, server):
        async with websockets.connect(f"ws://127.0.0.1:{port}/websocket", subprotocols=["upper"]) as socket:
            await socket.send("hello")
            print(socket.subprotocol, await socket.recv())
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
            await use_fastapi(client, server)
    key, certificate, trusting = tls_files()
    async with serve(starlette_app, ssl_keyfile=key, ssl_certfile=certificate, lifespan="off") as (port, _):
        async with httpx.AsyncClient(base_url=f"https://localhost:{port}", verify=trusting) as client:
            print((await client.post("/count", content=upload_body())).text)
            answer = await client.get("/fail")
            print(answer.status_code, answer.json())
        async with websockets.connect(f"wss://localhost:{port}/echo", ssl=trusting) as socket:
            await socket.send(bytes(range(256)) * 2000)
            print(len(await socket.recv()), "bytes")
            await socket.wait_closed()
            print("closed:", socket.close_code, socket.close_reason)


if __name__ == "__main__":
    asyncio.run(main())
