"""Builds the extension module in C that uses the loop's C interface, and loads it (fixture `ext`)."""

import asyncio
import gc
import importlib.util
import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest
from tests.repo.sources import ROOT

HEADERS = Path(sysconfig.get_path("include"))
COMPILER = shutil.which("cc")
NEEDS_COMPILER = pytest.mark.skipif(
    COMPILER is None or not (HEADERS / "Python.h").exists(), reason="needs a C compiler and Python's headers"
)


def compiled(path, *options):
    """Compiles a file that includes `ferrio.h`; a warning is an error."""
    subprocess.run([COMPILER, "-Wall", "-Wextra", "-Werror", f"-I{ROOT / 'include'}", *options, path], check=True)


def build(where):
    """Builds the module in the directory `where`."""
    source = Path(__file__).with_name("c_interface.c")
    compiled(source, "-std=gnu11", "-shared", "-fPIC", "-pthread", f"-isystem{HEADERS}", "-o", where / "c_interface.so")


def load(where):
    """Imports the module from the directory `where`."""
    spec = importlib.util.spec_from_file_location("c_interface", where / "c_interface.so")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def checked(module):
    """For a fixture: yields the module; at the end everything that was made meanwhile must have been dropped."""
    before = module.counts()
    yield module
    wait_for_drops(module)
    after = module.counts()
    for made, gone in [("made", "dropped"), ("payloads_made", "payloads_gone")]:
        assert after[made] - before[made] == after[gone] - before[gone], (before, after)


def wait_for_drops(module):
    """Waits for the C threads of a test, which nothing can join: their drops are the last that happens."""

    async def wait():
        while (now := module.counts())["made"] != now["dropped"]:
            await asyncio.sleep(0.001)

    gc.collect()
    asyncio.run(asyncio.wait_for(wait(), 20))
