"""An interrupt at any bytecode leaves no loop running and loses nothing. `make interrupts` tries 10,000 programs."""

import asyncio
import contextvars
import pathlib
import signal
import sys

import pytest
from tests.faults import interrupts
from tests.faults.interrupted import Stop

import ferrio

PACKAGE = str(pathlib.Path(ferrio.__file__).parent)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("part", range(4))
def test_random_programs(part):
    wrong = [report for report in interrupts.reports(50 * part, 50 * part + 50) if report["wrong"]]
    assert not wrong, "python -m tests.faults.interrupts -v --count 1 --first SEED"


def test_runs_of_one_runner_inside_each_other_restore_the_handler(python_handles_interrupts):
    async def inner():
        return signal.getsignal(signal.SIGINT)

    async def outer():
        before = signal.getsignal(signal.SIGINT)
        assert runner.run(inner(), context=contextvars.copy_context()) is not before
        assert signal.getsignal(signal.SIGINT) is before

    ferrio.allow_nested()
    try:
        with ferrio.Runner() as runner:
            runner.run(outer())
            assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        ferrio.allow_nested(False)


# An interrupt may come before a runner knows its loop, or before a task has its coroutine. Nobody closes these then.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::RuntimeWarning")
@pytest.mark.timeout(180)
def test_each_bytecode_of_run(python_handles_interrupts):
    async def nothing():
        await ferrio.sleep(0)

    def run(stop):
        before = sys.gettrace()
        sys.settrace(stop)
        try:
            ferrio.run(nothing())
        finally:
            sys.settrace(before)

    calm = Stop((PACKAGE,))
    run(calm)
    assert calm.count > 100
    for moment in range(1, calm.count + 1):
        stop = Stop((PACKAGE,), moments=[moment])
        with pytest.raises(KeyboardInterrupt):
            run(stop)
        assert asyncio._get_running_loop() is None, stop.places
        if not stop.at_the_end:
            assert signal.getsignal(signal.SIGINT) is signal.default_int_handler, stop.places
        run(Stop(()))
        assert asyncio._get_running_loop() is None
