"""How the programs about ASGI servers start one as a command, talk to it over sockets, and end it with a signal.

The application is `asgi_application:app`. The servers share this process's standard error, so the test sees what they
report.
"""

import asyncio
import contextlib
import os
import pathlib
import signal
import tempfile
from collections.abc import AsyncIterator

import httpx
from common import python_command

HERE = pathlib.Path(__file__).parent


async def answers(url: str, **options) -> None:
    """Waits until the server at `url` answers."""
    async with httpx.AsyncClient(**options) as client:
        while True:
            try:
                await client.get(url)
                return
            except httpx.TransportError:
                await asyncio.sleep(0.05)


@contextlib.asynccontextmanager
async def command(
    *arguments: str, expected_warnings: tuple[str, ...] = ()
) -> AsyncIterator[tuple[asyncio.subprocess.Process, pathlib.Path]]:
    """Starts `python -m ARGUMENTS`. Yields the process and a directory with one file per worker that ended properly.

    A server that still runs at the end of the block is killed. For `expected_warnings` see `common.python_command`.
    """
    with tempfile.TemporaryDirectory() as directory:
        process = await asyncio.create_subprocess_exec(
            *python_command(*expected_warnings),
            "-m",
            *arguments,
            cwd=HERE,
            env=os.environ | {"ENDED_DIRECTORY": directory, "PYTHONPATH": str(HERE)},
        )
        try:
            yield process, pathlib.Path(directory)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()


async def use(url: str, **options) -> None:
    """Talks to the application: a small and a large request on one connection, then many at once."""
    async with httpx.AsyncClient(base_url=url, **options) as client:
        print((await client.post("/", content=b"hello")).text)
        print(len((await client.post("/", content=b"x" * 500_000)).content), "bytes back")
        many = await asyncio.gather(*(client.post("/", content=b"%d" % number) for number in range(30)))
        print("at once:", sum(int(answer.text) for answer in many))


async def end_while_answering(process: asyncio.subprocess.Process, port: int, number: signal.Signals) -> None:
    """Sends half a request, then the signal, then the rest: the request is answered, and the server ends."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nfirst")
    await writer.drain()
    # Once another request is answered, the server has also read the half request.
    async with httpx.AsyncClient() as client:
        await client.get(f"http://127.0.0.1:{port}/")
    process.send_signal(number)
    await refuses(port)
    writer.write(b"-last")
    head = await reader.readuntil(b"\r\n\r\n")
    print(number.name, head.split(b"\r\n")[0].decode(), (await reader.readexactly(10)).decode())
    writer.close()
    await writer.wait_closed()


async def refuses(port: int) -> None:
    """Waits until nothing listens on the port."""
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            return
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        await asyncio.sleep(0.05)


async def workers_of(url: str) -> set[int]:
    """Asks over new connections until two workers have answered; returns their process ids."""
    found: set[int] = set()
    while len(found) < 2:
        try:
            async with httpx.AsyncClient() as client:
                found.add(int((await client.get(f"{url}/pid")).text))
        except httpx.TransportError:
            # The connection went to a worker that was killed.
            await asyncio.sleep(0.05)
    return found
