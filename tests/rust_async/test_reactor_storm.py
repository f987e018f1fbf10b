"""Rust's timers and sockets on the loop, cancelled, moved to threads and left on closed loops, all at random."""

import asyncio
import gc
import random
import subprocess
import sys
import textwrap

import pytest
from tests.rust_async.build import ROOT, directory
from tests.rust_async.reactor_storm import storm


@pytest.mark.filterwarnings("ignore")  # what is dropped with a closed loop was never awaited, or is unclosed
@pytest.mark.parametrize("seed", range(4))
def test_nothing_is_left_of_a_storm(run, probe, seed):
    chance = random.Random(seed)
    for finish in True, False:
        loop = run.loop_factory()
        loop.set_exception_handler(lambda loop, context: None)
        tasks = loop.run_until_complete(storm(chance, probe.reactor, 100))
        if finish:
            # Some wait for what nobody sends.
            for task in tasks:
                task.cancel()
            loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        for task in tasks:
            task._log_destroy_pending = False
        loop.close()
        del tasks, loop
        gc.collect()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("loop", ["ferrio.new_event_loop()", "asyncio.SelectorEventLoop()"])
def test_the_interpreter_may_end_in_a_storm(probe, loop, seed):
    program = textwrap.dedent(f"""
        import asyncio, random, sys
        sys.path[:0] = [{str(directory())!r}, {str(ROOT)!r}, {str(ROOT / "python")!r}]
        import ferrio, rust_probe
        from tests.rust_async.reactor_storm import storm
        loop = {loop}
        loop.set_exception_handler(lambda loop, context: None)
        tasks = loop.run_until_complete(storm(random.Random({seed}), rust_probe.reactor, 60))
        for task in tasks:
            task._log_destroy_pending = False
        print("here")
    """)
    command = [sys.executable, "-W", "ignore", "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50)
    assert (done.returncode, done.stdout) == (0, "here\n"), done
