"""Rust futures awaited from Python: values, errors, panics, wake-ups, contexts, cancellation."""

import asyncio
import concurrent.futures
import contextvars
import importlib
import threading
import weakref

import pytest


async def parked(task):
    """Lets a few turns pass; the task must still wait then."""
    for _ in range(5):
        await asyncio.sleep(0)
    assert not task.done()


@pytest.mark.parametrize("value", [None, 7, (1, 2), (), ValueError("a value")])
def test_value(run, probe, value):
    async def main():
        assert await probe.ready(value) is value

    run(main())


def test_unit_is_none(run, probe):
    async def main():
        door = probe.Door()
        door.open()
        assert await door.wait() is None
        assert await probe.nothing() is None
        assert await probe.in_tokio.nothing() is None
        assert await probe.in_smol.nothing() is None

    run(main())


def test_error_is_raised(run, probe):
    async def main():
        for raising in probe.raising, probe.in_tokio.raising, probe.in_smol.raising:
            with pytest.raises(ValueError, match="so it is"):
                await raising("so it is")

    run(main())


def test_panic_is_an_exception(run, probe, capfd):
    async def main():
        for panicking in probe.panicking, probe.in_tokio.panicking, probe.in_smol.panicking:
            with pytest.raises(probe.RustPanic, match="so it is"):
                await panicking("so it is")
        assert await probe.in_tokio.sleeping(1, 3) == 3

    run(main())
    assert issubclass(probe.RustPanic, Exception)
    assert "so it is" in capfd.readouterr().err  # Rust's own report


@pytest.mark.parametrize("times", [1, 100])
def test_future_that_wakes_itself_during_its_poll(run, probe, times):
    async def main():
        assert await probe.yielding(times) == times

    run(main())


def test_it_is_a_coroutine(run, probe):
    async def main():
        made = probe.yielding(2)
        assert asyncio.iscoroutine(made)
        assert made.__name__ == "yielding"
        assert repr(made).startswith("<coroutine object yielding at 0x")
        assert await asyncio.create_task(made) == 2
        assert await asyncio.gather(*map(probe.yielding, range(20))) == list(range(20))
        async with asyncio.timeout(5):
            assert await asyncio.wait_for(probe.in_tokio.sleeping(1, 4), 5) == 4
        with pytest.raises(RuntimeError, match="cannot reuse already awaited coroutine"):
            await made

    run(main())


def test_it_may_be_made_before_the_loop(run, probe):
    assert run(probe.yielding(2)) == 2
    assert run(probe.in_tokio.sleeping(1, 5)) == 5


def test_unawaited_one_warns_and_is_dropped(run, probe):
    async def main():
        with pytest.warns(RuntimeWarning, match="coroutine 'pending' was never awaited"):
            probe.pending()
        probe.pending().close()

    run(main())
    with pytest.warns(RuntimeWarning, match="coroutine 'pending' was never awaited"):
        probe.pending()


def test_poll_is_in_the_context_of_the_task(run, probe):
    variable = contextvars.ContextVar("variable")

    async def one(number):
        variable.set(number)
        seen = await probe.look(lambda: (variable.get(), asyncio.current_task(), threading.get_ident()))
        assert seen == (number, asyncio.current_task(), threading.get_ident())

    async def main():
        await asyncio.gather(*map(one, range(10)))

    run(main())


def test_wake_from_everywhere(run, probe):
    async def main():
        loop = asyncio.get_running_loop()
        finishing = [
            lambda switch: switch.finish(),
            lambda switch: switch.finish_detached(),
            lambda switch: switch.finish_in_thread(),
            lambda switch: loop.run_in_executor(None, switch.finish),
            lambda switch: loop.run_in_executor(None, switch.finish_detached),
        ]
        for number, finish in enumerate(finishing):
            switch = probe.Switch()
            task = asyncio.create_task(switch.wait(number))
            await parked(task)
            finish(switch)
            assert await task == number
            # One that is done already.
            assert await switch.wait(7) == 7
            switch = probe.Switch()
            task = asyncio.create_task(switch.wait_in_tokio(number))
            await parked(task)
            finish(switch)
            assert await task == number
        await loop.shutdown_default_executor()

    run(main())


def test_local_future(run, probe):
    async def main():
        door = probe.Door()
        task = asyncio.create_task(door.wait())
        await parked(task)
        door.open()
        await task
        await door.wait()

    run(main())


def test_local_future_stays_in_its_thread(run):
    # Not the fixture: what may only be dropped in its thread is leaked, as the crate says.
    probe = importlib.import_module("rust_probe")
    alive = probe.counts()[0]
    made = probe.Door().wait()

    def elsewhere():
        with pytest.raises(RuntimeError, match="isn't Send"):
            run(made)
        return True

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        assert pool.submit(elsewhere).result()
    assert probe.counts()[0] == alive + 1


def test_cancelled_await_drops_the_future(run, probe):
    async def main():
        for pending in probe.pending, probe.in_tokio.pending, probe.in_smol.pending:
            alive = probe.counts()[0]
            task = asyncio.create_task(pending())
            await parked(task)
            while probe.counts()[0] == alive:  # a runtime begins it on its own time, and drops it so
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            while probe.counts()[0] != alive:
                await asyncio.sleep(0)

    run(main())


def test_future_of_a_closed_loop_is_dropped(run, probe):
    loop = run.loop_factory()
    loop.set_exception_handler(lambda loop, context: None)
    switch = probe.Switch()

    async def main():
        tasks = [asyncio.create_task(made) for made in (switch.wait(1), switch.wait_in_tokio(2), probe.pending())]
        await asyncio.gather(*map(parked, tasks))
        return tasks

    tasks = loop.run_until_complete(main())
    loop.close()
    switch.finish_in_thread()
    switch.finish()
    for task in tasks:
        task._log_destroy_pending = False


def test_a_dropped_future_drops_what_it_holds_at_once(run, probe):
    class Thing:
        pass

    async def main():
        thing = Thing()
        dropped = weakref.ref(thing)
        coroutine = probe.ready(thing)
        del thing
        coroutine.close()
        del coroutine
        assert dropped() is None

    run(main())
