"""`import ferrio` imports little more than `import asyncio`, so that short programs start as quickly. But it imports at
once everything that it needs of asyncio's modules."""

from tests.unit.programs import run_program

# These are small, or needed by definitions at import time. Anything else is imported where it is needed.
# `_xxsubinterpreters` is built in, and up to Python 3.12 it tells which interpreter this is.
ALLOWED = {"__future__", "_typing", "_xxsubinterpreters", "copy", "dataclasses", "gc", "typing"}

PROGRAM = """
import asyncio, sys
before = set(sys.modules)
import ferrio
print(*sorted(name for name in set(sys.modules) - before if name.partition(".")[0] != "ferrio"))
"""


def test_import_adds_no_module_that_asyncio_does_not():
    surplus = set(run_program(PROGRAM).split()) - ALLOWED
    assert not surplus, f"import these where they are needed, not at the top of a module: {surplus}"


SWITCHED = """
import asyncio, importlib, pkgutil, sys

from tests.unit.programs import run_program
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


def test_import_gets_what_it_needs_before_modules_are_replaced():
    # On Python 3.14 the function of asyncio that returns the current task was looked up at a task's first step. If
    # ferrio's own had replaced it by then, it called itself until the stack was full.
    assert run_program(SWITCHED) == "(['slept', 'waited'], True)\n"
