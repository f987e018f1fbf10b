"""`run` and `Runner`: the same test bodies on asyncio and on ferrio, and then what ferrio says better."""

import _thread
import asyncio
import contextvars
import gc
import signal
import sys
import threading

import pytest

import ferrio

NOT_AWAITABLE = TypeError if sys.version_info >= (3, 14) else ValueError


def test_run_returns_the_result(aio):
    async def main():
        await aio.sleep(0)
        return 42

    assert aio.run(main()) == 42


def test_run_raises_what_main_raises(aio):
    async def main():
        await aio.sleep(0)
        raise LookupError("spam")

    with pytest.raises(LookupError, match="spam"):
        aio.run(main())


@pytest.mark.parametrize("thing", [1, None, lambda: None, "main"], ids=lambda thing: type(thing).__name__)
def test_run_refuses_what_is_not_awaitable(aio, thing):
    with pytest.raises(NOT_AWAITABLE):
        aio.run(thing)
    with aio.Runner() as runner, pytest.raises(NOT_AWAITABLE):
        runner.run(thing)


def test_debug(aio):
    async def debug():
        return aio.get_running_loop().get_debug()

    assert aio.run(debug(), debug=True) is True
    assert aio.run(debug(), debug=False) is False
    with aio.Runner(debug=True) as runner:
        assert runner.get_loop().get_debug() is True


def test_debug_is_taken_from_the_environment(aio, monkeypatch):
    async def debug():
        return aio.get_running_loop().get_debug()

    monkeypatch.setenv("PYTHONASYNCIODEBUG", "1")
    assert aio.run(debug()) is True
    assert aio.run(debug(), debug=False) is False
    monkeypatch.delenv("PYTHONASYNCIODEBUG")
    assert aio.run(debug()) is bool(sys.flags.dev_mode)


def test_run_inside_a_running_loop(aio):
    async def inner():
        pass

    async def main():
        coroutine = inner()
        try:
            with pytest.raises(RuntimeError, match=r"asyncio\.run\(\) cannot be called from a running event loop"):
                aio.run(coroutine)
            with pytest.raises(RuntimeError, match=r"Runner\.run\(\) cannot be called from a running event loop"):
                aio.Runner().run(coroutine)
        finally:
            coroutine.close()

    aio.run(main())


def test_loop_factory(aio):
    made = []

    def factory():
        made.append(aio.EventLoop() if hasattr(aio, "EventLoop") else aio.SelectorEventLoop())
        return made[-1]

    async def main():
        return aio.get_running_loop()

    runner = aio.Runner(loop_factory=factory)
    with runner:
        assert [runner.run(main()), runner.run(main()), runner.get_loop()] == made * 3
    assert made[0].is_closed()
    with pytest.raises(TypeError):
        aio.run(main, loop_factory=1)


def test_loop_of_the_runner_is_the_current_one(aio):
    with aio.Runner() as runner:
        assert aio.get_event_loop() is runner.get_loop()
    with pytest.raises(RuntimeError):
        aio.get_event_loop()


def test_loop_factory_leaves_the_current_loop_alone(aio):
    mine = aio.new_event_loop()
    aio.set_event_loop(mine)
    try:
        with aio.Runner(loop_factory=aio.new_event_loop) as runner:
            runner.run(aio.sleep(0))
        assert aio.get_event_loop() is mine
    finally:
        aio.set_event_loop(None)
        mine.close()


def test_tasks_left_are_cancelled(aio):
    ended = []

    async def leftover():
        try:
            await aio.sleep(3600)
        finally:
            await aio.sleep(0)
            ended.append("cleaned up")

    async def main():
        task = aio.create_task(leftover())
        await aio.sleep(0)
        return task

    task = aio.run(main())
    assert task.cancelled()
    assert ended == ["cleaned up"]


def test_task_left_may_cancel_all_others(aio):
    async def leftover():
        try:
            await aio.sleep(3600)
        finally:
            for task in aio.all_tasks():
                task.cancel()

    async def main():
        tasks = [aio.create_task(leftover()) for _ in range(3)]
        await aio.sleep(0)
        return tasks

    assert [task.cancelled() for task in aio.run(main())] == [True] * 3


def test_errors_of_tasks_left_are_reported(aio):
    reported = []

    async def leftover():
        try:
            await aio.sleep(3600)
        except aio.CancelledError:
            raise LookupError("while ending") from None

    async def main():
        aio.get_running_loop().set_exception_handler(lambda loop, context: reported.append(context))
        task = aio.create_task(leftover())
        await aio.sleep(0)
        return task

    task = aio.run(main())
    (context,) = reported
    assert context["message"] == "unhandled exception during asyncio.run() shutdown"
    assert context["task"] is task
    assert repr(context["exception"]) == "LookupError('while ending')"


def test_async_generators_are_closed(aio):
    ended = []

    async def numbers():
        try:
            while True:
                yield 1
        finally:
            await aio.sleep(0)
            ended.append("closed")

    async def main():
        generator = numbers()
        await anext(generator)
        return generator  # keeps it alive until the loop ends

    generator = aio.run(main())
    assert ended == ["closed"]
    assert generator.ag_frame is None


def test_default_executor_is_waited_for(aio):
    began, ended = threading.Event(), []

    def work():
        began.wait(60)
        ended.append("ended")

    async def main():
        aio.get_running_loop().run_in_executor(None, work)
        began.set()

    aio.run(main())
    assert ended == ["ended"]


def test_runner_after_close(aio):
    async def main():
        return 1

    runner = aio.Runner()
    with runner:
        loop = runner.get_loop()
        assert runner.run(main()) == 1
    assert loop.is_closed()
    runner.close()
    with pytest.raises(RuntimeError, match="Runner is closed"):
        runner.get_loop()
    coroutine = main()
    with pytest.raises(RuntimeError, match="Runner is closed"):
        runner.run(coroutine)
    coroutine.close()
    with pytest.raises(RuntimeError, match="Runner is closed"), runner:
        pass


def test_unused_runner_closes_without_a_loop(aio):
    runner = aio.Runner()
    runner.close()
    with runner:
        assert not runner.get_loop().is_closed()


def test_context_is_kept_between_runs(aio):
    variable = contextvars.ContextVar("variable", default="unset")

    async def exchange(value):
        before = variable.get()
        variable.set(value)
        return before

    with aio.Runner() as runner:
        assert runner.run(exchange("first")) == "unset"
        assert runner.run(exchange("second")) == "first"
        own = contextvars.copy_context()
        assert runner.run(exchange("third"), context=own) == "unset"
        assert own[variable] == "third"
        assert runner.run(exchange("fourth")) == "second"
    assert variable.get() == "unset"


def test_first_interrupt_cancels_the_main_task(aio):
    seen = []

    async def main():
        aio.get_running_loop().call_soon(_thread.interrupt_main)
        try:
            await aio.sleep(3600)
        except aio.CancelledError:
            seen.append("cancelled")
            await aio.sleep(0)
            seen.append("cleaned up")
            raise

    with aio.Runner() as runner:
        with pytest.raises(KeyboardInterrupt):
            runner.run(main())
        assert seen == ["cancelled", "cleaned up"]
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        assert runner.run(aio.sleep(0, "still usable")) == "still usable"


def test_second_interrupt_is_raised_at_once(aio):
    async def main():
        while True:
            try:
                await aio.sleep(0)
                _thread.interrupt_main()
                await aio.sleep(3600)
            except aio.CancelledError:
                pass

    with aio.Runner(loop_factory=aio.new_event_loop) as runner:
        coroutine = main()
        with pytest.raises(KeyboardInterrupt):
            runner.run(coroutine)
        # The task is still there and would swallow its cancellation for ever.
        for task in aio.all_tasks(runner.get_loop()):
            task.get_coro().close()
        loop = runner.get_loop()
    assert loop.is_closed()


@pytest.mark.parametrize("way", ["at once", "in a later turn", "from a thread"])
def test_exit_of_main_is_not_also_reported(aio, way, caplog):
    async def main():
        if way == "from a thread":
            await aio.to_thread(sys.exit, 3)
        if way == "in a later turn":
            await aio.sleep(0)
        sys.exit(3)

    with pytest.raises(SystemExit, match="3"):
        aio.run(main())
    gc.collect()
    assert [record.getMessage() for record in caplog.records] == []


def test_task_with_a_closed_coroutine_can_be_cancelled(aio):
    async def main():
        task = aio.create_task(sleeping())
        await aio.sleep(0)
        task.get_coro().close()
        assert task.cancel()
        assert task.cancel()
        with pytest.raises(RuntimeError, match="cannot reuse already awaited coroutine"):
            await task

    async def sleeping():
        await aio.sleep(3600)

    aio.run(main())


def test_main_may_swallow_the_interrupt(aio):
    async def main():
        _thread.interrupt_main()
        try:
            await aio.sleep(3600)
        except aio.CancelledError:
            return "my own answer"

    assert aio.run(main()) == "my own answer"


def test_other_cancellation_is_not_an_interrupt(aio):
    async def main():
        aio.current_task().cancel("by itself")
        await aio.sleep(0)

    with pytest.raises(aio.CancelledError, match="by itself"):
        aio.run(main())


def test_interrupt_handler_of_the_program_is_left_alone(aio):
    def handler(number, frame):
        pass

    async def main():
        return signal.getsignal(signal.SIGINT)

    before = signal.signal(signal.SIGINT, handler)
    try:
        assert aio.run(main()) is handler
    finally:
        signal.signal(signal.SIGINT, before)


def test_run_in_another_thread(aio):
    results = []
    thread = threading.Thread(target=lambda: results.append(aio.run(aio.sleep(0, "from the thread"))))
    thread.start()
    thread.join(60)
    assert results == ["from the thread"]


def test_runner_leaves_no_garbage(aio):
    async def main():
        await aio.sleep(0)

    aio.run(main())
    gc.collect()
    before = len(gc.get_objects())
    for _ in range(20):
        aio.run(main())
    gc.collect()
    assert len(gc.get_objects()) - before < 20


# What ferrio does beyond the asyncio of older Pythons, or says better.


def test_any_awaitable_runs():
    class Awaitable:
        def __await__(self):
            yield from ferrio.sleep(0).__await__()
            return "awaited"

    assert ferrio.run(Awaitable()) == "awaited"
    with ferrio.Runner() as runner:
        future = runner.get_loop().create_future()
        runner.get_loop().call_soon(future.set_result, "a future")
        assert runner.run(future) == "a future"


def test_loops_are_ferrios():
    async def main():
        return ferrio.get_running_loop()

    assert isinstance(ferrio.run(main()), ferrio.EventLoop)


def test_foreign_loops_also_run():
    async def main():
        await asyncio.sleep(0)
        return ferrio.get_running_loop()

    assert type(ferrio.run(main(), loop_factory=asyncio.SelectorEventLoop)) is asyncio.SelectorEventLoop


async def coroutine_function():
    pass


async def generator_function():
    yield


def plain_function():
    pass


@pytest.mark.parametrize(
    ("given", "hint"),
    [
        (coroutine_function, r"did you mean run\(coroutine_function\(\)\)\?"),
        (generator_function, "read with `async for`"),
        (generator_function(), "read with `async for`"),
        (plain_function, "`async` missing before its `def`"),
        (None, "missing its `async`"),
    ],
    ids=["function", "async generator function", "async generator", "plain function", "None"],
)
def test_hints(given, hint):
    with pytest.raises(NOT_AWAITABLE, match=hint):
        ferrio.run(given)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="Python 3.11 still runs generators as coroutines")
def test_hint_for_a_generator():
    with pytest.raises(NOT_AWAITABLE, match="`async` missing before its `def`"):
        ferrio.run(x for x in ())


def test_run_inside_a_running_loop_names_the_way_out():
    async def inner():
        return "ran"

    async def main():
        coroutine = inner()
        with pytest.raises(RuntimeError, match=r"`await inner\(\)` here instead.*ferrio\.to_thread"):
            ferrio.run(coroutine)
        coroutine.close()
        # Both ways out that the message names.
        return await inner(), await ferrio.to_thread(ferrio.run, inner())

    assert ferrio.run(main()) == ("ran", "ran")
