"""A loop that nothing can wake says so, with who waits for whom; one that something can still wake says nothing.

The programs run in processes of their own, because pytest's time limit is a signal handler that could wake a loop.
"""

import os
import signal
import subprocess
import sys
import textwrap

import pytest
from tests.unit.programs import run_program

import ferrio
from ferrio.sight import stuck

# Prints the reports, and cancels all tasks at the first one.
PREFACE = """
import asyncio, logging, signal, subprocess, sys, threading, time

class Report(logging.Handler):
    def emit(self, record):
        print(record.getMessage())
        for task in asyncio.all_tasks():
            task.cancel()

logging.getLogger("asyncio").addHandler(Report())
"""

END = """
try:
    asyncio.run(main())
except asyncio.CancelledError:
    print("cancelled")
"""


def run_on_ferrio(tmp_path, body, *options):
    file = tmp_path / "app.py"
    return run_program(PREFACE + textwrap.dedent(body) + END, file=file, options=("-m", "ferrio", *options))


LOCK_CYCLE = """
async def hold(first, second, all_hold):
    async with first:
        await all_hold.wait()
        async with second:
            pass

async def main():
    locks = [asyncio.Lock() for _ in range(3)]
    all_hold = asyncio.Barrier(3)
    async with asyncio.TaskGroup() as group:
        for at, name in enumerate("abc"):
            group.create_task(hold(locks[at], locks[(at + 1) % 3], all_hold), name=name)
"""


@pytest.mark.parametrize("option", ["--watch=100", "--debug"])
def test_a_circle_of_three_tasks_and_their_locks(option, tmp_path):
    said = run_on_ferrio(tmp_path, LOCK_CYCLE, option)
    assert said.startswith("Nothing can wake <EventLoop running=True"), said
    assert "4 task(s) wait:" in said
    assert "- task 'a' (hold): It waits in `async with` for <" in said
    assert "held by task 'b' (hold)." in said
    assert "in hold\n    async with second:" in said
    assert "A circle: task 'a' (hold) waits for task 'b' (hold) waits for task 'c' (hold) waits for task 'a'" in said
    assert "It waits in `TaskGroup.__aexit__` for " in said
    assert said.endswith("cancelled\n")
    assert said.count("Nothing can wake") == 1


def test_a_queue_that_nobody_fills(tmp_path):
    body = """
        async def main():
            orders = asyncio.Queue(3)
            await asyncio.wait_for(orders.get(), None)
    """
    said = run_on_ferrio(tmp_path, body, "--watch=100")
    assert "It waits in `Queue.get` for <Queue " in said
    assert "maxsize=3" in said and "which has 0 item(s)" in said
    assert "await asyncio.wait_for(orders.get(), None)" in said
    assert "A circle" not in said


def test_a_future_that_nobody_sets_and_its_gatherers(tmp_path):
    body = """
        async def wait_for_nothing():
            await asyncio.get_running_loop().create_future()

        async def main():
            task = asyncio.create_task(wait_for_nothing(), name="forlorn")
            await asyncio.gather(task, asyncio.shield(task))
    """
    said = run_on_ferrio(tmp_path, body, "--watch=100")
    assert "- task 'forlorn' (wait_for_nothing): It waits for <Future pending" in said
    assert "(main): It waits for task 'forlorn' (wait_for_nothing)" in said


def test_circles_are_found_once_and_without_what_leads_to_them(monkeypatch):
    class Task:
        def get_coro(self):
            pass

    w, x, y, z = (Task() for _ in range(4))
    waits_for = {w: x, x: y, y: z, z: x}
    monkeypatch.setattr(stuck.waits, "subjects", lambda task: ("", [waits_for[task]]))
    assert stuck.cycles([w, x, y, z]) == [[x, y, z, x]]


@pytest.mark.parametrize("option", ["--watch=100", "--debug"])
@pytest.mark.parametrize(
    "wait",
    [
        "await asyncio.to_thread(time.sleep, 1.3)",
        "await (await asyncio.create_subprocess_exec(sys.executable, '-c', 'import time; time.sleep(1.3)')).wait()",
        """
        waker = threading.Timer(1.3, lambda: loop.call_soon_threadsafe(future.set_result, None))
        waker.start()
        await future
        """,
        """
        loop.add_signal_handler(signal.SIGALRM, future.set_result, None)
        signal.setitimer(signal.ITIMER_REAL, 1.3)
        await future
        """,
        """
        signal.signal(signal.SIGALRM, lambda *_: loop.call_soon_threadsafe(future.set_result, None))
        signal.setitimer(signal.ITIMER_REAL, 1.3)
        await future
        """,
        "await asyncio.sleep(1.3)",
    ],
    ids=["thread job", "child", "other thread", "signal handler of the loop", "signal handler", "timer"],
)
def test_a_loop_that_something_can_wake_says_nothing(wait, option, tmp_path):
    body = """
async def main():
    loop = asyncio.get_running_loop()
    future = loop.create_future()
""" + textwrap.indent(textwrap.dedent(wait), "    ")
    said = run_on_ferrio(tmp_path, body, option)
    assert "Nothing can wake" not in said
    assert "cancelled" not in said


def test_nothing_is_said_without_a_switch(tmp_path):
    body = """
        async def main():
            waker = threading.Timer(1.3, lambda: None)
            loop = asyncio.get_running_loop()
            future = loop.create_future()
            signal.signal(signal.SIGALRM, lambda *_: loop.call_soon_threadsafe(future.set_result, None))
            signal.setitimer(signal.ITIMER_REAL, 1.3)
            await future
    """
    assert run_on_ferrio(tmp_path, body) == ""


def dumped(tmp_path, *options, environment=None):
    """Runs a program that waits for ever, sends it SIGUSR1, and returns what it prints then."""
    file = tmp_path / "app.py"
    file.write_text(
        textwrap.dedent(
            """
            import sys
            import ferrio as asyncio

            async def get(queue):
                await queue.get()

            async def main():
                asyncio.create_task(get(asyncio.Queue()), name="consumer")
                await asyncio.sleep(0)
                print("ready", flush=True)
                await asyncio.sleep(600)

            asyncio.run(main())
            """
        )
    )
    child = subprocess.Popen(
        [sys.executable, *options, file],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, **(environment or {})},
    )
    with child:
        try:
            assert child.stdout.readline() == "ready\n"
            said, dumps = "", 0
            # It can be asked again, even while it prints. At first the main task may still be running.
            while dumps < 20 or "asyncio.sleep(600)" not in said:
                child.send_signal(signal.SIGUSR1)
                said = line = ""
                while "await queue.get()" not in line:
                    line = child.stdout.readline()
                    assert line, said
                    said += line
                dumps += 1
        finally:
            child.kill()
    return said


def test_a_signal_prints_the_tree_of_a_live_program(tmp_path):
    for said in (
        dumped(tmp_path, "-m", "ferrio", "--dump-signal"),
        dumped(tmp_path, "-m", "ferrio", "--dump-signal=SIGUSR1"),
        dumped(tmp_path, environment={"FERRIO_DUMP_SIGNAL": "USR1"}),
    ):
        assert "in thread 'MainThread': 2 task(s) wait:" in said
        assert "- task 'consumer' (get): It waits in `Queue.get` for <Queue" in said
        assert "await queue.get()" in said


def test_the_tree_shows_the_stack_of_the_running_task():
    async def main():
        return stuck.tree(ferrio.all_tasks())

    said = ferrio.run(main())
    assert "It runs, or is about to." in said
    assert "return stuck.tree(ferrio.all_tasks())" in said


@pytest.mark.parametrize("name", ["NO", "KILL", "SIGSTOP"])
def test_a_signal_that_cannot_be_handled(name):
    done = subprocess.run(
        [sys.executable, "-m", "ferrio", f"--dump-signal={name}", "-c", ""],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert f"--dump-signal={name}: a signal that can be handled is needed, such as USR1" in done.stderr
