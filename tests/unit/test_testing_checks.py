"""The checks at the end of a test: what each finds, what it says, and what it leaves alone.

Real test files are run by pytest in a process of its own. tests/testing has other people's plugins.
"""

import asyncio
import gc

import pytest
from tests.unit.test_testing import suite  # noqa: F401 - a fixture

import ferrio
from ferrio import testing
from ferrio.testing import population
from ferrio.testing.semaphores import _CLASSES

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.timeout(240)  # a suite takes seconds, or longer on a busy machine

COMMON = """
import asyncio, gc, time, unittest
import pytest

pytestmark = pytest.mark.ferrio(checks=True, virtual_time=True)

async def forever():
    await asyncio.sleep(10_000)

async def fail():
    raise LookupError("nobody looks")
"""

TASKS = """
async def leave():
    asyncio.create_task(forever(), name="left")
    await asyncio.sleep(0)

def test_left():
    asyncio.run(leave())

class TestUnittest(unittest.IsolatedAsyncioTestCase):
    async def test_left_in_unittest(self):
        self.task = asyncio.create_task(forever(), name="left in unittest")
        await asyncio.sleep(0)

def test_left_without_runner():
    loop = asyncio.new_event_loop()
    task = loop.create_task(forever(), name="left alone")
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()

@pytest.mark.ferrio(tasks=False)
def test_allowed():
    asyncio.run(leave())

def test_nothing_left():
    async def main():
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(3600))
    asyncio.run(main())
"""


def test_tasks(suite):  # noqa: F811
    outcomes, text = suite(COMMON + TASKS)
    failed = ["test_left", "test_left_in_unittest", "test_left_without_runner"]
    assert sorted(name for name, outcome in outcomes.items() if outcome != "PASSED") == failed, text
    assert "The test left 1 task(s):\n- task 'left' (forever): It waits in `sleep`" in text
    assert "in forever\n    await asyncio.sleep(10_000)" in text


EXCEPTIONS = """
async def drop():
    asyncio.create_task(fail(), name="failing")
    await asyncio.sleep(1)

def test_lost():
    asyncio.run(drop())

def test_lost_in_callback():
    async def main():
        asyncio.get_running_loop().call_soon(lambda: 1 / 0)
        await asyncio.sleep(1)
    asyncio.run(main())

def test_handled():
    async def main():
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        await drop()
    asyncio.run(main())

def test_retrieved():
    async def main():
        task = asyncio.create_task(fail())
        await asyncio.wait([task])
        assert isinstance(task.exception(), LookupError)
    asyncio.run(main())

kept = []

@pytest.mark.ferrio(exceptions=False)
def test_allowed():
    async def main():
        kept.append(asyncio.create_task(fail()))
        await asyncio.sleep(1)
    asyncio.run(main())

def test_it_is_no_later_tests():
    kept.clear()
    gc.collect()
"""


def test_exceptions(suite):  # noqa: F811
    outcomes, text = suite(COMMON + EXCEPTIONS)
    failed = ["test_lost", "test_lost_in_callback"]
    assert sorted(name for name, outcome in outcomes.items() if outcome != "PASSED") == failed, text
    assert "Nobody handled an exception of task 'failing' (fail)." in text
    assert "LookupError: nobody looks" in text
    assert "ZeroDivisionError" in text


TRANSPORTS = """
async def connect():
    async def serve(reader, writer):
        await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    server.close()
    return writer

kept = []

async def keep():
    kept.append(await connect())

@pytest.mark.ferrio(tasks=False)
def test_kept():
    asyncio.run(keep())

@pytest.mark.ferrio(tasks=False)
def test_dropped():
    async def main():
        await connect()
        gc.collect()
        await asyncio.sleep(1)
    asyncio.run(main())

def test_closed():
    async def main():
        writer = await connect()
        writer.close()
        await writer.wait_closed()
        await asyncio.sleep(1)
    asyncio.run(main())

def test_datagram_endpoint():
    async def main():
        kept.append(await asyncio.get_running_loop().create_datagram_endpoint(
            asyncio.DatagramProtocol, remote_addr=("127.0.0.1", 9)))
    asyncio.run(main())

@pytest.mark.ferrio(tasks=False, transports=False)
def test_allowed():
    asyncio.run(keep())
"""


def test_transports(suite):  # noqa: F811
    outcomes, text = suite(COMMON + TRANSPORTS, "-W", "ignore::ResourceWarning")  # filters don't matter
    failed = ["test_datagram_endpoint", "test_dropped", "test_kept"]
    assert sorted(name for name, outcome in outcomes.items() if outcome != "PASSED") == failed, text
    assert "The test left a transport open: <SocketTransport" in text
    assert "to ('127.0.0.1', 9)" in text
    dropped = next(line for line in text.splitlines() if "dropped a transport without closing it" in line)
    assert " to ('127.0.0.1', " in dropped


LOCKS = """
lock, other = asyncio.Lock(), asyncio.Lock()

@pytest.mark.ferrio(tasks=False)
def test_held():
    async def hold():
        async with lock:
            await forever()

    async def main():
        asyncio.create_task(hold(), name="holder")
        await asyncio.sleep(0)

    asyncio.run(main())

def test_never_released():
    asyncio.run(other.acquire())

def test_it_is_no_later_tests():
    assert other.locked()

@pytest.mark.ferrio(locks=False)
def test_allowed():
    asyncio.run(lock.acquire())
"""


def test_locks(suite):  # noqa: F811
    outcomes, text = suite(COMMON + LOCKS)
    failed = ["test_held", "test_never_released"]
    assert sorted(name for name, outcome in outcomes.items() if outcome != "PASSED") == failed, text
    assert "[locked]>, held by task 'holder' (test_held.<locals>.hold)." in text
    assert "[locked]>, whose holder has ended or isn't inside an `async with`." in text


SEMAPHORES = """
import ferrio

old = asyncio.Semaphore(3)
signal = asyncio.Semaphore(0)

@pytest.mark.ferrio(tasks=False)
def test_held():
    async def hold():
        async with asyncio.Semaphore(2):
            await forever()

    async def main():
        asyncio.create_task(hold(), name="holder")
        await asyncio.sleep(0)

    asyncio.run(main())

def test_never_released():
    asyncio.run(old.acquire())

def test_it_is_no_later_tests():
    assert old._value == 2
    asyncio.run(asyncio.sleep(1))

@pytest.mark.parametrize("kind", [ferrio.Semaphore, ferrio.BoundedSemaphore, asyncio.BoundedSemaphore])
def test_of_this_kind(kind):
    global kept
    kept = kind(5)
    asyncio.run(kept.acquire())

def test_a_signal():
    signal.release()

def test_unlimited():
    asyncio.run(ferrio.Semaphore(float("inf")).acquire())

@pytest.mark.ferrio(semaphores=False)
def test_allowed():
    asyncio.run(old.acquire())
"""


def test_semaphores(suite):  # noqa: F811
    outcomes, text = suite(COMMON + SEMAPHORES)
    failed = [
        "test_held",
        "test_never_released",
        *(f"test_of_this_kind[{name}]" for name in ("BoundedSemaphore0", "BoundedSemaphore1", "Semaphore")),
    ]
    assert sorted(name for name, outcome in outcomes.items() if outcome != "PASSED") == failed, text
    assert "1 of 2 permit(s) taken" in text and "held by task 'holder' (test_held.<locals>.hold)." in text
    assert "1 of 3 permit(s) taken" in text and text.count("1 of 5 permit(s) taken") >= 3


def test_the_classes_of_semaphores_are_put_back():
    before = [vars(each)["__init__"] for each in _CLASSES]
    with testing.Bench(testing.Settings(semaphores=True)):
        assert all(vars(each)["__init__"] is not old for each, old in zip(_CLASSES, before, strict=True))
        semaphore = ferrio.Semaphore(value=4)
        assert semaphore._value == 4
    assert [vars(each)["__init__"] for each in _CLASSES] == before


SERVERS = """
async def serve():
    return await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)

def test_left():
    asyncio.run(serve())

def test_closed():
    async def main():
        async with await serve():
            pass
    asyncio.run(main())

def test_closed_by_its_task():
    async def main():
        async def forever():
            server = await serve()
            await server.serve_forever()
        asyncio.create_task(forever())
        await asyncio.sleep(0.1)
    asyncio.run(main())
test_closed_by_its_task = pytest.mark.ferrio(tasks=False)(test_closed_by_its_task)

@pytest.mark.ferrio(servers=False)
def test_allowed():
    asyncio.run(serve())
"""


def test_servers(suite):  # noqa: F811
    outcomes, text = suite(COMMON + SERVERS, "-W", "ignore::ResourceWarning")
    assert [name for name, outcome in outcomes.items() if outcome != "PASSED"] == ["test_left"], text
    assert "The test left a server listening at ('127.0.0.1', " in text


def test_what_was_there_before_is_frozen_during_a_test_only():
    class Kind:
        pass

    old, lost = Kind(), Kind()
    with population.set_apart((Kind,)):
        assert gc.get_freeze_count() > 1000
        new = Kind()
        del lost
        assert set(population.objects_of((Kind,))) == {old, new}
    assert gc.get_freeze_count() == 0
    assert set(population.objects_of((Kind,))) == {old, new}


def test_a_program_that_has_frozen_its_objects_keeps_them_so():
    gc.freeze()
    try:
        count = gc.get_freeze_count()
        with population.set_apart((asyncio.Lock,)):
            lock = asyncio.Lock()
            assert lock in set(population.objects_of((asyncio.Lock,)))
        assert gc.get_freeze_count() >= count - 10
    finally:
        gc.unfreeze()


FACTORY = """
import ferrio

@pytest.mark.parametrize("factory", [asyncio.SelectorEventLoop, ferrio.EventLoop])
def test_of_its_own(factory):
    with pytest.warns(RuntimeWarning, match="use ferrio.new_event_loop as the loop factory"):
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(asyncio.sleep(0))

def test_of_ferrio(recwarn):
    for module in (asyncio, ferrio):
        with module.Runner(loop_factory=ferrio.new_event_loop) as runner:
            runner.run(asyncio.sleep(3600))
    assert not recwarn.list

@pytest.mark.ferrio(virtual_time=False)
def test_real_time(recwarn):
    with asyncio.Runner(loop_factory=ferrio.EventLoop) as runner:
        runner.run(asyncio.sleep(0))
    assert not recwarn.list
"""


def test_a_loop_factory_that_has_no_virtual_time_is_told(suite):  # noqa: F811
    outcomes, text = suite(COMMON + FACTORY)
    assert set(outcomes.values()) == {"PASSED"}, text


BLOCKING = """
async def block():
    time.sleep(0.5)

@pytest.mark.ferrio(blocking=0.05)
def test_blocks():
    asyncio.run(block())

@pytest.mark.ferrio(blocking=30)
def test_is_fast_enough():
    asyncio.run(asyncio.sleep(3600))

def test_not_asked_for():
    asyncio.run(block())
"""


def test_blocking(suite):  # noqa: F811
    outcomes, text = suite(COMMON + BLOCKING)
    assert outcomes == {"test_blocks": "FAILED", "test_is_fast_enough": "PASSED", "test_not_asked_for": "PASSED"}, text
    assert "(block) blocked the loop for more than 0." in text
    assert "in block\n    time.sleep(0.5)" in text


@pytest.mark.parametrize("names", ["tasks exceptions", "all"])
def test_checks_by_configuration(suite, names):  # noqa: F811
    source = COMMON.replace("pytestmark", "unused") + TASKS + EXCEPTIONS.replace("test_allowed", "test_allowed_too")
    outcomes, text = suite(source, configuration=f'ferrio_virtual_time = true\nferrio_checks = "{names}"')
    failed = {"test_left", "test_left_in_unittest", "test_left_without_runner", "test_lost"}
    assert failed <= {name for name, outcome in outcomes.items() if outcome == "FAILED"}, text
    assert outcomes["test_allowed"] == "PASSED"


def test_wrong_configuration_is_said(suite):  # noqa: F811
    outcomes, text = suite("def test_this(): pass", configuration='ferrio_checks = "locks tsks"')
    assert outcomes == {"test_this": "ERROR"}
    assert "unknown check 'tsks'" in text


def test_nothing_is_checked_unasked(suite):  # noqa: F811
    outcomes, text = suite(COMMON.replace("checks=True, ", "") + TASKS)
    assert set(outcomes.values()) == {"PASSED"}, text
