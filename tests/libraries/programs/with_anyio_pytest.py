"""anyio, pytest: anyio's pytest plugin runs async tests and fixtures on the loop, with and without a loop factory.

pytest runs as a process of its own; under `install()` it is `python -m ferrio -m pytest`.
"""

import asyncio
import os
import pathlib
import re
import tempfile

from common import python_command, report_loop

CONFTEST = """
import os

import pytest


@pytest.fixture
def anyio_backend():
    if os.environ["FERRIO_LIBRARIES_WAY"] == "loop":
        import ferrio

        return "asyncio", {"loop_factory": ferrio.new_event_loop}
    return "asyncio"
"""
TESTS = """
import asyncio

import anyio
import pytest
from common import report_loop

pytestmark = pytest.mark.anyio
opened = []


@pytest.fixture
async def connection():
    report_loop()
    opened.append(asyncio.get_running_loop())
    yield len(opened)
    await anyio.sleep(0)
    opened.append("closed")


@pytest.fixture
async def service():
    async with anyio.create_task_group() as group:
        send, receive = anyio.create_memory_object_stream(1)
        group.start_soon(send.send, "from a fixture's task")
        yield receive
        group.cancel_scope.cancel()
        send.close()
        receive.close()


async def test_fixture_shares_the_loop(connection):
    assert opened == [asyncio.get_running_loop()]


async def test_fixture_was_closed():
    assert opened[1] == "closed"


async def test_task_of_a_fixture(service):
    assert await service.receive() == "from a fixture's task"


async def test_threads():
    assert await anyio.to_thread.run_sync(int, "1") == 1


@pytest.mark.parametrize("number", range(3))
async def test_parameters(number):
    with anyio.move_on_after(0):
        await anyio.sleep_forever()


async def test_that_fails():
    assert await asyncio.sleep(0, 1) == 2
"""


async def main() -> None:
    report_loop()
    with tempfile.TemporaryDirectory() as directory:
        pathlib.Path(directory, "conftest.py").write_text(CONFTEST)
        pathlib.Path(directory, "test_anyio.py").write_text(TESTS)
        pathlib.Path(directory, "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
        here = str(pathlib.Path(__file__).parent)
        environment = os.environ | {"PYTHONPATH": here, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
        # pytest hides the standard error of passing tests; -s shows it, and `report_loop` must be seen.
        process = await asyncio.create_subprocess_exec(
            *python_command(),
            *("-m", "pytest", "-p", "anyio", "-p", "no:cacheprovider", "-s", "-v"),
            cwd=directory,
            env=environment,
            stdout=asyncio.subprocess.PIPE,
        )
        printed = (await process.communicate())[0].decode()
    for test, outcome in re.findall(r"::(\S+) (PASSED|FAILED|ERROR)", printed):
        print(test, outcome)
    print(printed if process.returncode != 1 else "status 1, as one test fails")


if __name__ == "__main__":
    asyncio.run(main())
