"""What `import ferrio` brings in: little more than `import asyncio`, so that short programs start as quickly."""

import subprocess
import sys

# Small, or needed by what is declared at import time. Whatever else is needed is imported where it is.
ALLOWED = {"__future__", "_typing", "copy", "dataclasses", "gc", "typing"}

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
