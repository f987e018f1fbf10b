"""How Rust futures end that nobody awaits to their end: cycles, destructors, deep chains, forked children."""

import asyncio
import gc
import os
import subprocess
import sys
import textwrap
import time
import warnings
import weakref

import pytest
from tests.rust_async.build import directory
from tests.rust_async.conftest import LOOPS


def run_alone(code, loop, said=""):
    """Runs a program in a process of its own; `new_loop` makes a loop of the kind. `said` is what it prints."""
    setup = f"""
        import asyncio, gc, os, sys, warnings
        sys.path.insert(0, {str(directory())!r})
        import ferrio, rust_probe as probe
        new_loop = {{"ferrio": ferrio.new_event_loop, "subclass": type("Mine", (ferrio.EventLoop,), {{}}),
                    "asyncio": asyncio.SelectorEventLoop}}.get({loop!r})
        if new_loop is None:
            import uvloop
            new_loop = uvloop.new_event_loop
    """
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(setup) + textwrap.dedent(code)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50)
    assert (done.returncode, done.stdout.strip()) == (0, said), done


def test_future_that_keeps_its_waker_goes_with_its_loop(run, probe):
    # The task waits for a future, which the waker would end; the waker is kept by what the task awaits.
    class Thing:
        pass

    async def waiting(thing):
        await probe.keeping_its_waker(thing)

    async def main(thing):
        task = asyncio.get_running_loop().create_task(waiting(thing))
        task._log_destroy_pending = False
        for _ in range(3):
            await asyncio.sleep(0)

    loop, thing = run.loop_factory(), Thing()
    loop.run_until_complete(main(thing))
    loop.close()
    gone = weakref.ref(thing)
    del loop, thing
    gc.collect()
    assert gone() is None


class Keeping(asyncio.SelectorEventLoop):
    """A loop that keeps what other threads leave, instead of running it."""

    def __init__(self):
        super().__init__()
        self.kept = []

    def call_soon_threadsafe(self, callback, *args, context=None):
        self.kept.append(callback)


def test_call_that_a_loop_has_not_run_is_collected_with_it(probe):
    async def main():
        probe.call_from_thread(int)
        while not asyncio.get_running_loop().kept:
            await asyncio.sleep(0)

    loop = Keeping()
    loop.run_until_complete(main())
    loop.close()
    gone = weakref.ref(loop)
    del loop
    deadline = time.monotonic() + 20
    while gone() is not None and time.monotonic() < deadline:
        probe.counts()  # what another thread has dropped goes when PyO3 is next called
        gc.collect()
    assert gone() is None


@pytest.mark.parametrize("inside", [False, True])
def test_destructors_run_python_code_while_an_exception_is_set(run, probe, inside):
    # The interpreter drops the argument while the `TypeError` is on its way.
    said = []

    def look():
        said.append(sys.exc_info())
        with pytest.raises(KeyError):
            {}["no"]

    def fail():
        with warnings.catch_warnings(record=True) as seen, pytest.raises(TypeError, match="int"):
            warnings.simplefilter("always")
            int(probe.saying_farewell(look))
        assert "was never awaited" in str(seen[0].message)

    async def main():
        fail()

    if inside:
        run(main())
    else:
        fail()
    assert len(said) == 1


@pytest.mark.parametrize("loop", LOOPS)
def test_deep_chain_of_futures_is_dropped(loop):
    run_alone(
        """
        async def main():
            chain = None
            for _ in range(200_000):
                chain = probe.ready(chain)
            task = asyncio.ensure_future(probe.keeping_its_waker(chain))
            await asyncio.sleep(0)
            task.cancel()
            del chain
            await asyncio.wait([task])
        new_loop().run_until_complete(main())
        """,
        loop,
    )


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")
@pytest.mark.parametrize("loop", LOOPS)
def test_forked_child_uses_them_anew(loop):
    run_alone(
        """
        async def main():
            async with asyncio.timeout(20):
                switch = probe.Switch()
                task = asyncio.ensure_future(switch.wait(1))
                await asyncio.sleep(0)
                switch.finish_in_thread()
                assert await task == 1
                assert await probe.in_tokio.sleeping(1, 2) == 2
            if os.getpid() == parent:
                assert await probe.in_smol.sleeping(1, 4) == 4
                return
            try:
                await probe.in_smol.sleeping(1, 4)
            except probe.RustPanic as failure:
                assert "forked child" in str(failure)
            else:
                raise AssertionError("smol has no threads in a child")

        parent = os.getpid()
        new_loop().run_until_complete(main())
        child = os.fork()
        if child == 0:
            new_loop().run_until_complete(main())
            child = os.fork()
            if child == 0:
                new_loop().run_until_complete(main())
                sys.exit()
        _, status = os.waitpid(child, 0)
        sys.exit(os.waitstatus_to_exitcode(status))
        """,
        loop,
    )


@pytest.mark.parametrize("loop", LOOPS)
def test_loops_while_the_interpreter_ends(loop):
    # The functions of `atexit` run in the reverse order: `late` is called after the crate has stopped its own thread.
    run_alone(
        """
        import atexit, threading

        async def wait():
            switch = probe.Switch()
            task = asyncio.ensure_future(switch.wait(1))
            await asyncio.sleep(0)
            switch.finish_in_thread()
            async with asyncio.timeout(20):
                return await task

        def in_a_thread():
            loop = new_loop()
            loop.run_until_complete(wait())
            ready.set()
            go.wait()
            try:
                told.append(loop.run_until_complete(wait()))
            except RuntimeError as failure:
                told.append(str(failure))
            done.set()

        def late():
            go.set()
            done.wait(20)
            # A loop of ferrio's needs no thread; for others nothing would wake a daemon's loop.
            assert told in ([1], ["can't wait for Rust while the interpreter ends"]), told
            # The interpreter waits for its main thread.
            assert new_loop().run_until_complete(wait()) == 1
            print("well")

        atexit.register(late)
        told, ready, go, done = [], *(threading.Event() for _ in range(3))
        threading.Thread(target=in_a_thread, daemon=True).start()
        ready.wait()
        """,
        loop,
        said="well",
    )


@pytest.mark.skipif(sys.version_info < (3, 13), reason="a module for subinterpreters came with Python 3.13")
def test_subinterpreters_are_refused():
    run_alone(
        """
        import _interpreters
        inner = _interpreters.create()
        path = sys.path
        for module in "rust_probe", "ferrio":
            failure = _interpreters.exec(inner, f"import sys; sys.path[:] = {path!r}; import {module}")
            assert "ImportError" in failure.formatted and "subinterpreter" in failure.formatted, failure
        """,
        "ferrio",
    )
