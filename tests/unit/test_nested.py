"""Loops inside loops: `allow_nested()`, and what nest_asyncio finds."""

import asyncio
import contextvars
import os
import signal
import sys

import pytest
from tests.unit.programs import run_program

import ferrio


@pytest.fixture(autouse=True)
def allowed():
    ferrio.allow_nested()
    yield
    ferrio.allow_nested(False)


async def value(number, turns=3):
    for _ in range(turns):
        await ferrio.sleep(0)
    return number


def run_until_complete(coroutine):
    return ferrio.get_running_loop().run_until_complete(coroutine)


def in_own_loop(coroutine):
    with ferrio.Runner() as runner:
        return runner.run(coroutine)


def in_new_loop(coroutine):
    loop = ferrio.new_event_loop()
    try:
        return loop.run_until_complete(coroutine)
    finally:
        loop.close()


WAYS = {
    "run": ferrio.run,
    "run_until_complete": run_until_complete,
    "own loop": in_own_loop,
    "new loop": in_new_loop,
    "asyncio.run": lambda coroutine: asyncio.run(coroutine),  # replaced by allow_nested()
}


@pytest.fixture(params=WAYS)
def way(request):
    """A function that runs a coroutine inside a running loop."""
    return WAYS[request.param]


def test_inner_run_returns_its_result_and_restores_everything(way):
    variable = contextvars.ContextVar("variable", default="outer")

    async def inner():
        assert variable.get() == "before"
        variable.set("inner")
        task = ferrio.current_task()
        assert task is asyncio.current_task()
        assert task.get_coro().cr_code is inner.__code__
        return await value(42)

    async def main():
        loop, task = ferrio.get_running_loop(), ferrio.current_task()
        variable.set("before")
        assert way(inner()) == 42
        assert variable.get() == "before"
        assert ferrio.get_running_loop() is asyncio.get_running_loop() is loop
        assert ferrio.get_event_loop() is loop
        assert ferrio.current_task() is asyncio.current_task() is task
        assert await value(43) == 43
        return "end"

    assert ferrio.run(main()) == "end"


def test_inner_error_reaches_the_caller(way):
    async def fail():
        await ferrio.sleep(0)
        raise LookupError("spam")

    async def main():
        with pytest.raises(LookupError, match="spam"):
            way(fail())
        with pytest.raises(ferrio.CancelledError):
            way(cancelled())
        return await value(1)

    async def cancelled():
        ferrio.current_task().cancel()
        await ferrio.sleep(0)

    assert ferrio.run(main()) == 1


@pytest.mark.parametrize("inside", [ferrio.run, run_until_complete], ids=["run", "run_until_complete"])
def test_other_tasks_go_on_while_the_inner_loop_runs(inside):
    async def main():
        queue = ferrio.Queue()

        async def answer():
            while (number := await queue.get()) is not None:
                answers.append(number * 2)

        answers = []
        other = ferrio.create_task(answer())

        async def ask():
            for number in range(3):
                queue.put_nowait(number)
            while len(answers) < 3:
                await ferrio.sleep(0)

        inside(ask())
        assert answers == [0, 2, 4]
        queue.put_nowait(None)
        await other

    ferrio.run(main())


def test_separate_loop_has_the_thread_to_itself():
    async def main():
        seen = []
        ferrio.get_running_loop().call_soon(seen.append, "outer")
        in_own_loop(value(1))
        assert seen == []
        await ferrio.sleep(0)
        assert seen == ["outer"]

    ferrio.run(main())


@pytest.mark.parametrize("inside", [ferrio.run, run_until_complete, in_own_loop], ids=["run", "until", "own"])
def test_several_levels_deep(inside):
    async def level(depth):
        await ferrio.sleep(0)
        task = ferrio.current_task()
        below = inside(level(depth - 1)) if depth else 0
        assert ferrio.current_task() is task
        return below + 1

    assert ferrio.run(level(12)) == 13


def test_in_a_callback(way):
    async def main():
        loop = ferrio.get_running_loop()
        done = loop.create_future()

        def callback():
            assert ferrio.current_task() is None
            done.set_result(way(value(5)))
            assert ferrio.current_task() is None

        loop.call_soon(callback)
        return await done

    assert ferrio.run(main()) == 5


def test_in_an_eager_task(way):
    async def eager():
        task = ferrio.current_task()
        result = way(value(6))
        assert ferrio.current_task() is task
        return result

    async def main():
        outer = ferrio.current_task()
        task = ferrio.eager_task_factory(ferrio.get_running_loop(), eager())
        assert ferrio.current_task() is outer
        return await task

    assert ferrio.run(main()) == 6


def test_callbacks_of_the_inner_task_run_before_it_returns():
    async def main():
        seen = []
        task = ferrio.create_task(value(7))
        task.add_done_callback(seen.append)
        assert run_until_complete(task) == 7
        assert seen == [task]

    ferrio.run(main())


def test_inner_run_of_a_done_future():
    async def main():
        future = ferrio.get_running_loop().create_future()
        future.set_result(8)
        return run_until_complete(future)

    assert ferrio.run(main()) == 8


def test_stop_ends_only_the_inner_run_forever():
    async def main():
        loop = ferrio.get_running_loop()
        loop.call_later(0.001, loop.stop)
        loop.run_forever()
        return await value(9)

    assert ferrio.run(main()) == 9


def test_stop_ends_all_runs_until_complete():
    loop = ferrio.new_event_loop()
    said = []

    async def main():
        loop.call_soon(loop.stop)
        try:
            loop.run_until_complete(loop.create_future())
        except RuntimeError as error:
            said.append(str(error))
        await loop.create_future()

    task = loop.create_task(main())
    with pytest.raises(RuntimeError, match=r"Event loop stopped before Future completed\."):
        loop.run_until_complete(task)
    assert said == ["Event loop stopped before Future completed."]
    task.cancel()
    with pytest.raises(ferrio.CancelledError):
        loop.run_until_complete(task)
    loop.close()


def test_callbacks_in_an_entered_context_wait_for_the_inner_end():
    """A notebook runs all its cells in one context."""

    async def main():
        loop = ferrio.get_running_loop()
        shared, seen = contextvars.copy_context(), []

        async def cell():
            loop.call_soon(seen.append, "callback", context=shared)
            other = loop.create_task(value(1), context=shared)
            assert ferrio.run(value(2)) == 2
            assert seen == []
            assert not other.done()
            return await other

        assert await loop.create_task(cell(), context=shared) == 1
        assert seen == ["callback"]

    ferrio.run(main())


def test_asynchronous_generators_belong_to_the_loop():
    closed = []

    async def numbers():
        try:
            for number in range(3):
                yield number
        finally:
            await ferrio.sleep(0)
            closed.append(True)

    async def begin():
        generator = numbers()
        return await anext(generator), generator

    async def main():
        hooks = sys.get_asyncgen_hooks()
        first, generator = ferrio.run(begin())
        assert first == 0
        assert sys.get_asyncgen_hooks() == hooks
        assert closed == []
        in_own_loop(begin())
        assert closed == [True]
        assert sys.get_asyncgen_hooks() == hooks
        return generator

    generator = ferrio.run(main())
    assert closed == [True, True]
    del generator


def test_debug_mode_is_restored_after_the_inner_run():
    async def debug():
        return ferrio.get_running_loop().get_debug()

    async def main():
        assert ferrio.run(debug(), debug=True) is True
        assert ferrio.run(debug()) is False
        return await debug()

    assert ferrio.run(main()) is False


def test_debug_mode_shows_the_outer_handle_again():
    async def main():
        loop = ferrio.get_running_loop()
        done = loop.create_future()

        def callback():
            before = loop._current_handle
            ferrio.run(value(1))
            done.set_result(loop._current_handle is before)

        loop.call_soon(callback)
        return await done

    assert ferrio.run(main(), debug=True)


@pytest.mark.parametrize("inside", [ferrio.run, run_until_complete, in_own_loop], ids=["run", "until", "own"])
def test_interrupt_cancels_the_innermost_run(inside):
    cancelled = []

    async def wait():
        ferrio.get_running_loop().call_soon(os.kill, os.getpid(), signal.SIGINT)
        try:
            await ferrio.sleep(60)
        except ferrio.CancelledError:
            cancelled.append("inner")
            raise

    async def main():
        try:
            inside(wait())
        except (KeyboardInterrupt, ferrio.CancelledError):
            cancelled.append("outer")
            raise

    with pytest.raises(KeyboardInterrupt):
        ferrio.run(main())
    assert cancelled == ["inner", "outer"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_timeout_comes_while_what_is_awaited_runs_a_loop():
    async def slow():
        run_until_complete(ferrio.sleep(2))
        await ferrio.sleep(60)

    async def main():
        with pytest.raises(TimeoutError):
            await ferrio.wait_for(slow(), 1)
        with pytest.raises(TimeoutError):
            async with ferrio.timeout(1):
                await slow()
        assert ferrio.current_task().cancelling() == 0
        return loop.time()

    loop = ferrio.EventLoop(virtual_time=True)
    try:
        began = loop.time()
        assert loop.run_until_complete(main()) - began == pytest.approx(4)
    finally:
        loop.close()


def test_outer_run_ends_as_usual():
    ended = []

    async def wait():
        try:
            await ferrio.sleep(60)
        finally:
            ended.append(True)

    async def spawn():
        ferrio.create_task(wait())
        await ferrio.sleep(0)

    async def main():
        ferrio.run(spawn())
        assert ended == []  # it belongs to the loop
        in_own_loop(spawn())
        assert ended == [True]

    ferrio.run(main())
    assert ended == [True, True]


def test_ferrios_loop_runs_inside_a_standard_loop():
    async def main():
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert ferrio.run(value(1)) == 1
        assert in_new_loop(value(2)) == 2
        assert asyncio.get_running_loop() is loop
        assert asyncio.current_task() is task
        await asyncio.sleep(0)
        return isinstance(loop, ferrio.EventLoop)

    loop = asyncio.SelectorEventLoop()
    assert loop.run_until_complete(main()) is False
    loop.close()


def test_standard_runner_runs_inside_ferrios_loop():
    async def main():
        with asyncio.Runner(loop_factory=ferrio.new_event_loop) as runner:
            assert runner.run(value(1)) == 1
            return runner.run(value(2))

    with asyncio.Runner(loop_factory=ferrio.new_event_loop) as runner:
        assert runner.run(main()) == 2


def test_loop_of_another_thread_is_refused():
    async def main():
        loop = ferrio.get_running_loop()

        def other():
            coroutine = value(1)
            with pytest.raises(RuntimeError, match="This event loop is already running"):
                loop.run_until_complete(coroutine)
            coroutine.close()

        await ferrio.to_thread(other)

    ferrio.run(main())


def test_permission_can_be_revoked():
    ferrio.allow_nested(False)
    assert asyncio.run.__module__ == "asyncio.runners"
    assert not hasattr(asyncio.run, "__wrapped__")

    async def main():
        for refused in (ferrio.run, run_until_complete, in_new_loop, asyncio.run):
            coroutine = value(1)
            with pytest.raises(RuntimeError, match="running"):
                refused(coroutine)
            coroutine.close()
        return await value(1)

    assert ferrio.run(main()) == 1


@pytest.mark.parametrize("inside", [ferrio.run, run_until_complete, in_new_loop], ids=["run", "until", "new"])
def test_without_permission_the_error_names_it(inside):
    ferrio.allow_nested(False)

    async def main():
        coroutine = value(1)
        with pytest.raises(RuntimeError, match=r"`await.*ferrio\.allow_nested\(\)"):
            inside(coroutine)
        coroutine.close()

    ferrio.run(main())


# What nest_asyncio 1.6 and nest_asyncio2 1.7 do before they look at a loop; `tests/libraries` runs the packages.


NEST_ASYNCIO = """
import asyncio
import ferrio

def run(main, *, debug=False):
    raise AssertionError("the package's own run")

def get_event_loop(self):
    raise AssertionError("the package's own get_event_loop")

def apply(loop):
    if not hasattr(asyncio, "_nest_patched"):
        asyncio.Task = asyncio.tasks._CTask = asyncio.tasks.Task = asyncio.tasks._PyTask
        asyncio.Future = asyncio.futures._CFuture = asyncio.futures.Future = asyncio.futures._PyFuture
        asyncio.run = run
        asyncio._nest_patched = True
    ferrio.EventLoopPolicy.get_event_loop = get_event_loop
    if not hasattr(loop, "_nest_patched"):
        raise ValueError("no loop to patch")
"""


@pytest.mark.parametrize("way_in", ["install", "loop"])
def test_nest_asyncio_allows_nesting(way_in):
    program = f"""
    import asyncio, types
    import ferrio
    if {way_in == "install"}:
        ferrio.install()
    nest = types.ModuleType("nest_asyncio")
    exec({NEST_ASYNCIO!r}, vars(nest))

    async def inner():
        await asyncio.sleep(0)
        return 42

    async def main():
        loop = asyncio.get_running_loop()
        assert not hasattr(loop, "_nest_patched")
        nest.apply(loop)
        assert asyncio.run(inner()) == 42
        assert loop.run_until_complete(inner()) == 42
        assert isinstance(asyncio.current_task(), asyncio.Task)
        assert isinstance(loop.create_future(), asyncio.Future)
        print("end")

    with ferrio.Runner() as runner:
        runner.run(main())
    policy = ferrio.EventLoopPolicy()
    policy.set_event_loop(None)
    try:
        policy.get_event_loop()
    except RuntimeError as error:
        print(str(error)[:30])
    """
    assert run_program(program) == "end\nThere is no current event loop\n"
