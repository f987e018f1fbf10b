"""gunicorn: two of its own ASGI workers, one that dies and is replaced, a reload by SIGHUP, a graceful end by SIGTERM.

Not on the loop alone: these workers know no loops but asyncio's and uvloop's.
"""

import asyncio

from common import report_loop
from gunicorn_commands import serve


async def main() -> None:
    report_loop()
    await serve("asgi")


if __name__ == "__main__":
    asyncio.run(main())
