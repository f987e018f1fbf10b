"""Lets memory run out at each allocation of CPython's in turn, in a program of everything: a part of `make faults`.

    python -m tests.faults.memory --step 20          # every 20th allocation of each part
    python -m tests.faults.memory --only tcp --first 17 --count 1 -v

Each case is a process of its own, forked from one in which the part ran already. After it: no crash, no hang, and the
loop goes on and closes. `_testcapi.set_nomemory` reaches what CPython allocates; the engine's own growth is the matter
of `crates/ferrio-engine/tests/out_of_memory.rs`.
"""

import _testcapi
import argparse
import asyncio
import collections
import contextlib
import faulthandler
import importlib
import io
import json
import os
import re
import sys
import time
import warnings

from tests.faults import scenes

HANGS = 15  # seconds that no case takes
PATIENCE = 3  # seconds for a part, which may wait for what an error kept from happening


def outcome(aio, scene, first, last):
    """Runs a part whose allocations from `first` to before `last` fail, or to the end if `last` is 0.

    Returns the result of it, and what is wrong.
    """
    wrong, text = [], "nothing"
    try:
        loop = aio.new_event_loop()
        reports = []

        def handler(loop, context):
            _testcapi.remove_mem_hooks()
            reports.append(context)

        loop.set_exception_handler(handler)

        async def program():
            _testcapi.set_nomemory(first, last)
            return await scene(aio)

        try:
            loop.run_until_complete(aio.wait_for(program(), PATIENCE))
            text = "reported" if reports else "fine"
        except BaseException as error:
            text = type(error).__name__
        finally:
            _testcapi.remove_mem_hooks()
        if asyncio._get_running_loop() is not None or loop.is_running():
            wrong.append("a loop is still running")
            asyncio._set_running_loop(None)
        loop.run_until_complete(aio.wait_for(aio.sleep(0.0001), 5))
        for _ in range(3):
            if tasks := aio.all_tasks(loop):
                for task in tasks:
                    task.cancel()
                loop.run_until_complete(aio.wait(tasks, timeout=2))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
    except BaseException as error:
        _testcapi.remove_mem_hooks()
        wrong.append(f"the loop can't go on: {error!r}")
    return text, wrong


def in_a_child(aio, scene, first, last):
    """The same in a forked process, which may crash."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        faulthandler.dump_traceback_later(HANGS, exit=True, file=write)
        with contextlib.redirect_stderr(io.StringIO()), warnings.catch_warnings(action="ignore"):
            answer = outcome(aio, scene, first, last)
        os.write(write, json.dumps(answer).encode())
        os._exit(0)
    os.close(write)
    with open(read, "rb") as answers:
        answer = answers.read().decode()
    _, status = os.waitpid(child, 0)
    if answer.startswith("["):
        return tuple(json.loads(answer))
    if not answer:
        return "crash", [f"status {os.waitstatus_to_exitcode(status)}"]
    # CPython's own: a thread whose beginning fails never tells the one that starts it.
    if 'threading.py"' in answer and re.search(r" in wait\n.* in wait\n.* in start\n", answer):
        return "hang in Thread.start", []
    return "hang", [answer]


def allocations(aio, scene):
    """Returns how many allocations a part makes: if all later ones fail, nothing changes."""
    low, high = 0, 64
    while in_a_child(aio, scene, high, 0)[0] != "fine":
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        fails = in_a_child(aio, scene, middle, 0)[0] != "fine"
        low, high = (middle, high) if fails else (low, middle)
    return high


def main():
    """Prints what is wrong and a summary; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", default=[scene.__name__ for scene in scenes.SCENES])
    parser.add_argument("--on", default="ferrio", choices=["ferrio", "asyncio"])
    parser.add_argument("--first", type=int, default=0, help="the first allocation that fails")
    parser.add_argument("--count", type=int, help="how many of them (all)")
    parser.add_argument("--step", type=int, default=1, help="the distance of those that fail")
    parser.add_argument("-v", "--verbose", action="store_true", help="print every case")
    given = parser.parse_args()
    aio = importlib.import_module(given.on)
    warnings.filterwarnings("ignore", category=DeprecationWarning)  # forks, while threads of an executor may exist
    started, failed, total = time.monotonic(), 0, collections.Counter()
    for name in given.only:
        scene = getattr(scenes, name)
        for _ in range(2):  # imports modules
            aio.run(scene(aio))
        last = given.first + given.count * given.step if given.count else allocations(aio, scene)
        came = collections.Counter()
        for number in range(given.first, last, given.step):
            text, wrong = in_a_child(aio, scene, number, number + 1)
            came[text] += 1
            failed += bool(wrong)
            if wrong or given.verbose:
                print(f"{name}: allocation {number}: {text}; {'; '.join(wrong)}", flush=True)
        print(f"{name}: {last} allocations, {dict(came.most_common())}", flush=True)
        total += came
    print(f"memory, Python {sys.version.split()[0]}, {given.on}: {total.total()} cases, {failed} wrong; {dict(total)}")
    print(f"{time.monotonic() - started:.0f} seconds")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
