"""Runtimes' threads: they don't wait for the interpreter, lose nothing, and survive closed loops and its end."""

import asyncio
import importlib
import random
import subprocess
import sys
import textwrap

import pytest
from tests.rust_async.build import directory
from tests.rust_async.conftest import LOOPS


def test_tokio_goes_on_while_the_interpreter_is_held(run, probe):
    # Each tick needs a thread of tokio's, while the results that come all the time wait to be converted.
    ticks = probe.Ticks()

    async def main():
        tasks = [asyncio.create_task(probe.in_tokio.sleeping(index % 50, index)) for index in range(2000)]
        await asyncio.sleep(0)
        ticks.hold_until(200)
        assert await asyncio.gather(*tasks) == list(range(2000))

    run(main())


@pytest.mark.parametrize("kind", ["in_tokio", "in_smol"])
def test_nothing_is_lost_among_cancellations_and_closed_loops(run, probe, kind):
    chance = random.Random(13)
    sleeping = getattr(probe, kind).sleeping

    async def main(finish):
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda loop, context: None)
        for _ in range(3):
            tasks = [asyncio.create_task(sleeping(chance.randrange(4), index)) for index in range(300)]
            for task in chance.sample(tasks, 100):
                task.cancel()
                if chance.random() < 0.1:
                    await asyncio.sleep(0.001)
            if finish:
                results = await asyncio.gather(*tasks, return_exceptions=True)
                for index, result in enumerate(results):
                    assert result == index or isinstance(result, asyncio.CancelledError)
        return tasks

    for number in range(6):
        loop = run.loop_factory()
        tasks = loop.run_until_complete(main(finish=number % 2))
        loop.close()
        for task in tasks:
            task._log_destroy_pending = False


def test_wakes_from_many_threads(run, probe):
    async def main():
        for turn in range(20):
            switches = [probe.Switch() for _ in range(40)]
            waits = [switch.wait(index) for index, switch in enumerate(switches[:20])]
            waits += [switch.wait_in_tokio(index) for index, switch in enumerate(switches[20:])]
            tasks = [asyncio.create_task(wait) for wait in waits]
            if turn % 2:
                await asyncio.sleep(0)
            for switch in switches * 2:
                switch.finish_in_thread()
            assert await asyncio.gather(*tasks) == [*range(20), *range(20)]

    run(main())


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("moment", ["at once", "later"])
def test_interpreter_ends_at_any_time(loop, moment):
    # Nothing to assert but that the process ends well: an abort or a hang would fail.
    code = f"""
        import asyncio, importlib, sys, warnings
        sys.path.insert(0, {str(directory())!r})
        import ferrio, rust_probe
        new_loop = {{"ferrio": ferrio.new_event_loop, "subclass": type("Mine", (ferrio.EventLoop,), {{}}),
                    "asyncio": asyncio.SelectorEventLoop}}.get({loop!r})
        if new_loop is None:
            import uvloop
            new_loop = uvloop.new_event_loop
        async def function():
            await asyncio.sleep(0.01)
        async def main():
            for index in range(500):
                asyncio.ensure_future(rust_probe.in_tokio.sleeping(index % 20, index))
                asyncio.ensure_future(rust_probe.in_smol.sleeping(index % 20, index))
                asyncio.ensure_future(rust_probe.in_tokio.calling(function))
            await asyncio.sleep({0 if moment == "at once" else 0.01})
            if {loop != "asyncio"}:
                return
            sys.exit(0)
        keep = new_loop()
        keep.set_exception_handler(lambda loop, context: None)
        keep.run_until_complete(main())
        tasks = asyncio.all_tasks(keep)
    """
    command = [sys.executable, "-X", "dev", "-W", "ignore", "-c", textwrap.dedent(code)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50)
    assert done.returncode == 0, done
    assert "panic" not in done.stderr
    assert "Fatal" not in done.stderr


@pytest.mark.parametrize("loop", ["ferrio.new_event_loop", "asyncio.SelectorEventLoop"])
def test_a_call_from_a_thread_before_any_coroutine_has_waited(loop):
    code = f"""
        import asyncio, ferrio, sys
        sys.path.insert(0, {str(directory())!r})
        import rust_probe

        async def main():
            called = asyncio.Event()
            rust_probe.call_from_thread(called.set)
            async with asyncio.timeout(10):
                await called.wait()

        {loop}().run_until_complete(main())
    """
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(code)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50)
    assert done.returncode == 0, done


def test_the_example(run):
    example = importlib.import_module("rust_example")

    async def serve(reader, writer):
        request = await reader.read()
        writer.write(request[::-1])
        await writer.drain()
        writer.close()

    async def main():
        await example.sleep(0.001)
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        answers = await asyncio.gather(*(example.ask("127.0.0.1", port, b"%d." % number) for number in range(20)))
        assert answers == [(b"%d." % number)[::-1] for number in range(20)]
        server.close()
        await server.wait_closed()
        with pytest.raises(ConnectionRefusedError):
            await example.ask("127.0.0.1", port, b"")

        calls = []

        async def failing():
            calls.append(None)
            await asyncio.sleep(0)
            if len(calls) < 3:
                raise OSError("once more")
            return "value"

        assert await example.retry(failing) == "value"
        calls.clear()
        with pytest.raises(OSError, match="once more"):
            await example.retry(failing, attempts=2)
        assert len(calls) == 2

    run(main())
