"""The modules that build.py has built, and the loops on which every test of a future runs."""

import asyncio
import contextlib
import gc
import importlib
import sys
import time

import pytest
from tests.rust_async.build import directory

import ferrio

if not any(directory().glob("rust_probe*")):
    pytest.exit(f"there is nothing in {directory()}: run `make test-rust-async`, which builds it", returncode=4)
sys.path.insert(0, str(directory()))


class MyLoop(ferrio.EventLoop):
    """A subclass, as programs make them."""


LOOPS = {"ferrio": ferrio.new_event_loop, "subclass": MyLoop, "asyncio": asyncio.SelectorEventLoop}
with contextlib.suppress(ImportError):
    LOOPS["uvloop"] = importlib.import_module("uvloop").new_event_loop


@pytest.fixture(params=LOOPS)
def run(request):
    """Runs a coroutine on a new loop, and closes that."""

    def run(coroutine, **options):
        with asyncio.Runner(loop_factory=LOOPS[request.param], **options) as runner:
            return runner.run(coroutine)

    run.loop_factory = LOOPS[request.param]
    return run


@pytest.fixture
def probe():
    """The probe; at the end of a test nothing that it made is alive."""
    module = importlib.import_module("rust_probe")
    before = module.counts()
    yield module
    # Threads of a runtime drop what they had on their own time.
    deadline = time.monotonic() + 20
    gc.collect()
    while module.counts()[0] != before[0] and time.monotonic() < deadline:
        time.sleep(0.01)
        gc.collect()
    alive = module.counts()[0] - before[0]
    assert alive == 0, f"{alive} of {module.counts()[1] - before[1]} futures and results are still alive"
