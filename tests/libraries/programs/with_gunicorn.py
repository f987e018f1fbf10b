"""gunicorn, uvicorn-worker: two workers of uvicorn's class, a worker that dies and is replaced, a reload by SIGHUP, a
graceful end by SIGTERM.

The workers are forks of a process that has imported ferrio.
"""

import asyncio
import signal

from common import free_port, report_loop
from gunicorn_commands import serve
from server_commands import answers, command, end_while_answering


async def end(worker: str) -> None:
    port = free_port()
    arguments = ["gunicorn", "asgi_application:app", "--worker-class", worker, "--bind", f"127.0.0.1:{port}"]
    async with command(*arguments, "--log-level", "critical") as (process, _):
        await answers(f"http://127.0.0.1:{port}")
        await end_while_answering(process, port, signal.SIGTERM)
        print("status:", await process.wait())


async def main() -> None:
    report_loop()
    await serve("gunicorn_worker.Worker")
    await end("gunicorn_worker.Worker")


if __name__ == "__main__":
    asyncio.run(main())
