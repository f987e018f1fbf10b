"""Programs for tests that look at them from outside: with an agent, or without."""

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
import threading

from ferrio.cli import programs

# A program's line when it is ready to be looked at. Programs of several processes write it, with its end, at once.
READY = "ready"
# How many seconds it has for that.
PATIENCE = 60

# Tasks of each kind of wait; the program goes on until its standard input ends.
WAITS = """
import os, socket, sys
import ferrio as asyncio

async def hold(lock, other):
    async with lock:
        await other

async def consume(queue):
    await queue.get()

async def count():
    while True:
        await asyncio.sleep(0.001)

async def until_the_end():
    loop = asyncio.get_running_loop()
    ended = loop.create_future()
    loop.add_reader(0, lambda: ended.done() or ended.set_result(None))
    print(f"ready {os.getpid()}{os.linesep}", end="", flush=True)
    await ended

async def main():
    lock, queue = asyncio.Lock(), asyncio.Queue(3)
    near, far = socket.socketpair()
    reader, writer = await asyncio.open_unix_connection(sock=near)
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(hold(lock, asyncio.get_running_loop().create_future()), name="holder"),
            group.create_task(hold(lock, None), name="waiter"),
            group.create_task(consume(queue), name="consumer"),
            group.create_task(asyncio.sleep(1000), name="sleeper"),
            group.create_task(count(), name="counter"),
            group.create_task(reader.readline(), name="reader"),
        ]
        group.create_task(asyncio.gather(tasks[3], return_exceptions=True) and until_the_end(), name="end")
        await asyncio.wait([tasks[3], *[t for t in asyncio.all_tasks() if t.get_name() == "end"]],
                           return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
    writer.close()

asyncio.run(main())
"""

# The same with the standard library's objects, on ferrio's loop.
WAITS_OF_THE_STANDARD_LIBRARY = WAITS.replace("import ferrio as asyncio", "import asyncio, ferrio").replace(
    "asyncio.run(", "ferrio.run("
)


@contextlib.contextmanager
def program(source, *, options=(), environment=None, ready=1, opted_in=True):
    """Starts a program and gives it, with its process numbers in `pids`, when it has said that it is `ready` times.

    Its standard input stays open until the end; then it is expected to end well, unless it was killed.
    """
    variables = {**os.environ, "PYTHONFAULTHANDLER": "1", **(environment or {})}
    variables["FERRIO_SIGHT"] = "1" if opted_in else "0"
    started = subprocess.Popen(
        [sys.executable, *options, "-c", textwrap.dedent(source)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=variables,
        start_new_session=True,
    )
    killed, failure = False, None
    # If it never says so, it and its children end with the stacks of their threads.
    hangs = threading.Timer(PATIENCE, os.killpg, [started.pid, signal.SIGABRT])
    hangs.start()
    try:
        started.pids = []
        while len(started.pids) < ready:
            line = started.stdout.readline()
            assert line, f"the program has ended: {started.stderr.read()}"
            if line.startswith(READY):
                started.pids += [int(number) for number in line.split()[1:]]
        hangs.cancel()
        yield started
    except BaseException as error:
        killed, failure = True, error
        started.send_signal(signal.SIGKILL)
        raise
    finally:
        hangs.cancel()
        killed = killed or started.poll() is not None
        _output, started.errors = started.communicate(timeout=60)
        if failure is not None and started.errors:
            failure.add_note(f"the program's errors:\n{started.errors}")
    if not killed:
        assert started.returncode == 0, started.errors
        assert not started.errors, started.errors


def look(pid, **request):
    """Returns the tasks of a program by name, and the whole reply."""
    seen = programs.open_program(pid)
    try:
        reply = seen.ask({"do": "tasks", **request})
    finally:
        seen.close()
    return {row["name"]: row for row in reply["tasks"]}, reply
