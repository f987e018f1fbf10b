"""`ferrio.testing` and its pytest plugin, with nothing but pytest.

Real test files are run by pytest in a process of its own. tests/testing has other people's plugins. Each suite below
has several tests, because starting pytest takes a second.
"""

import subprocess
import sys

import pytest

import ferrio
from ferrio import testing

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.timeout(240)  # a suite takes seconds, or longer on a busy machine


@pytest.fixture
def suite(pytester):
    """Runs a test file; returns the outcome of each of its tests, and all that pytest said."""

    def run(source, *arguments, configuration=""):
        pytester.makepyprojecttoml("[tool.pytest.ini_options]\n" + configuration)
        path = pytester.makepyfile(test_suite=source)
        done = pytester.runpytest_subprocess(
            "-p", "no:cacheprovider", "-p", "no:hypothesispytest", "-rA", "-W", "error", *arguments, path
        )
        text = done.stdout.str()
        outcomes = {}
        for line in text.splitlines():
            word, _, rest = line.partition(" ")
            if word in ("PASSED", "FAILED", "ERROR", "SKIPPED") and "::" in rest:
                outcomes.setdefault(rest.split(" - ")[0].split("::")[-1], word)
        assert outcomes, text + done.stderr.str()
        return outcomes, text

    return run


TIME = """
import asyncio, threading, time, unittest
import pytest
import ferrio
from ferrio import testing

virtual = pytest.mark.ferrio(virtual_time=True)

async def sleep_an_hour():
    loop = asyncio.get_running_loop()
    assert loop.time() == 0
    await asyncio.sleep(3600)
    assert loop.time() == testing.current_clock().time == 3600

@virtual
@pytest.mark.parametrize("run", [asyncio.run, ferrio.run])
def test_run(run):
    run(sleep_an_hour())

@virtual
class TestUnittest(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self):
        await asyncio.sleep(60)

    async def test_of_unittest(self):
        assert asyncio.get_running_loop().time() == 60
        await asyncio.sleep(3600)
        assert testing.current_clock().time == 3660

@virtual
def test_clock(ferrio_clock):
    assert ferrio_clock.time == 0
    ferrio_clock.advance(7)

    async def main():
        late = asyncio.get_running_loop().call_later(5, list)
        ferrio_clock.advance(3)
        assert asyncio.get_running_loop().time() == ferrio_clock.time == 10
        await ferrio_clock.sleep_until(20)
        assert ferrio_clock.time == 20
        await ferrio_clock.sleep_until(1)
        assert ferrio_clock.time == 20

    asyncio.run(main())
    assert asyncio.run(asyncio.sleep(2, "again")) == "again"
    assert ferrio_clock.time == 22

@virtual
def test_threads_and_processes_hold_the_clock(ferrio_clock):
    async def main():
        released = threading.Event()
        waiting = asyncio.create_task(asyncio.to_thread(released.wait))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        released.set()
        assert await waiting
        child = await asyncio.create_subprocess_exec("true")
        assert await child.wait() == 0
        assert ferrio_clock.time == 0

    asyncio.run(main())

@virtual
@pytest.mark.filterwarnings("ignore:the test wants virtual time")
def test_own_loop_factory_wins():
    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        assert not isinstance(runner.get_loop(), ferrio.EventLoop)

def test_unmarked_test_has_real_time():
    assert asyncio.run(where()) == "asyncio.unix_events"

@pytest.mark.ferrio
def test_mark_alone_chooses_the_loop():
    assert asyncio.run(where()).startswith("ferrio.")

async def where():
    return type(asyncio.get_running_loop()).__module__

def test_clock_needs_virtual_time(ferrio_clock):
    pass

@pytest.mark.ferrio(virtual_tme=True)
def test_misspelt():
    pass
"""

EXPECTED_OF_TIME = {
    "test_run[run0]": "PASSED",
    "test_run[run1]": "PASSED",
    "test_of_unittest": "PASSED",
    "test_clock": "PASSED",
    "test_threads_and_processes_hold_the_clock": "PASSED",
    "test_own_loop_factory_wins": "PASSED",
    "test_unmarked_test_has_real_time": "PASSED",
    "test_mark_alone_chooses_the_loop": "PASSED",
    "test_clock_needs_virtual_time": "ERROR",
    "test_misspelt": "ERROR",
}


@pytest.mark.parametrize("setting", ["", "ferrio = true"])
def test_virtual_time(suite, setting):
    expected = dict(EXPECTED_OF_TIME)
    if setting:
        expected["test_unmarked_test_has_real_time"] = "FAILED"  # it runs on ferrio's loop
        expected["test_own_loop_factory_wins"] = "FAILED"  # and so does that name
    outcomes, text = suite(TIME, configuration=setting)
    assert outcomes == expected, text
    assert "ferrio_clock needs virtual time" in text
    assert "unknown option 'virtual_tme'" in text


def test_virtual_time_under_xdist(suite):
    outcomes, text = suite(TIME, "-n", "2")
    assert outcomes == EXPECTED_OF_TIME, text


def test_virtual_time_by_configuration(suite):
    source = """
import asyncio, pytest
from ferrio.testing import current_clock

def test_all_have_it():
    asyncio.run(asyncio.sleep(3600))
    assert current_clock().time == 3600

@pytest.mark.ferrio(virtual_time=False)
def test_but_not_this():
    with pytest.raises(RuntimeError, match="no virtual time"):
        current_clock()
"""
    outcomes, text = suite(source, configuration="ferrio_virtual_time = true")
    assert outcomes == {"test_all_have_it": "PASSED", "test_but_not_this": "PASSED"}, text


FOREVER = """
import asyncio, signal, socket, threading, unittest
import pytest
from ferrio.testing import WaitsForever

pytestmark = pytest.mark.ferrio(virtual_time=True, patience=0.2)

async def wait_in_a_circle():
    async def first():
        async with one:
            await asyncio.sleep(1)
            async with two:
                pass

    async def second():
        async with two:
            await asyncio.sleep(1)
            async with one:
                pass

    one, two = asyncio.Lock(), asyncio.Lock()
    async with asyncio.TaskGroup() as group:
        group.create_task(first(), name="first")
        group.create_task(second(), name="second")

def test_circle():
    asyncio.run(wait_in_a_circle())

class TestUnittest(unittest.IsolatedAsyncioTestCase):
    async def test_of_unittest(self):
        await asyncio.Event().wait()

def test_descriptor_nobody_writes_to():
    left, right = socket.socketpair()
    with left, right:
        left.setblocking(False)
        async def main():
            await asyncio.get_running_loop().sock_recv(left, 1)
        with pytest.raises(WaitsForever, match="1 descriptor"):
            asyncio.run(main())

def test_thread_that_never_wakes_the_loop():
    released = threading.Event()
    thread = threading.Thread(target=released.wait, name="idle")
    thread.start()
    with pytest.raises(WaitsForever, match="other threads .idle."):
        asyncio.run(asyncio.Event().wait())
    released.set()
    thread.join()

@pytest.mark.ferrio(patience=30)
def test_thread_that_wakes_the_loop():
    async def main():
        event, loop = asyncio.Event(), asyncio.get_running_loop()
        about_to_wait = threading.Event()

        def wake():
            about_to_wait.wait()
            loop.call_soon_threadsafe(event.set)

        thread = threading.Thread(target=wake)
        thread.start()
        loop.call_soon(about_to_wait.set)
        await event.wait()
        thread.join()

    asyncio.run(main())

@pytest.mark.ferrio(patience=30)
def test_signal_that_wakes_the_loop():
    async def main():
        event, loop = asyncio.Event(), asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGUSR1, event.set)
        asyncio.create_task(asyncio.to_thread(signal.raise_signal, signal.SIGUSR1))
        await event.wait()

    asyncio.run(main())

def test_program_that_handles_every_exception():
    async def main():
        while True:
            try:
                await asyncio.Event().wait()
            except Exception:
                pass
    with pytest.raises(WaitsForever):
        asyncio.run(main())
"""


@pytest.mark.parametrize("arguments", [[], ["-n", "1"]], ids=["alone", "xdist"])
def test_test_that_would_wait_for_ever_fails(suite, arguments):
    outcomes, text = suite(FOREVER, "--timeout=60", *arguments)
    failed = [name for name, outcome in outcomes.items() if outcome != "PASSED"]
    assert sorted(failed) == ["test_circle", "test_of_unittest"], text
    assert "A circle: task 'first' (wait_in_a_circle.<locals>.first) waits for task 'second'" in text
    assert "It waits in `Event.wait`" in text
    assert "Nothing can wake the loop any more" in text


def test_virtual_time_without_pytest():
    async def main():
        await ferrio.sleep(3600)
        return clock.time

    before = ferrio.new_event_loop
    with testing.virtual_time() as clock:
        assert ferrio.run(main()) == 3600
        assert testing.current_clock() is clock
        with pytest.raises(RuntimeError, match="can't be nested"), testing.virtual_time():
            pass
        with pytest.raises(testing.WaitsForever, match=r"task 'Task-\d+' \(Event.wait\)"):
            ferrio.run(ferrio.Event().wait())
    assert ferrio.new_event_loop is before
    with pytest.raises(RuntimeError, match="no virtual time"):
        testing.current_clock()


def test_clock_is_refused_a_step_back():
    with testing.virtual_time() as clock:
        with pytest.raises(ValueError, match="can't move"):
            clock.advance(-1)
        assert repr(clock) == "<Clock at 0.0 s>"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"tasks": "yes"}, "tasks must be True or False"),
        ({"checks": 1}, "checks must be True or False"),
        ({"blocking": 0}, "blocking must be a positive number"),
        ({"patience": True}, "patience must be a positive number"),
        ({"wall_clock": True}, "needs virtual_time=True"),
        ({"nothing": 1}, "unknown option 'nothing'"),
    ],
)
def test_wrong_settings_are_refused(options, said):
    with pytest.raises(ValueError, match=said):
        testing.Settings().changed(options)


def test_settings_of_marks():
    made = testing.Settings().with_checks(["tasks"]).changed({"checks": True, "locks": False}, {"blocking": 2})
    assert (made.tasks, made.transports, made.locks, made.blocking) == (True, True, False, 2)
    assert not made.changed({"checks": False, "blocking": False}).tasks
    with pytest.raises(ValueError, match="unknown check 'task'"):
        testing.Settings().with_checks(["task"])


def test_importing_ferrio_imports_no_testing():
    program = "import ferrio, sys; assert not [name for name in sys.modules if name.startswith('ferrio.testing')]"
    subprocess.run([sys.executable, "-c", program], check=True)
    program = "import ferrio.testing, sys; assert 'pytest' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)
