"""hypercorn, h2: the server in the program: HTTP/1.1, HTTP/2, websockets, TLS.

The clients are httpx and websockets, on the same loop.
"""

import asyncio

import httpx
import hypercorn.asyncio
import hypercorn.config
import websockets
from asgi_application import app
from common import free_port, report_loop, tls_files
from server_commands import answers, use


async def serve_and_use() -> None:
    key, certificate, trusting = tls_files()
    plain, secure = free_port(), free_port()
    config = hypercorn.config.Config()
    config.bind, config.insecure_bind = [f"127.0.0.1:{secure}"], [f"127.0.0.1:{plain}"]
    config.keyfile, config.certfile, config.loglevel = key, certificate, "CRITICAL"
    end = asyncio.Event()
    server = asyncio.create_task(hypercorn.asyncio.serve(app, config, shutdown_trigger=end.wait))
    await answers(f"http://127.0.0.1:{plain}/")
    await use(f"http://127.0.0.1:{plain}")
    # This comes before HTTP/2, because each client writes the protocols that it offers into the context.
    async with websockets.connect(f"wss://localhost:{secure}/", ssl=trusting) as socket:
        for number in range(100):
            await socket.send(f"message {number}")
        print([await socket.recv() for _ in range(100)][-1])
    await use(f"https://localhost:{secure}", verify=trusting)
    await use(f"https://localhost:{secure}", verify=trusting, http2=True)
    async with httpx.AsyncClient(verify=trusting, http2=True) as client:
        print((await client.get(f"https://localhost:{secure}/")).http_version)
    end.set()
    await server


async def main() -> None:
    report_loop()
    await serve_and_use()


if __name__ == "__main__":
    asyncio.run(main())
