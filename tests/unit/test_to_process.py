"""`to_process`: asyncio has nothing like it, so only ferrio is tested, on the standard loop too."""

import asyncio
import concurrent.futures
import contextvars
import gc
import multiprocessing
import os
import pickle
import re
import signal
import sys
import threading
import weakref
from concurrent.futures.process import BrokenProcessPool

import pytest
from tests.unit.programs import run_program

import ferrio

variable = contextvars.ContextVar("variable", default="unset")

# Functions that the processes run, at module level because processes import them by name.


def arguments_and_process(*args, **kwargs):
    return args, kwargs, os.getpid()


def fail(error):
    raise error


def die():
    os._exit(1)


def append_line(path, line):
    with open(path, "a") as file:
        file.write(line)


def wait_for_line(path):
    """Blocks until another process writes to the FIFO."""
    with open(path) as file:
        return file.readline()


def pause():
    """Waits for a signal whose handler raises."""
    while True:
        signal.pause()


@pytest.fixture(params=["ferrio", "asyncio"])
def run(request):
    """Runs a coroutine function on the loop under test."""
    module = {"ferrio": ferrio, "asyncio": asyncio}[request.param]
    return lambda main: module.run(main())


@pytest.fixture
def small():
    """A pool of one process that isn't forked, because the test's own process has threads."""
    context = multiprocessing.get_context("forkserver")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
        yield pool


def run_with(pool, main):
    with ferrio.Runner() as runner:
        runner.get_loop().set_process_executor(pool)
        return runner.run(main())


def test_result_of_the_call(run):
    async def main():
        return await ferrio.to_process(arguments_and_process, 1, 2, func=3, self=4)

    args, kwargs, process = run(main)
    assert (args, kwargs) == ((1, 2), {"func": 3, "self": 4})
    assert process != os.getpid()


def test_exception_of_the_call(run):
    async def main():
        with pytest.raises(LookupError, match="spam") as caught:
            await ferrio.to_process(fail, LookupError("spam"))
        assert "raise error" in str(caught.value.__cause__), "the line in the other process is shown"
        # It isn't mistaken for an exception raised by pickling.
        with pytest.raises(AttributeError, match=r"^spam$"):
            await ferrio.to_process(fail, AttributeError("spam"))

    run(main)


def test_many_at_once(run):
    async def main():
        return await ferrio.gather(*[ferrio.to_process(divmod, number, 7) for number in range(200)])

    assert run(main) == [divmod(number, 7) for number in range(200)]


def test_pool_is_kept_for_the_loop(run):
    async def main():
        seen = set()
        for _ in range(50):
            seen.add((await ferrio.to_process(arguments_and_process))[2])
        return seen

    assert len(run(main)) <= (os.cpu_count() or 1)


def test_nothing_happens_before_it_is_awaited():
    async def main():
        awaitable = ferrio.to_process(os.getpid)
        assert ferrio.get_running_loop()._executors() == ()
        awaitable.close()

    ferrio.run(main())
    with pytest.warns(RuntimeWarning, match="to_process.* was never awaited"):
        ferrio.to_process(os.getpid)
        gc.collect()
    with pytest.raises(RuntimeError, match="no running event loop"):
        ferrio.to_process(os.getpid).send(None)


def test_context_does_not_travel(small):
    async def main():
        await ferrio.to_process(os.getpid)
        variable.set("mine")
        return await ferrio.to_process(variable_value), variable.get()

    assert run_with(small, main) == ("unset", "mine")


def variable_value():
    return variable.get()


@pytest.mark.parametrize(
    ("function", "arguments", "text"),
    [
        (lambda: 1, (), r"could not send the call of <function .*<lambda>.* to another process: .*importable"),
        (print, (threading.Lock(),), r"call of <built-in function print> .*cannot pickle '_thread.lock' object"),
    ],
    ids=["function", "argument"],
)
def test_unpicklable_call_is_refused(run, function, arguments, text):
    async def main():
        with pytest.raises(pickle.PicklingError, match=text) as caught:
            await ferrio.to_process(function, *arguments)
        assert caught.value.__cause__ is not None
        return await ferrio.to_process(abs, -1)

    assert run(main) == 1


def test_unpicklable_result_is_an_error(run):
    async def main():
        with pytest.raises(TypeError, match="cannot pickle"):
            await ferrio.to_process(threading.Lock)
        return await ferrio.to_process(abs, -1)

    assert run(main) == 1


def test_process_that_dies_fails_its_calls_and_the_next_gets_a_new_pool(run):
    async def main():
        for _ in range(2):
            with pytest.raises(BrokenProcessPool):
                await ferrio.to_process(die)
            assert await ferrio.to_process(abs, -1) == 1

    run(main)


def test_executor_by_name_shares_the_pool_and_its_replacement():
    async def main():
        loop = ferrio.get_running_loop()
        with pytest.raises(BrokenProcessPool):
            await loop.run_in_executor("process", die)
        assert await loop.run_in_executor("process", abs, -1) == 1
        before = loop._executors()
        assert await ferrio.to_process(abs, -1) == 1
        assert loop._executors() == before

    ferrio.run(main())


def test_call_cancelled_in_the_pools_queue_never_runs(small, tmp_path):
    pipe, ran = tmp_path / "pipe", tmp_path / "ran"
    os.mkfifo(pipe)

    async def main():
        first = ferrio.create_task(ferrio.to_process(wait_for_line, pipe))
        # The pool hands out one call more than it has processes.
        others = [ferrio.create_task(ferrio.to_process(append_line, ran, f"{number} ")) for number in range(5)]
        await ferrio.sleep(0)
        others[-1].cancel("message")
        with pytest.raises(ferrio.CancelledError, match="message"):
            await others[-1]
        await ferrio.to_thread(pipe.write_text, "go\n")
        assert await first == "go\n"
        await ferrio.gather(*others[:-1])
        await ferrio.to_process(append_line, ran, "end")

    run_with(small, main)
    assert ran.read_text() == "0 1 2 3 end"


def test_call_cancelled_while_it_runs_goes_on(small, tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)

    async def main():
        task = ferrio.create_task(ferrio.to_process(wait_for_line, pipe))
        # This open returns once the process has opened the file for reading, so it runs.
        file = await ferrio.to_thread(open, pipe, "w")
        task.cancel()
        with pytest.raises(ferrio.CancelledError):
            await task
        with file:
            file.write("go\n")
        return await ferrio.to_process(abs, -1)

    assert run_with(small, main) == 1


def test_set_process_executor(small):
    class Counting(concurrent.futures.Executor):
        calls = 0

        def submit(self, function, /, *args, **kwargs):
            self.calls += 1
            return small.submit(function, *args, **kwargs)

    async def main():
        counting = Counting()
        loop = ferrio.get_running_loop()
        loop.set_process_executor(counting)
        assert await ferrio.to_process(abs, -1) == 1
        assert await loop.run_in_executor("process", abs, -1) == 1
        with pytest.raises(TypeError, match=r"executor must be a concurrent\.futures\.Executor, not 42"):
            loop.set_process_executor(42)
        return counting.calls

    assert ferrio.run(main()) == 2


def test_shutdown_ends_the_processes_and_refuses_more_calls():
    async def main():
        loop = ferrio.get_running_loop()
        await ferrio.to_process(os.getpid)
        (pool,) = loop._executors()
        await loop.shutdown_default_executor()
        with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
            pool.submit(os.getpid)
        with pytest.raises(RuntimeError, match="Executor shutdown has been called"):
            await ferrio.to_process(os.getpid)

    ferrio.run(main())


def test_closing_the_loop_ends_the_pool():
    loop = ferrio.new_event_loop()
    loop.run_until_complete(ferrio.to_process(os.getpid))
    (pool,) = loop._executors()
    loop.close()
    with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
        pool.submit(os.getpid)


def test_pool_of_a_foreign_loop_ends_with_it(collected):
    async def main():
        await ferrio.to_process(os.getpid)
        pool = ferrio.processes._pools[asyncio.get_running_loop()]
        # The pool's thread still holds the loop just after passing it a result; it lets go with the next result.
        pool.submit(os.getpid).result()
        return pool

    pool = asyncio.run(main())
    collected()
    with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
        pool.submit(os.getpid)


def test_cycle_through_a_never_awaited_call_is_collected(collected):
    class Thing:
        pass

    thing = Thing()
    thing.awaitable = ferrio.to_process(print, thing)
    reference = weakref.ref(thing)
    with pytest.warns(RuntimeWarning, match="never awaited"):
        del thing
        collected()
    collected()  # from Python 3.15 on the recorded warning kept it alive
    assert reference() is None


def test_interrupt_ends_idle_processes_silently(tmp_path):
    # A terminal sends Ctrl-C to all processes of the program, and so does this test.
    output = run_program(
        """
        import os, signal, ferrio

        # One process: a second one might not have started yet.
        os.cpu_count = os.process_cpu_count = lambda: 1

        async def main():
            await ferrio.to_process(os.getpid)
            os.killpg(0, signal.SIGINT)
            await ferrio.sleep(3600)

        if __name__ == "__main__":
            try:
                ferrio.run(main())
            except KeyboardInterrupt:
                print("interrupted")
        """,
        file=tmp_path / "program.py",
        start_new_session=True,
    )
    assert output == "interrupted\n"


def test_interrupt_ends_running_functions_silently(tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    output = run_program(
        """
        import os, signal, sys, time, ferrio

        # One process: a second one might not have started yet.
        os.cpu_count = os.process_cpu_count = lambda: 1

        def slow_one():
            with open(sys.argv[1], "w") as file:
                file.write("began")
            time.sleep(3600)

        async def main():
            slow = ferrio.create_task(ferrio.to_process(slow_one))
            assert await ferrio.to_thread(lambda: open(sys.argv[1]).read()) == "began"
            os.killpg(0, signal.SIGINT)
            await slow

        if __name__ == "__main__":
            try:
                ferrio.run(main())
            except KeyboardInterrupt:
                print("interrupted")
        """,
        fifo,
        file=tmp_path / "program.py",
        start_new_session=True,
    )
    assert output == "interrupted\n"


@pytest.mark.parametrize("function", [pause, signal.pause], ids=["in Python", "in C"])
def test_interrupt_ends_a_function_and_not_its_process(function, monkeypatch):
    # One process that is known to have started.
    for name in ("cpu_count", "process_cpu_count"):
        monkeypatch.setattr(os, name, lambda: 1, raising=False)

    async def main():
        loop = ferrio.get_running_loop()
        process = await loop.run_in_executor("process", os.getpid)
        call = loop.run_in_executor("process", function)
        while not call.done():
            # A signal before it has begun has no effect.
            os.kill(process, signal.SIGINT)
            await ferrio.sleep(0.001)
        assert isinstance(call.exception(), KeyboardInterrupt)
        assert await ferrio.gather(*[ferrio.to_process(abs, -number) for number in range(20)]) == list(range(20))
        assert await ferrio.to_process(os.getpid) == process

    ferrio.run(main())


def test_shutdown_that_gives_up_names_the_function(small, tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)

    async def main():
        loop = ferrio.get_running_loop()
        task = ferrio.create_task(ferrio.to_process(wait_for_line, pipe))
        # This open returns once the process has opened the file for reading, so it runs.
        file = await ferrio.to_thread(open, pipe, "w")
        with (
            file,
            pytest.warns(RuntimeWarning, match=r"Still running: <function wait_for_line at 0x\w+> in a process\.$"),
        ):
            await loop.shutdown_default_executor(0.01)
        return await task

    assert run_with(small, main) == ""


@pytest.mark.skipif(
    sys.version_info[:2] == (3, 12), reason="at its end Python 3.12 starts no thread that could report it"
)
def test_exit_that_waits_for_a_process_names_its_function(tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    output = run_program(
        """
        import os, sys, warnings, ferrio, ferrio._exit

        def wait_for_line():
            with open(sys.argv[1]) as file:
                file.readline()

        def report(message, *rest, **keywords):
            print(message, flush=True)
            with open(sys.argv[1], "w") as file:
                file.write("go")

        if __name__ == "__main__":
            ferrio._exit.REPORT_DELAY = 0.01
            warnings.showwarning = report
            loop = ferrio.new_event_loop()
            loop.run_in_executor("process", wait_for_line)
            loop.close()
        """,
        fifo,
        file=tmp_path / "program.py",
    )
    assert re.fullmatch(
        r"The program has ended, but is still waiting for <function wait_for_line at 0x\w+> in a process\. "
        r"Press Ctrl-C to stop it\n",
        output,
    )


def test_virtual_time_waits_for_processes(small):
    async def main():
        loop = ferrio.get_running_loop()
        loop.set_process_executor(small)
        before = loop.time()
        sleeper = ferrio.create_task(ferrio.sleep(3600))
        await ferrio.to_process(os.getpid)
        assert loop.time() == before, "the clock jumped while a process was working"
        await sleeper

    with ferrio.Runner(loop_factory=lambda: ferrio.EventLoop(virtual_time=True)) as runner:
        runner.run(main())
