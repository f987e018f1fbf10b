"""Fixtures of the surface tests: the implementation that a body runs on, and the collected surfaces."""

import asyncio
import functools
import json
import pathlib
import subprocess
import sys

import pytest

import ferrio

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture(params=[asyncio, ferrio], ids=["asyncio", "ferrio"])
def aio(request):
    """The module under test: asyncio, or ferrio in its place."""
    return request.param


@pytest.fixture(scope="session")
def collected():
    """Returns a function that takes a world's name (see `collect.py`) and returns its surface: facts by path and
    aspect.
    """

    @functools.cache
    def collect(world):
        command = [sys.executable, "-m", "tests.surface.collect", world]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return collect
