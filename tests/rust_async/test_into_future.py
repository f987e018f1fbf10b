"""Python awaitables awaited from Rust: in the task itself, and from a runtime's threads."""

import asyncio
import contextvars
import threading

import pytest


@pytest.fixture(params=["task", "tokio", "smol"])
def calling(request, probe):
    """Awaits `function()` from Rust: in the awaiting task, or in a thread of a runtime."""
    return {"task": probe.calling, "tokio": probe.in_tokio.calling, "smol": probe.in_smol.calling}[request.param]


def test_value_and_error(run, calling):
    async def value():
        await asyncio.sleep(0.001)
        return "value"

    async def error():
        await asyncio.sleep(0)
        raise KeyError("error")

    async def main():
        assert await calling(value) == "value"
        with pytest.raises(KeyError, match="error"):
            await calling(error)
        with pytest.raises(TypeError):
            await calling(lambda: 7)
        done = asyncio.get_running_loop().create_future()
        done.set_result("done")
        assert await calling(lambda: done) == "done"

    run(main())


def test_python_side_runs_on_the_loop_in_the_context_of_the_await(run, calling):
    variable = contextvars.ContextVar("variable")

    async def look():
        return variable.get(), threading.get_ident(), asyncio.get_running_loop()

    async def one(number):
        variable.set(number)
        assert await calling(look) == (number, threading.get_ident(), asyncio.get_running_loop())

    async def main():
        await asyncio.gather(*map(one, range(10)))

    run(main())


def test_cancelled_await_cancels_the_python_task(run, calling):
    async def main():
        begun, cancelled = asyncio.Event(), asyncio.Event()

        async def waiting():
            begun.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.set()
                raise

        task = asyncio.create_task(calling(waiting))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with asyncio.timeout(10):
            await cancelled.wait()

    run(main())


def test_cancelled_python_task_raises_in_rust(run, calling):
    async def main():
        begun = asyncio.get_running_loop().create_future()

        async def waiting():
            begun.set_result(asyncio.current_task())
            await asyncio.Event().wait()

        task = asyncio.create_task(calling(waiting))
        (await begun).cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(main())


def test_rust_in_python_in_rust(run, calling):
    def nested(depth):
        async def inner():
            return depth if depth == 3 else await calling(nested(depth + 1))

        return inner

    async def main():
        assert await calling(nested(0)) == 3

    run(main())
