"""aiomonitor: a monitor's thread looks into the loop: tasks, their stacks and how they came about, tasks that ended, by
HTTP and by telnet; both cancel one.
"""

import asyncio
import re
import warnings

import aiohttp

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it uses names that click is about to drop
    import aiomonitor

from common import free_port, report_loop

# A telnet negotiation: the terminal has 80 columns and 24 lines and is of the kind "xterm".
GREETING = b"\xff\xfb\x1f\xff\xfa\x1f\x00\x50\x00\x18\xff\xf0\xff\xfb\x18\xff\xfa\x18\x00xterm\xff\xf0"


class Terminal:
    """A telnet client."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._shown, self._seen = b"", 0
        writer.write(GREETING)

    async def sees(self, pattern: str) -> re.Match[str]:
        """Reads until `pattern` appears after what was seen before, ignoring colours and cursor movements."""
        while not (found := re.compile(pattern).search(self._text(), self._seen)):
            more = await self._reader.read(65536)
            assert more, f"the monitor hung up; it had said {self._shown!r}"
            # It asks for the cursor's position.
            self._writer.write(b"\x1b[1;1R" * more.count(b"\x1b[6n"))
            self._shown += more
        self._seen = found.end()
        return found

    def _text(self) -> str:
        return re.sub(rb"\x1b\[[\d;?]*[a-zA-Z]", b"", self._shown).decode(errors="replace")

    def types(self, line: str) -> None:
        self._writer.write(line.encode() + b"\r")

    async def leaves(self) -> None:
        self.types("exit")
        while await self._reader.read(65536):
            pass
        self._writer.close()
        await self._writer.wait_closed()


async def sleeper() -> None:
    await asyncio.sleep(3600)


async def parent() -> None:
    await asyncio.gather(asyncio.create_task(sleeper(), name="the child"), return_exceptions=True)


async def main() -> None:
    report_loop()
    # Warnings from aiohttp and click, meant for aiomonitor's authors.
    for text in (".*AppKey", "body argument is deprecated"):
        warnings.filterwarnings("ignore", text)
    loop = asyncio.get_running_loop()
    ports = {name: free_port() for name in ("port", "webui_port")}
    with aiomonitor.start_monitor(loop, **ports, hook_task_factory=True):
        family = asyncio.create_task(parent(), name="the parent")
        ended = asyncio.create_task(asyncio.sleep(0), name="the one that ended")
        await ended
        await by_http(ports["webui_port"], family)
        await by_telnet(ports["port"])
    print("factory:", loop.get_task_factory())


async def by_http(port: int, family: asyncio.Task) -> None:
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
        tasks = (await (await session.post("/api/live-tasks")).json())["tasks"]
        print(sorted((task["name"], task["state"]) for task in tasks if task["name"].startswith("the ")))
        print([task["coro"] for task in tasks if task["name"] == "the parent"])
        while True:
            tasks = (await (await session.post("/api/terminated-tasks")).json())["tasks"]
            if gone := [task["name"] for task in tasks if task["name"].startswith("the ")]:
                break
        print("ended:", gone)
        number = id(next(task for task in asyncio.all_tasks() if task.get_name() == "the child"))
        page = await (await session.get("/trace-running", params={"task_id": number})).text()
        print("stack:", "await asyncio.gather" in page, "await asyncio.sleep(3600)" in page)
        reply = await session.delete("/api/task", params={"task_id": number})
        print("cancelled:", reply.status)
    await family


async def by_telnet(port: int) -> None:
    child = asyncio.create_task(sleeper(), name="another child")
    terminal = Terminal(*await asyncio.open_connection("127.0.0.1", port))
    await terminal.sees("Asyncio Monitor")
    await terminal.sees("monitor >>>")
    terminal.types("ps")
    print((await terminal.sees(r"\d+ tasks? running"))[0])
    number = (await terminal.sees(r"(\d+) +\S+ +another child +\S+"))[1]
    print("its number:", int(number) == id(child))
    terminal.types(f"where {number}")
    print((await terminal.sees(r"await asyncio.sleep\(3600\)"))[0])
    terminal.types(f"cancel {number}")
    print((await terminal.sees("Cancelled task"))[0])
    print("cancelled:", (await asyncio.gather(child, return_exceptions=True))[0].__class__.__name__)
    await terminal.leaves()


if __name__ == "__main__":
    asyncio.run(main())
