"""What `import ferrio` brings in: little more than `import asyncio`, so that short programs start as quickly; but all
that it needs of asyncio's modules, at once."""

import subprocess
import sys

# Small, or needed by what is declared at import time. Whatever else is needed is imported where it is.
# `_xxsubinterpreters` is built in, and tells up to Python 3.12 which interpreter this is.
ALLOWED = {"__future__", "_typing", "_xxsubinterpreters", "copy", "dataclasses", "gc", "typing"}

PROGRAM = """
import asyncio, sys
before = set(sys.modules)
import ferrio
print(*sorted(name for name in set(sys.modules) - before if name.partition(".")[0] != "ferrio"))
"""


def test_brings_in_no_module_that_asyncio_does_not():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=True)
    surplus = set(done.stdout.split()) - ALLOWED
    assert not surplus, f"import these where they are needed, not at the top of a module: {surplus}"


SWITCHED = """
import asyncio, importlib, pkgutil, sys
import ferrio
ours = {found.name for found in pkgutil.iter_modules(ferrio.__path__)}
for found in pkgutil.iter_modules(asyncio.__path__):
    if found.name in ours and not found.name.startswith("_"):
        sys.modules["asyncio." + found.name] = importlib.import_module("ferrio." + found.name)
sys.modules["asyncio"] = ferrio

async def main():
    async with ferrio.Lock(), ferrio.timeout(60), ferrio.TaskGroup() as group:
        task = group.create_task(ferrio.sleep(0, "slept"))
        current = ferrio.current_task()
    return await ferrio.gather(task, ferrio.wait_for(ferrio.sleep(0, "waited"), 60)), current in ferrio.all_tasks()

print(ferrio.run(main()))
"""


def test_has_what_it_needs_of_asyncio_before_other_modules_stand_there():
    # On Python 3.14 asyncio's function that tells the current task was looked up at a task's first step. Where ferrio's
    # own stood in its place, that one called itself until the stack was full.
    done = subprocess.run([sys.executable, "-c", SWITCHED], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("(['slept', 'waited'], True)\n", "")
