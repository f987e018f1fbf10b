"""Looks into a busy program from outside, again and again, and counts what goes wrong, on asyncio and on ferrio.

    python many_tasks.py [TASKS] [LOOKS]      10,000 tasks and 200 looks unless told otherwise

The program's tasks begin, wait for each other and end all the while. The reader stops nobody, so it may see a list that
is just being changed. Then it reports an error, or prints a row that makes no sense. ferrio should cause no more of
that than asyncio does, and no program may end because it is looked at.
"""

import asyncio
import collections
import importlib
import re
import subprocess
import sys

WAYS = {
    "asyncio": [__file__, "--serve", "asyncio"],
    "import ferrio as asyncio": [__file__, "--serve", "ferrio"],
    "python -m ferrio": ["-m", "ferrio", __file__, "--serve", "asyncio"],
}
ROW = re.compile(r"\d+ +0x[0-9a-f]+ +(worker_\d+|child_\d+|Task-1) +(.*)")
COROUTINES = {"worker", "child", "serve", "sleep", "gather", "wait", "_wait", ""}


async def child():
    await asyncio.sleep(0)


async def worker(number):
    while True:
        await asyncio.wait([asyncio.create_task(child(), name=f"child_{number}")])


async def serve(tasks):
    """Keeps this many tasks busy."""
    kept = [asyncio.create_task(worker(number), name=f"worker_{number}") for number in range(tasks)]
    await asyncio.sleep(0)
    print("ready", flush=True)
    await asyncio.gather(*kept)


def look(pid):
    """Looks once and returns what that was: "whole", "garbled", "empty", or the error that the reader reports."""
    command = [sys.executable, "-m", "asyncio", "ps", str(pid)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    if done.returncode:
        return re.sub(r"0x[0-9a-f]+|\d+", "N", done.stdout.strip().splitlines()[-1])
    _, _, *lines = done.stdout.splitlines()
    if not lines:
        return "empty"
    for line in lines:
        found = ROW.fullmatch(line.strip())
        words = set(re.split(r" -> | {2,}", found[2])) if found else {"?"}
        names = {word for word in words if not re.fullmatch(r"0x[0-9a-f]+|worker_\d+|child_\d+|Task-1|Unknown", word)}
        if names - COROUTINES:
            return "garbled"
    return "whole"


def compare(tasks, looks):
    """Returns for each way how often a look saw what, and whether the program was alive at the end."""
    found = {}
    for way, arguments in WAYS.items():
        command = [sys.executable, *arguments, str(tasks)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout.readline() == "ready\n"
            seen = collections.Counter(look(process.pid) for _ in range(looks))
            found[way] = seen, process.poll() is None
            process.kill()
    return found


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        asyncio = importlib.import_module(sys.argv[2])
        asyncio.run(serve(int(sys.argv[3])))
    else:
        numbers = [int(argument) for argument in sys.argv[1:]]
        for way, (seen, alive) in compare(*(numbers + [10_000, 200][len(numbers) :])).items():
            print(f"{way}: {'alive' if alive else 'DEAD'}, {dict(seen)}")
