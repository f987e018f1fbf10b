"""pytest-asyncio: a suite in strict and in auto mode: fixtures with every loop scope, generators, a class that shares a
loop, factories of loops by its hook, time-outs, what a failing test says.

`-p no:cacheprovider` and similar options keep pytest from writing next to the suite.
"""

import asyncio
import pathlib
import re
import sys
import tempfile

from common import WAY, python_command, report_loop

CONFTEST = """
import asyncio

def pytest_asyncio_loop_factories(config, item):
    return {"chosen": FACTORY}
"""
FACTORY = "__import__('ferrio').new_event_loop" if WAY == "loop" else "asyncio.new_event_loop"

BOTH_MODES = """
import asyncio
import sys

import pytest
import pytest_asyncio


@pytest_asyncio.fixture
async def server():
    async def echo(reader, writer):
        writer.write(await reader.readline())
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def shared_loop():
    task = asyncio.create_task(asyncio.Event().wait())
    yield asyncio.get_running_loop()
    task.cancel()


@pytest.mark.asyncio
@pytest.mark.parametrize("word", ["one", "two"])
async def test_server(server, word):
    reader, writer = await asyncio.open_connection("127.0.0.1", server)
    writer.write(word.encode() + b"\\n")
    assert await reader.read() == word.encode() + b"\\n"
    writer.close()
    await writer.wait_closed()


@pytest.mark.asyncio
async def test_which_loop():
    family = type(asyncio.get_running_loop()).__module__.partition(".")[0]
    with open(LOOPS, "a") as file:
        file.write(f"running on {family}\\n")


@pytest.mark.asyncio(loop_scope="module")
async def test_of_the_module(shared_loop):
    assert asyncio.get_running_loop() is shared_loop


@pytest.mark.asyncio(loop_scope="class")
class TestClass:
    async def test_first(self):
        type(self).loop = asyncio.get_running_loop()

    async def test_second(self):
        assert asyncio.get_running_loop() is self.loop


@pytest.mark.asyncio
async def test_own_loop(request):
    assert asyncio.get_running_loop() is not getattr(TestClass, "loop", None)


@pytest.mark.asyncio
async def test_that_fails():
    async with asyncio.TaskGroup() as group:
        group.create_task(asyncio.sleep(60))
        await asyncio.sleep(0)
        assert "this" == "that"


@pytest.mark.asyncio
async def test_that_times_out():
    async with asyncio.timeout(0.01):
        await asyncio.sleep(60)


@pytest.mark.asyncio
async def test_that_leaves_a_task():
    asyncio.get_running_loop().forgotten = asyncio.create_task(asyncio.sleep(60))


@pytest.mark.asyncio
@pytest.mark.xfail(reason="it does", raises=ZeroDivisionError)
async def test_xfail():
    await asyncio.to_thread(lambda: 1 / 0)


def test_plain():
    with pytest.raises(RuntimeError):
        asyncio.get_running_loop()
"""

AUTO_MODE = """
import asyncio

import pytest


@pytest.fixture
async def number():
    await asyncio.sleep(0)
    return 7


@pytest.fixture(autouse=True)
async def around():
    yield
    await asyncio.sleep(0)


async def test_unmarked(number):
    assert number == 7


@pytest.mark.parametrize("n", range(20))
async def test_many(n, number):
    assert sum(await asyncio.gather(*(asyncio.sleep(0, number) for _ in range(n)))) == 7 * n
"""


async def pytest(directory: pathlib.Path, mode: str) -> None:
    options = [
        "-p",
        "no:cacheprovider",
        "-p",
        "pytest_asyncio",
        "--asyncio-mode",
        mode,
        "-v",
        "--tb=short",
        "-W",
        "error",
    ]
    settings = ["-o", "asyncio_default_fixture_loop_scope=function"]
    process = await asyncio.create_subprocess_exec(
        *python_command(), "-m", "pytest", *options, *settings, cwd=directory, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    print(mode, process.returncode)
    for line in output.decode().splitlines():
        line = re.sub(r"in \d+\.\d+s.*", "", line)
        if "::" in line or line.startswith(("E  ", "=====")):
            print(line)


async def main() -> None:
    report_loop()
    with tempfile.TemporaryDirectory() as name:
        directory = pathlib.Path(name)
        loops = directory / "loops"
        (directory / "conftest.py").write_text(CONFTEST.replace("FACTORY", FACTORY))
        (directory / "test_both.py").write_text(BOTH_MODES.replace("LOOPS", repr(str(loops))))
        await pytest(directory, "strict")
        (directory / "test_auto.py").write_text(AUTO_MODE)
        await pytest(directory, "auto")
        sys.stderr.write(loops.read_text())


if __name__ == "__main__":
    asyncio.run(main())
