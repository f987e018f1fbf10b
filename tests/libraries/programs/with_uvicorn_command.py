"""uvicorn, httptools: the command, with `--loop ferrio:new_event_loop`: websockets, a UNIX socket, TLS, two workers,
a graceful end by SIGTERM and by SIGINT.

Under `install()` it is `python -m ferrio -m uvicorn` with uvicorn's own loop of asyncio.
"""

import asyncio
import os
import signal
import tempfile

import httpx
import websockets
from common import WAY, free_port, report_loop, tls_files
from server_commands import answers, command, end_while_answering, use, workers_of

UVICORN = ["uvicorn", "asgi_application:app", "--log-level", "error", "--http", "httptools"]
UVICORN += ["--ws", "websockets-sansio", "--loop", "ferrio:new_event_loop" if WAY == "loop" else "asyncio"]


async def one_process(number: signal.Signals) -> None:
    port = free_port()
    async with command(*UVICORN, "--port", str(port)) as (process, ended):
        await answers(f"http://127.0.0.1:{port}/")
        await use(f"http://127.0.0.1:{port}")
        async with websockets.connect(f"ws://127.0.0.1:{port}/") as socket:
            await socket.send("hello")
            print(await socket.recv())
        await end_while_answering(process, port, number)
        # When uvicorn is done it raises the signal again, for whatever started it.
        print("status:", await process.wait(), "ended well:", len(list(ended.iterdir())))


async def unix_socket() -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "socket")
        async with command(*UVICORN, "--uds", path) as (process, _):
            await answers("http://localhost/", transport=httpx.AsyncHTTPTransport(uds=path))
            await use("http://localhost", transport=httpx.AsyncHTTPTransport(uds=path))
            process.send_signal(signal.SIGTERM)
            print("status:", await process.wait())


async def tls() -> None:
    key, certificate, trusting = tls_files()
    port = free_port()
    options = ["--ssl-keyfile", key, "--ssl-certfile", certificate]
    async with command(*UVICORN, *options, "--port", str(port)) as (process, _):
        await answers(f"https://localhost:{port}/", verify=trusting)
        await use(f"https://localhost:{port}", verify=trusting)
        process.send_signal(signal.SIGTERM)
        print("status:", await process.wait())


async def two_workers() -> None:
    port = free_port()
    arguments = [*UVICORN, "--port", str(port), "--workers", "2"]
    # The process that starts the workers leaves the listening socket open until the interpreter ends.
    async with command(*arguments, expected_warnings=("unclosed <socket.socket",)) as (process, ended):
        url = f"http://127.0.0.1:{port}"
        await answers(url)
        await use(url)
        workers = {str(worker) for worker in await workers_of(url)}
        print("workers:", len(workers), "the parent is one of them:", str(process.pid) in workers)
        process.send_signal(signal.SIGTERM)
        print("status:", await process.wait(), "ended well:", {path.name for path in ended.iterdir()} == workers)


async def main() -> None:
    report_loop()
    await one_process(signal.SIGTERM)
    await one_process(signal.SIGINT)
    await unix_socket()
    await tls()
    await two_workers()


if __name__ == "__main__":
    asyncio.run(main())
