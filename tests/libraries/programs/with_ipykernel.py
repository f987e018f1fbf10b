"""ipykernel, jupyter_client: a kernel and its client: `await` in cells, tasks that go on between cells, generators,
errors, output of tasks, an interrupted cell, input, completion, magics, a restart.
"""

import asyncio
import json
import os
import pathlib
import re
import sys
import tempfile

from common import WAY, python_command, report_loop

ON_A_LOOP = """
import asyncio, ferrio, warnings
with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # from Python 3.14 on
    asyncio.set_event_loop_policy(ferrio.EventLoopPolicy())
from ipykernel.kernelapp import launch_new_instance
launch_new_instance()
"""

# What a kernel runs first. ipykernel leaves this task pending in the loop of its second thread. ferrio reports it when
# the loop is closed, asyncio when the task is collected. Whether the process gets that far is chance.
STARTUP = """
import logging
logging.getLogger("asyncio").addFilter(lambda record: "poll_stopped_queue" not in record.getMessage())
"""

CELLS = {
    "which loop": "import asyncio\nfrom common import report_loop\nreport_loop()",
    "a value": "1 + 1",
    "await": "await asyncio.sleep(0.001, 'slept')",
    "gather": "await asyncio.gather(*(asyncio.sleep(0.001 * n, n) for n in range(5)))",
    "define": "async def count(n):\n    for i in range(n):\n        await asyncio.sleep(0)\n        yield i",
    "async for": "[i async for i in count(5)]",
    "async with": "async with asyncio.timeout(0.01):\n    await asyncio.sleep(60)",
    "a task": """
given, doubled = asyncio.Queue(), asyncio.Queue()
async def doubles():
    while True:
        await doubled.put(2 * await given.get())
background = asyncio.create_task(doubles())""",
    "which runs on": "await given.put(21)",
    "in the next cell": "await doubled.get()",
    "a task is current": "asyncio.current_task() in asyncio.all_tasks()",
    "an error": "await asyncio.gather(asyncio.sleep(0), asyncio.to_thread(lambda: 1 / 0))",
    "run": "waits = asyncio.sleep(0)\ntry:\n    asyncio.run(waits)\nfinally:\n    waits.close()",
    "a server": """
async def echo(reader, writer):
    writer.write(await reader.read())
    writer.close()
server = await asyncio.start_server(echo, '127.0.0.1', 0)
reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
writer.write(b'over the network')
writer.write_eof()
got = await reader.read()
writer.close()
server.close()
got""",
    "a program": """
process = await asyncio.create_subprocess_exec('cat', stdin=-1, stdout=-1)
await process.communicate(b'through a process')""",
    "printing": "for i in range(3):\n    print(i)\n    await asyncio.sleep(0)\nbackground.cancel()",
    "a magic": "%autoawait",
    "display": "from IPython.display import display\ndisplay({'a': 1})\nawait asyncio.sleep(0)",
}


async def start(directory: str):
    """Yields a running kernel's manager and a client."""
    from jupyter_client.manager import AsyncKernelManager

    command = [*python_command(), "-m", "ipykernel_launcher"]
    if WAY == "loop":
        command = [sys.executable, "-c", ON_A_LOOP]
    spec = pathlib.Path(directory, "kernels", "here")
    spec.mkdir(parents=True)
    words = {"argv": [*command, "-f", "{connection_file}"], "display_name": "here", "language": "python"}
    (spec / "kernel.json").write_text(json.dumps(words))
    startup = pathlib.Path(directory, "profile_default", "startup")
    startup.mkdir(parents=True)
    (startup / "first.py").write_text(STARTUP)
    # Unix sockets, because the kernel warns about TCP.
    manager = AsyncKernelManager(kernel_name="here", transport="ipc", ip=os.path.join(directory, "kernel"))
    await manager.start_kernel(cwd=os.path.dirname(__file__))
    return manager, await connect(manager)


async def connect(manager):
    client = manager.client()
    client.start_channels()
    await client.wait_for_ready(timeout=60)
    return client


def shown(message: dict) -> str | None:
    """Returns what a person sees of a message, without what differs from run to run."""
    kind, content = message["msg_type"], message["content"]
    if kind == "stream":
        text = content["text"]
        if content["name"] == "stderr":
            # The line about the loop.
            sys.stderr.write(text)
            return None
        return re.sub(r"[\d.]+ [nµm]?s", "some time", text)
    if kind in ("execute_result", "display_data"):
        return content["data"]["text/plain"]
    if kind == "error":
        # ferrio's texts of asyncio's own errors are longer.
        return content["ename"] if content["ename"] == "RuntimeError" else f"{content['ename']}: {content['evalue']}"
    return None


async def run(client, code: str, then=None) -> None:
    """Runs a cell and prints what it shows until it is done. Awaits `then` once the cell has printed something."""
    lines: list[str] = []
    printed = asyncio.Event()

    def saw(message: dict) -> None:
        if message["msg_type"] == "stream":
            printed.set()
        if (text := shown(message)) is not None:
            lines.append(text)

    cell = asyncio.create_task(client.execute_interactive(code, timeout=60, output_hook=saw, allow_stdin=False))
    if then is not None:
        await printed.wait()
        await then()
    reply = await cell
    print(reply["content"]["status"], "".join(line if line.endswith("\n") else line + "\n" for line in lines).rstrip())


async def asks(client) -> None:
    """Runs a cell that asks for input."""
    number = client.execute("answer = input('why? ')\nawait asyncio.sleep(0, answer)", allow_stdin=True)
    print((await client.get_stdin_msg(timeout=60))["content"]["prompt"])
    client.input("because")
    while True:
        message = await client.get_iopub_msg(timeout=60)
        if message["parent_header"].get("msg_id") == number:
            if (text := shown(message)) is not None:
                print(text)
            if message["content"].get("execution_state") == "idle":
                break
    await client.get_shell_msg(timeout=60)


async def main() -> None:
    report_loop()
    with tempfile.TemporaryDirectory() as directory:
        os.environ["JUPYTER_PATH"] = os.environ["IPYTHONDIR"] = directory
        os.environ["JUPYTER_RUNTIME_DIR"] = directory
        os.environ["JUPYTER_PLATFORM_DIRS"] = "1"
        manager, client = await start(directory)
        try:
            for name, code in CELLS.items():
                print(f"-- {name}:", end=" ")
                await run(client, code)
            print("-- interrupted:", end=" ")
            # Not one long sleep: the signal's handler uses a plain `call_soon`, which doesn't wake asyncio's loop.
            await run(client, "print('it runs')\nwhile True:\n    await asyncio.sleep(0.001)", manager.interrupt_kernel)
            print((await client.complete("asyncio.create_s", reply=True, timeout=60))["content"]["matches"])
            print((await client.inspect("count", reply=True, timeout=60))["content"]["found"])
            print("-- and usable:", end=" ")
            await run(client, "await asyncio.sleep(0, 'yes')")
            # Waits until the kernel is idle: a restart begins with an interrupt, which would hit the running cell.
            await asks(client)
            client.stop_channels()
            await manager.restart_kernel()
            client = await connect(manager)
            print("-- restarted:", end=" ")
            await run(client, "given")
            client.stop_channels()
        finally:
            await manager.shutdown_kernel()
        print("alive:", await manager.is_alive())


if __name__ == "__main__":
    asyncio.run(main())
