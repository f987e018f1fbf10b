"""py-spy: the stacks of a process, dumped while a task blocks its loop, while the loop waits, and while threads work
for it; samples of a busy program.
"""

import asyncio
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import threading

from common import report_loop

PY_SPY = str(pathlib.Path(sys.executable).with_name("py-spy"))


def dump():
    """Returns the functions of this file on each thread's stack, outermost first, by the threads' names."""
    command = [PY_SPY, "dump", "--json", "--pid", str(os.getpid())]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    found = {}
    for thread in json.loads(done.stdout):
        names = [
            frame["name"] for frame in thread["frames"] if frame["filename"] == __file__ and frame["name"] != "<module>"
        ]
        found[thread["thread_name"].rpartition("_")[0] or thread["thread_name"]] = names[::-1]
    return sorted(item for item in found.items() if item[1])


def blocks():
    return dump()


async def awaits():
    await asyncio.sleep(0)
    return blocks()


async def blocked():
    print("in a task:", await asyncio.create_task(awaits()))
    done = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(lambda: done.set_result(blocks()))
    print("in a callback:", await done)


async def waiting():
    print("waits:", await asyncio.to_thread(dump))


def in_a_thread(started, end):
    started.release()
    end.wait()


async def threads():
    started, end = threading.Semaphore(0), threading.Event()
    tasks = [asyncio.create_task(asyncio.to_thread(in_a_thread, started, end)) for _ in range(2)]
    await asyncio.sleep(0)
    for _ in tasks:
        await asyncio.to_thread(started.acquire)
    print("threads:", dump())
    end.set()
    await asyncio.gather(*tasks)


def spin(profiler):
    while profiler.poll() is None:
        pass


async def busy(profiler):
    await asyncio.sleep(0)
    spin(profiler)


async def sampled():
    with tempfile.TemporaryDirectory() as directory:
        file = os.path.join(directory, "samples")
        command = [PY_SPY, "record", "--format", "raw", "--duration", "1", "--output", file, "--pid", str(os.getpid())]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as profiler:
            await asyncio.create_task(busy(profiler))
        samples = pathlib.Path(file).read_text().splitlines()
    stacks = {line.rpartition(" ")[0] for line in samples}
    print("sampled:", any("busy (with_py_spy.py" in stack and "spin (with_py_spy.py" in stack for stack in stacks))


async def main():
    report_loop()
    for part in (blocked, waiting, threads, sampled):
        await part()


if __name__ == "__main__":
    asyncio.run(main())
