"""How the programs about gunicorn exercise its workers: by killing, reloading and ending them. The application is
`asgi_application:app`.
"""

import asyncio
import os
import pathlib
import signal

from common import free_port
from server_commands import answers, command, use, workers_of


async def files(directory: pathlib.Path, names: set[int]) -> None:
    """Waits until files with these names exist."""
    while not all((directory / str(name)).exists() for name in names):
        await asyncio.sleep(0.05)


async def serve(worker: str) -> None:
    """Runs two workers of the class, kills one, reloads both, and ends."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    arguments = ["gunicorn", "asgi_application:app", "--workers", "2", "--worker-class", worker, "--bind", url[7:]]
    # gunicorn's own control thread is running when it replaces a worker.
    forks = ("This process (pid=",)
    async with command(*arguments, "--log-level", "critical", expected_warnings=forks) as (process, ended):
        await answers(url)
        await use(url)
        first = await workers_of(url)
        killed = min(first)
        os.kill(killed, signal.SIGKILL)
        while killed in (second := await workers_of(url)):
            pass
        print("one was replaced:", len(first & second) == 1)
        process.send_signal(signal.SIGHUP)
        await files(ended, second)
        third = await workers_of(url)
        print("both were replaced:", not second & third)
        process.send_signal(signal.SIGTERM)
        print("status:", await process.wait())
        print("ended well:", {int(path.name) for path in ended.iterdir()} == second | third)
