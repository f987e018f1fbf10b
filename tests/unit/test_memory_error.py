"""What a program gets when memory runs out while something that it makes grows: `MemoryError`, and a usable loop.

The bodies run in a child whose address space is limited, because the limit holds for the whole process.
"""

import os
import subprocess
import sys

import pytest

PROGRAM = """
import importlib, resource, sys
aio = importlib.import_module(sys.argv[1])

def size():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[0]) * resource.getpagesize()

def grow(kind, loop):
    queue, nothing = aio.Queue(), bytes(10)
    while True:
        if kind == "callbacks":
            loop.call_soon(int)
        elif kind == "timers":
            loop.call_later(1000, int)
        elif kind == "posts":
            loop.call_soon_threadsafe(int)
        elif kind == "items":
            queue.put_nowait(nothing)

async def tasks():
    return [aio.ensure_future(aio.sleep(1000)) for _ in iter(int, 1)]

async def writes():
    ours, theirs = __import__("socket").socketpair()
    reader, writer = await aio.open_connection(sock=ours)
    try:
        while True:
            writer.write(bytearray(1_000_000))
    finally:
        writer.transport.abort()
        theirs.close()

async def main():
    kind, loop = sys.argv[2], aio.get_running_loop()
    resource.setrlimit(resource.RLIMIT_AS, (size() + 20_000_000, resource.RLIM_INFINITY))
    try:
        if kind == "tasks":
            await tasks()
        elif kind == "writes":
            await writes()
        else:
            grow(kind, loop)
    except MemoryError:
        pass
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    await aio.wait_for(aio.sleep(0.001), 100)
    called = loop.create_future()
    loop.call_soon_threadsafe(called.set_result, "goes on")
    print(await called)
    sys.stdout.flush()
    __import__("os")._exit(0)

aio.run(main())
"""


@pytest.mark.parametrize("kind", ["callbacks", "timers", "posts", "items", "tasks", "writes"])
@pytest.mark.parametrize("implementation", ["asyncio", "ferrio"])
def test_loop_goes_on_after_a_memory_error(kind, implementation):
    command = [sys.executable, "-c", PROGRAM, implementation, kind]
    # Rust's backtrace of a panic needs memory itself.
    environment = os.environ | {"RUST_BACKTRACE": "0"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout) == (0, "goes on\n"), done.stderr
