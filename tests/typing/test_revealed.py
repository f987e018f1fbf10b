"""mypy and pyright see the same types in a program on ferrio as in the same program on asyncio.

The program reveals the types of what functions, methods and attributes return, and annotates with asyncio's names. A
type is compared by its name without the module: `ferrio.Queue[int]` equals `asyncio.Queue[int]`. One mistake in
asyncio's stubs is left out: that entering a barrier gives the barrier.
"""

import pathlib
import re
import subprocess
import sys

import pytest

# asyncio has this Python's names and ferrio the newest on each, so both are checked as on the newest Python.
NEWEST = "3.15"

PROGRAM = """
import asyncio
async def one() -> int: return 1
async def two() -> str: return ""
async def main(cond: bool) -> None:
    loop = asyncio.get_running_loop()
    reveal_type(loop)
    reveal_type(asyncio.new_event_loop())
    reveal_type(asyncio.get_event_loop())
    reveal_type(loop.create_future())
    reveal_type(loop.create_task(one()))
    reveal_type(loop.call_soon(print, 1))
    reveal_type(loop.call_later(1, print))
    reveal_type(loop.time())
    reveal_type(await loop.run_in_executor(None, len, "x"))
    reveal_type(await loop.getaddrinfo("x", 1))
    reveal_type(await loop.create_connection(asyncio.Protocol, "h", 1))
    reveal_type(await loop.create_server(asyncio.Protocol, "h", 1))
    reveal_type(await loop.sock_recv(None, 1))  # type: ignore
    reveal_type(loop.run_until_complete(one()))
    reveal_type(await asyncio.gather(one(), two()))
    reveal_type(await asyncio.gather(one(), two(), return_exceptions=True))
    reveal_type(await asyncio.gather(one(), two(), return_exceptions=cond))
    reveal_type(await asyncio.gather(one(), two(), one(), two(), one()))
    reveal_type(await asyncio.gather(one(), two(), one(), two(), one(), return_exceptions=True))
    reveal_type(await asyncio.gather(one(), two(), one(), two(), one(), two()))
    reveal_type(await asyncio.gather(*[one()]))
    reveal_type(await asyncio.gather(*[one()], return_exceptions=True))
    reveal_type(asyncio.gather(one()))
    reveal_type(asyncio.create_task(one()))
    reveal_type(asyncio.ensure_future(one()))
    reveal_type(asyncio.ensure_future(loop.create_future()))
    reveal_type(asyncio.shield(one()))
    reveal_type(await asyncio.shield(one()))
    reveal_type(await asyncio.wait([asyncio.create_task(one())]))
    reveal_type(await asyncio.wait_for(one(), 1))
    reveal_type(await asyncio.sleep(1))
    reveal_type(await asyncio.sleep(1, "x"))
    reveal_type(await asyncio.to_thread(len, "x"))
    reveal_type(asyncio.current_task())
    reveal_type(asyncio.all_tasks())
    reveal_type(asyncio.run_coroutine_threadsafe(one(), loop))
    reveal_type(asyncio.wrap_future(asyncio.run_coroutine_threadsafe(one(), loop)))
    reveal_type(asyncio.isfuture(one()))
    reveal_type(asyncio.iscoroutine(one()))
    reveal_type(asyncio.iscoroutinefunction(one))
    reveal_type(asyncio.run)
    reveal_type(asyncio.run(one()))
    for c in asyncio.as_completed([one()]):
        reveal_type(c)
        reveal_type(await c)
    async for f in asyncio.as_completed([asyncio.create_task(one())]):
        reveal_type(f)
    async with asyncio.timeout(1) as t:
        reveal_type(t)
        reveal_type(t.when())
        reveal_type(t.expired())
    async with asyncio.timeout_at(1) as t2:
        reveal_type(t2)
    async with asyncio.TaskGroup() as g:
        reveal_type(g)
        reveal_type(g.create_task(one()))
    lock = asyncio.Lock()
    reveal_type(await lock.acquire())
    reveal_type(lock.locked())
    reveal_type(lock.release())
    async with lock as nothing:
        reveal_type(nothing)
    event = asyncio.Event()
    reveal_type(await event.wait())
    condition = asyncio.Condition()
    reveal_type(await condition.wait())
    reveal_type(await condition.wait_for(lambda: 3))
    semaphore = asyncio.Semaphore(1)
    reveal_type(await semaphore.acquire())
    reveal_type(asyncio.BoundedSemaphore(1))
    barrier = asyncio.Barrier(1)
    reveal_type(await barrier.wait())
    queue: asyncio.Queue[int] = asyncio.Queue()
    reveal_type(queue)
    reveal_type(await queue.get())
    reveal_type(queue.get_nowait())
    reveal_type(await queue.put(1))
    reveal_type(queue.qsize())
    reveal_type(await queue.join())
    reveal_type(queue.maxsize)
    reveal_type(asyncio.PriorityQueue[tuple[int, str]]().get_nowait())
    reveal_type(asyncio.LifoQueue[int]())
    reader, writer = await asyncio.open_connection("h", 1)
    reveal_type(reader)
    reveal_type(writer)
    reveal_type(await reader.read())
    reveal_type(await reader.readline())
    reveal_type(await reader.readexactly(1))
    reveal_type(await reader.readuntil(b"x"))
    reveal_type(reader.at_eof())
    reveal_type(writer.write(b""))
    reveal_type(await writer.drain())
    reveal_type(writer.transport)
    reveal_type(writer.get_extra_info("x"))
    reveal_type(await writer.wait_closed())
    async for line in reader:
        reveal_type(line)
    async def connected(r: asyncio.StreamReader, w: asyncio.StreamWriter) -> None: ...
    server = await asyncio.start_server(connected, "h", 1)
    reveal_type(server)
    reveal_type(server.sockets)
    reveal_type(await server.serve_forever())
    async with server as s:
        reveal_type(s)
    process = await asyncio.create_subprocess_exec("x")
    reveal_type(process)
    reveal_type(process.stdin)
    reveal_type(process.stdout)
    reveal_type(await process.communicate())
    reveal_type(await process.wait())
    reveal_type(process.returncode)
    with asyncio.Runner() as runner:
        reveal_type(runner)
        reveal_type(runner.run(one()))
        reveal_type(runner.get_loop())

def annotated(
    future: asyncio.Future[int],
    task: asyncio.Task[int],
    handle: asyncio.Handle,
    timer: asyncio.TimerHandle,
    server: asyncio.Server,
    loop: asyncio.AbstractEventLoop,
    transport: asyncio.Transport,
    stopped: asyncio.Event,
) -> None:
    reveal_type(future)
    reveal_type(future.result())
    reveal_type(future.exception())
    reveal_type(future.get_loop())
    reveal_type(future.done())
    reveal_type(future.cancel())
    reveal_type(future.add_done_callback(print))
    reveal_type(task)
    reveal_type(task.result())
    reveal_type(task.get_name())
    reveal_type(task.get_coro())
    reveal_type(task.cancelling())
    reveal_type(handle)
    reveal_type(handle.cancel())
    reveal_type(handle.cancelled())
    reveal_type(timer.when())
    reveal_type(server.get_loop())
    reveal_type(server.sockets)
    reveal_type(transport)

def made(loop: asyncio.AbstractEventLoop) -> None:
    future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    second: asyncio.Future[int] = loop.create_future()
    annotated_future(future)
    annotated_future(second)
    task: asyncio.Task[int] = loop.create_task(one())
    annotated_task(task)
    handle: asyncio.Handle = loop.call_soon(print)
    timer: asyncio.TimerHandle = loop.call_later(1, print)
    gathered: asyncio.Future[tuple[int, str]] = asyncio.gather(one(), two())
    tasks: set[asyncio.Task[int]] = set()
    tasks.add(loop.create_task(one()))
    tasks.add(asyncio.create_task(one()))
    current: asyncio.Task[object] | None = asyncio.current_task()
    async def serve() -> asyncio.Server:
        return await loop.create_server(asyncio.Protocol, "h", 1)
    async def serve_streams() -> asyncio.Server:
        return await asyncio.start_server(lambda r, w: None, "h", 1)
    def protocol(task: asyncio.Task[int]) -> None: ...
    asyncio.create_task(one()).add_done_callback(protocol)

def annotated_future(f: asyncio.Future[int]) -> None: ...
def annotated_task(f: asyncio.Task[int]) -> None: ...

class Own(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        reveal_type(transport)

async def with_kinds(loop: asyncio.AbstractEventLoop) -> None:
    reveal_type(await loop.create_connection(lambda: Own(), "h"))
    try:
        await asyncio.sleep(1)
    except asyncio.CancelledError as error:
        reveal_type(error)
    except asyncio.TimeoutError as error2:
        reveal_type(error2)
    reveal_type(asyncio.FIRST_COMPLETED)
    reveal_type(asyncio.subprocess.PIPE)
    reveal_type(asyncio.EventLoop())
    reveal_type(asyncio.SelectorEventLoop())
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Makes a directory with the program twice: on_asyncio.py and on_ferrio.py."""
    path = tmp_path_factory.mktemp("revealed")
    (path / "on_asyncio.py").write_text(PROGRAM)
    (path / "on_ferrio.py").write_text(PROGRAM.replace("import asyncio\n", "import ferrio as asyncio\n", 1))
    return path


def said(output: str, name: str) -> dict[int, list[str]]:
    """Returns what a checker reveals in a file, by line, with bare type names."""
    found: dict[int, list[str]] = {}
    for line, text in re.findall(rf"{name}\.py:(\d+):(.*)$", output, re.MULTILINE):
        text = re.sub(r"^\d+ - ", "", re.sub(r"[\w.]+\.(?=\w)", "", text.strip()))
        found.setdefault(int(line), []).append(text.replace("_UnixSelectorEventLoop", "EventLoop"))
    return found


def differences(command: list[str], folder: pathlib.Path) -> dict[int, tuple[list[str], list[str]]]:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600, check=False)
    theirs, ours = said(done.stdout, "on_asyncio"), said(done.stdout, "on_ferrio")
    assert len(theirs) > 100, done.stdout + done.stderr
    lines = theirs.keys() | ours.keys()
    pairs = {line: (theirs.get(line, []), ours.get(line, [])) for line in sorted(lines)}
    return {line: pair for line, pair in pairs.items() if pair[0] != pair[1]}


@pytest.mark.timeout(600)
def test_mypy_sees_no_difference(folder: pathlib.Path) -> None:
    pytest.importorskip("mypy", reason="mypy comes with `make lint`")
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file", "", "--python-version", NEWEST]
    assert differences([*command, "--python-executable", sys.executable, "."], folder) == {}


@pytest.mark.timeout(600)
def test_pyright_sees_no_difference(folder: pathlib.Path) -> None:
    pytest.importorskip("pyright", reason="pip install pyright")
    command = [sys.executable, "-m", "pyright", "--pythonpath", sys.executable, "--pythonversion", NEWEST, "."]
    assert differences(command, folder) == {}
