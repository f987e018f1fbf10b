"""Makes the picture of `ferrio top` for docs/sight.md, by textual's own export: python tools/picture_of_top.py [FILE]

It starts a program with tasks of several kinds, looks at it until its times are known, and writes an SVG.
"""

import asyncio
import pathlib
import re
import subprocess
import sys
import tempfile

import ferrio
from ferrio.cli import programs
from ferrio.cli.top import Top
from ferrio.cli.watching import Watching

PICTURE = pathlib.Path(__file__).parent.parent / "docs" / "assets" / "top.svg"

PROGRAM = """
import asyncio, sys

async def resize(lock, images):
    async with lock:
        while True:
            image = await images.get()
            sum(range(200_000))

async def fetch(images):
    while True:
        await asyncio.sleep(0.02)
        await images.put("image")

async def save(lock):
    async with lock:
        pass

async def serve(reader, writer):
    await reader.readline()

async def main():
    images, lock = asyncio.Queue(10), asyncio.Lock()
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    async with asyncio.TaskGroup() as group:
        group.create_task(resize(lock, images), name="resize")
        group.create_task(fetch(images), name="fetch")
        await asyncio.sleep(0)
        group.create_task(save(lock), name="save")
        group.create_task(asyncio.sleep(3600), name="clean up hourly")
        group.create_task(asyncio.to_thread(sys.stdin.read), name="commands")
        group.create_task(reader.readline(), name="upstream")
        print("ready", flush=True)

asyncio.run(main())
"""


async def look(pid: int) -> str:
    """Returns the screen as an SVG, when some time has been sampled."""
    app = Top(Watching([programs.open_program(pid)]), interval=0.2)
    async with app.run_test(size=(140, 14)) as pilot:
        while app._look is None or sum(row["busy"] for row in app._look.rows) < 0.2:
            await asyncio.sleep(0.1)
        await pilot.press("t")
        await app.look_now()
        await pilot.pause()
        return app.export_screenshot(title="ferrio top")


def main() -> None:
    file = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else PICTURE
    with tempfile.TemporaryDirectory() as directory:
        pathlib.Path(directory, "images.py").write_text(PROGRAM)
        started = subprocess.Popen(
            [sys.executable, "-m", "ferrio", "--sight", "images.py"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=directory,
        )
        try:
            assert started.stdout is not None
            started.stdout.readline()
            picture = ferrio.run(look(started.pid))
        finally:
            started.kill()
    # Fonts from elsewhere aren't loaded.
    picture = re.sub(r"@font-face \{.*?\}", "", picture, flags=re.DOTALL)
    file.write_text("\n".join(line.rstrip() for line in picture.splitlines()) + "\n")


if __name__ == "__main__":
    main()
