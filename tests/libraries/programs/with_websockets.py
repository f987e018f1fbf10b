"""websockets: server and client: echo, broadcast to fifty clients, fragments, large messages with compression, ping,
close codes both ways, reconnecting, a server that ends, TLS, UNIX sockets.
"""

import asyncio
import logging
import os
import tempfile

from common import report_loop, tls_contexts
from websockets.asyncio.client import connect, unix_connect
from websockets.asyncio.server import ServerConnection, broadcast, serve, unix_serve
from websockets.exceptions import ConnectionClosed, InvalidStatus

connected: set[ServerConnection] = set()


async def handler(socket: ServerConnection) -> None:
    if socket.request.path == "/broadcast":
        connected.add(socket)
        await socket.wait_closed()
        connected.discard(socket)
    elif socket.request.path == "/fail":
        raise ValueError("on purpose")
    elif socket.request.path == "/once":
        await socket.send(await socket.recv())
    else:
        async for message in socket:
            await socket.send(message)


def refuse(socket: ServerConnection, request):
    return socket.respond(403, "no") if request.path == "/forbidden" else None


def port_of(server) -> int:
    return next(iter(server.sockets)).getsockname()[1]


async def echo(url: str, **options) -> None:
    async with connect(f"{url}/", max_size=None, **options) as socket:
        await socket.send("text")
        print(await socket.recv())
        await socket.send(b"\x00\xff" * 3_000_000)
        print(len(await socket.recv()), "bytes")
        await socket.send(iter(["in ", "three ", "pieces"]))
        print(await socket.recv())
        await (await socket.ping())
        for number in range(1000):
            await socket.send(str(number))
        print(sum([int(await socket.recv()) for _ in range(1000)]))
    print("closed:", socket.close_code)


async def close_codes(url: str) -> None:
    for path in ("/fail", "/once"):
        async with connect(url + path) as socket:
            try:
                await socket.send("one")
                print(path, await socket.recv())
                await socket.recv()
            except ConnectionClosed as error:
                print(path, error)
    try:
        async with connect(f"{url}/forbidden"):
            print("not refused")
    except InvalidStatus as error:
        print("/forbidden", error)
    async with connect(f"{url}/") as socket:
        await socket.close(4001, "my own")
        print(socket.close_code, socket.close_reason)


async def broadcasts(url: str) -> None:
    sockets = [await connect(f"{url}/broadcast") for _ in range(50)]
    while len(connected) < 50:
        await asyncio.sleep(0.01)
    broadcast(connected, "to all")
    messages = [await socket.recv() for socket in sockets]
    print(len(messages), set(messages))
    await asyncio.gather(*(socket.close() for socket in sockets))


async def reconnects(url: str) -> None:
    messages = []
    async for socket in connect(f"{url}/once"):
        try:
            await socket.send(f"connection {len(messages) + 1}")
            messages.append(await socket.recv())
            if len(messages) == 3:
                break
            await socket.recv()
        except ConnectionClosed:
            continue
    print(messages)


async def server_that_ends() -> None:
    async with serve(handler, "127.0.0.1", 0) as server:
        async with connect(f"ws://127.0.0.1:{port_of(server)}/") as socket:
            await socket.send("before")
            print(await socket.recv())
            server.close()
            try:
                await socket.recv()
            except ConnectionClosed as error:
                print("the server ended:", error)


async def main() -> None:
    report_loop()
    # The server logs its handlers' errors; `/fail` raises on purpose.
    logging.getLogger("websockets").setLevel(logging.CRITICAL)
    async with serve(handler, "127.0.0.1", 0, process_request=refuse, max_size=None) as server:
        url = f"ws://127.0.0.1:{port_of(server)}"
        await echo(url)
        await close_codes(url)
        await broadcasts(url)
        await reconnects(url)
    server_context, client_context = tls_contexts()
    async with serve(handler, "127.0.0.1", 0, ssl=server_context, max_size=None) as server:
        await echo(f"wss://localhost:{port_of(server)}", ssl=client_context)
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "socket")
        async with unix_serve(handler, path), unix_connect(path) as socket:
            await socket.send("over a UNIX socket")
            print(await socket.recv())
    await server_that_ends()


if __name__ == "__main__":
    asyncio.run(main())
