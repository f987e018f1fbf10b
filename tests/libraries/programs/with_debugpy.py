"""debugpy: a debugger at its socket: breakpoints in coroutines, callbacks and threads, stacks, values, steps over, into
and out of an `await`, an exception that nobody catches, evaluating in a coroutine.
"""

import asyncio
import json
import os
import pathlib
import re
import sys

from common import WAY, free_port, python_command, report_loop

DEBUGGED = pathlib.Path(__file__).with_name("debugged.py")
LINES = DEBUGGED.read_text().splitlines()


class Debugger:
    """A client of the debug adapter protocol."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._number = 0
        self._events: list[dict] = []

    async def ask(self, command: str, **arguments: object) -> dict:
        """Sends a request and returns the body of its response."""
        number = self.send(command, **arguments)
        return await self.answer(number)

    def send(self, command: str, **arguments: object) -> int:
        self._number += 1
        message = {"seq": self._number, "type": "request", "command": command, "arguments": arguments}
        text = json.dumps(message).encode()
        self._writer.write(b"Content-Length: %d\r\n\r\n%s" % (len(text), text))
        return self._number

    async def answer(self, number: int) -> dict:
        while True:
            message = await self._receive()
            if message["type"] == "response" and message["request_seq"] == number:
                assert message["success"], message
                return message.get("body", {})
            self._events.append(message)

    async def event(self, *names: str) -> dict:
        """Returns the next event of one of these names, dropping those before it."""
        while True:
            message = self._events.pop(0) if self._events else await self._receive()
            if message.get("event") in names:
                return message

    async def _receive(self) -> dict:
        header = await self._reader.readuntil(b"\r\n\r\n")
        length = int(re.search(rb"Content-Length: (\d+)", header)[1])
        return json.loads(await self._reader.readexactly(length))

    async def stopped(self, text: str) -> tuple[int, int]:
        """Waits for the program to stop, prints where, and returns the thread and the innermost frame."""
        event = await self.event("stopped", "terminated")
        if event["event"] == "terminated":
            print(f"{text}: ended")
            return 0, 0
        thread = event["body"]["threadId"]
        frames = (await self.ask("stackTrace", threadId=thread))["stackFrames"]
        ours = [frame for frame in frames if frame.get("source", {}).get("path") == str(DEBUGGED)]
        functions = [frame for frame in ours if frame["name"] != "<module>"]
        places = [f"{frame['name']}: {LINES[frame['line'] - 1].strip()}" for frame in functions]
        print(f"{text}: {event['body']['reason']} at", *places, sep="\n    ")
        return thread, frames[0]["id"]

    async def value(self, expression: str, frame: int) -> str:
        answer = await self.ask("evaluate", expression=expression, frameId=frame, context="watch")
        return answer["result"]


def line_of(mark: str) -> int:
    """Returns the number of the line with this comment."""
    (number,) = (number for number, line in enumerate(LINES, 1) if line.endswith(f"# {mark}"))
    return number


async def debug(debugger: Debugger) -> None:
    await debugger.ask("initialize", adapterID="test", clientID="test", linesStartAt1=True, pathFormat="path")
    # ferrio isn't the user's code. It would be taken for that if it is in no folder of installed packages.
    rules = [{"module": "ferrio", "include": False}]
    attached = debugger.send("attach", justMyCode=True, rules=rules)
    await debugger.event("initialized")
    marks = ("a task", "an await", "a callback", "a thread", "a result")
    breakpoints = [{"line": line_of(mark)} for mark in marks]
    found = await debugger.ask("setBreakpoints", source={"path": str(DEBUGGED)}, breakpoints=breakpoints)
    print("verified:", [point["verified"] for point in found["breakpoints"]])
    await debugger.ask("setExceptionBreakpoints", filters=["uncaught", "userUnhandled"])
    await debugger.ask("configurationDone")
    await debugger.answer(attached)

    thread, frame = await debugger.stopped("breakpoint in a task")
    print("value:", await debugger.value("number + 1", frame))
    print("task:", await debugger.value("asyncio.current_task().get_name()", frame))
    print("loop runs:", await debugger.value("asyncio.get_running_loop().is_running()", frame))
    await debugger.ask("continue", threadId=thread)
    thread, _ = await debugger.stopped("breakpoint at an await")
    await debugger.ask("next", threadId=thread)
    thread, frame = await debugger.stopped("step over the await")
    print("value:", await debugger.value("result", frame))
    await debugger.ask("next", threadId=thread)
    thread, _ = await debugger.stopped("step to the next await")
    await debugger.ask("stepIn", threadId=thread)
    thread, _ = await debugger.stopped("step into the task that continues")
    await debugger.ask("stepOut", threadId=thread)
    thread, _ = await debugger.stopped("step out of its function")
    while thread:
        await debugger.ask("continue", threadId=thread)
        thread, frame = await debugger.stopped("continued")
        if thread:
            print("thread:", await debugger.value("threading.current_thread() is threading.main_thread()", frame))


async def main() -> None:
    report_loop()
    port = free_port()
    listen = ["-m", "debugpy", "--listen", f"127.0.0.1:{port}", "--wait-for-client", str(DEBUGGED), WAY]
    # It would warn that it can't see into the frozen part of the standard library.
    environment = os.environ | {"PYDEVD_DISABLE_FILE_VALIDATION": "1"}
    process = await asyncio.create_subprocess_exec(
        *python_command(), *listen, env=environment, stdout=asyncio.subprocess.PIPE, cwd=os.getcwd()
    )
    while True:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            break
        except ConnectionRefusedError:
            await asyncio.sleep(0.05)  # it may not listen yet
    await debug(Debugger(reader, writer))
    writer.close()
    print("it printed:", (await process.stdout.read()).decode(), await process.wait())


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
