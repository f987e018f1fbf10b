"""Virtual time and checks with pytest-asyncio and anyio's plugin, each in its ways to make a loop."""

import pytest

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.timeout(240)  # a suite takes seconds, or longer on a busy machine

HEAD = """
import asyncio
import anyio
import pytest
import pytest_asyncio

@pytest.fixture
def anyio_backend():
    return "asyncio"

async def forever():
    await asyncio.sleep(10_000)

async def fail():
    raise LookupError("nobody looks")
"""

TIME = """
pytestmark = pytest.mark.ferrio(virtual_time=True)

@pytest.mark.asyncio
@pytest.mark.ferrio(virtual_time=False)
async def test_first_has_real_time():
    assert asyncio.get_running_loop().time() > 0

@pytest_asyncio.fixture
async def slept():
    await asyncio.sleep(60)
    return asyncio.get_running_loop().time()

@pytest.mark.asyncio
async def test_pytest_asyncio(ferrio_clock, slept):
    assert slept == ferrio_clock.time == 60
    await asyncio.sleep(3600)
    assert asyncio.get_running_loop().time() == ferrio_clock.time == 3660

@pytest.mark.asyncio
async def test_stuck_pytest_asyncio():
    await asyncio.Event().wait()

@pytest.fixture
async def slept_of_anyio(anyio_backend):
    await anyio.sleep(60)
    yield anyio.current_time()
    await anyio.sleep(60)

@pytest.mark.anyio
async def test_anyio(ferrio_clock, slept_of_anyio):
    assert slept_of_anyio == ferrio_clock.time == 60
    with anyio.move_on_after(3600):
        await anyio.sleep_forever()
    assert anyio.current_time() == ferrio_clock.time == 3660

@pytest.mark.anyio
async def test_stuck_anyio(slept_of_anyio):
    await anyio.Event().wait()

class TestWiderScope:
    pytestmark = pytest.mark.asyncio(loop_scope="class")

    async def test_one(self, ferrio_clock):
        await asyncio.sleep(10)
        assert ferrio_clock.time == asyncio.get_running_loop().time() == 10

    async def test_two(self, ferrio_clock):
        assert ferrio_clock.time == asyncio.get_running_loop().time() == 10
        await asyncio.sleep(10)
        assert ferrio_clock.time == 20

    async def test_stuck_in_class(self):
        await asyncio.Event().wait()
"""

FACTORY = """
import ferrio

def pytest_asyncio_loop_factories(config, item):
    return {"ferrio": ferrio.new_event_loop}
"""

STUCK = ["test_stuck_anyio", "test_stuck_in_class", "test_stuck_pytest_asyncio"]


@pytest.mark.parametrize("conftest", ["", FACTORY], ids=["plain", "factory"])
@pytest.mark.parametrize("setting", ["", "ferrio = true", "ferrio_loop = true"])
def test_virtual_time(suite, setting, conftest):
    outcomes, text = suite(HEAD + TIME, configuration=setting, conftest=conftest)
    assert sorted(name for name, outcome in outcomes.items() if outcome != "PASSED") == STUCK, text
    assert "The test would wait for ever." in text
    assert "in test_stuck_pytest_asyncio\n" in text
    assert "in test_stuck_anyio\n" in text


def test_virtual_time_under_xdist(suite):
    outcomes, text = suite(HEAD + TIME, "-n", "2", "--dist=loadscope")
    assert sorted(name for name, outcome in outcomes.items() if outcome != "PASSED") == STUCK, text


CHECKS = """
pytestmark = pytest.mark.ferrio(checks=True, virtual_time=True)

@pytest_asyncio.fixture
async def background():
    task = asyncio.create_task(forever(), name="of the fixture")
    await asyncio.sleep(0)
    yield task
    task.cancel()
    await asyncio.wait([task])

@pytest.mark.asyncio
async def test_task_of_a_fixture(background):
    assert not background.done()

@pytest.mark.asyncio
async def test_left(background):
    asyncio.create_task(forever(), name="left with pytest-asyncio")
    await asyncio.sleep(0)

@pytest.mark.asyncio
async def test_lost():
    asyncio.create_task(fail(), name="failing")
    await asyncio.sleep(1)

class TestWiderScope:
    pytestmark = pytest.mark.asyncio(loop_scope="class")

    async def test_before(self):
        pass

    async def test_left_in_class(self):
        asyncio.create_task(forever(), name="left in a class")
        await asyncio.sleep(0)

    async def test_after(self):
        pass

@pytest.mark.anyio
async def test_anyio():
    await asyncio.sleep(1)

@pytest.mark.anyio
async def test_left_anyio():
    asyncio.create_task(forever(), name="left with anyio")
    await asyncio.sleep(1)
"""


def test_checks(suite):
    outcomes, text = suite(HEAD + CHECKS)
    failed = ["test_left", "test_left_anyio", "test_left_in_class", "test_lost"]
    assert sorted(name for name, outcome in outcomes.items() if outcome != "PASSED") == failed, text
    for name in ("left with pytest-asyncio", "left in a class", "left with anyio"):
        assert text.count(f"- task '{name}' (forever): It waits in `sleep`") == 1, text
    assert "of the fixture" not in text
    assert "Nobody handled an exception of task 'failing' (fail)." in text
