"""hypercorn: the command, with no worker and with two, a graceful end by SIGTERM.

Not on the loop alone: the command has no option for it.
"""

import asyncio
import signal

from common import free_port, report_loop
from server_commands import answers, command, end_while_answering, use, workers_of


async def serve(workers: int) -> None:
    port = free_port()
    arguments = ["hypercorn", "asgi_application:app", "--log-level", "ERROR", "--workers", str(workers)]
    async with command(*arguments, "--bind", f"127.0.0.1:{port}") as (process, ended):
        await answers(f"http://127.0.0.1:{port}/")
        await use(f"http://127.0.0.1:{port}")
        if workers:
            print("workers:", len(await workers_of(f"http://127.0.0.1:{port}")))
            process.send_signal(signal.SIGTERM)
        else:
            await end_while_answering(process, port, signal.SIGTERM)
        print("status:", await process.wait(), "ended well:", len(list(ended.iterdir())))


async def main() -> None:
    report_loop()
    await serve(0)
    await serve(2)


if __name__ == "__main__":
    asyncio.run(main())
