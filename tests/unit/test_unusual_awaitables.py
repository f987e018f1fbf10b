"""What can be awaited without being a coroutine of an `async def` function or a future: generators of
`types.coroutine`, and what `anext(iterator, default)` makes of a future.
"""

import sys
import types

import pytest
from tests.unit.implementations import value_of


@types.coroutine
def generator(value):
    received = yield
    return value, received


STARTS = {
    "await": lambda aio, awaitable: awaitable,
    "ensure_future": lambda aio, awaitable: aio.ensure_future(awaitable),
    "gather": lambda aio, awaitable: aio.gather(awaitable),
    "shield": lambda aio, awaitable: aio.shield(awaitable),
    "wait_for": lambda aio, awaitable: aio.wait_for(awaitable, 5),
    "as_completed": lambda aio, awaitable: next(iter(aio.as_completed([awaitable]))),
}


@pytest.mark.parametrize("start", STARTS.values(), ids=STARTS)
def test_generator_of_types_coroutine(aio, run, start):
    async def main():
        return await start(aio, generator("spam"))

    assert run(main()) in [("spam", None), [("spam", None)]]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="up to 3.11 asyncio takes plain generators for coroutines")
@pytest.mark.parametrize("start", [STARTS["ensure_future"], STARTS["gather"], STARTS["wait_for"]])
def test_plain_generator_is_refused(aio, run, start):
    async def main():
        with pytest.raises(TypeError):
            await start(aio, (number for number in range(3)))

    run(main())


class Steps:
    """An asynchronous iterator whose steps are these awaitables."""

    def __init__(self, *awaitables):
        self.left = list(awaitables)

    def __aiter__(self):
        return self

    def __anext__(self):
        return self.left.pop(0) if self.left else self.end()

    async def end(self):
        raise StopAsyncIteration


def make_future(aio):
    future = aio.get_running_loop().create_future()
    aio.get_running_loop().call_soon(future.set_result, "step")
    return future


MAKES = {
    "future": make_future,
    "task": lambda aio: aio.ensure_future(value_of(aio, "step", 2)),
    "operation": lambda aio: aio.sleep(0, "step"),
    "timer": lambda aio: aio.sleep(0.001, "step"),
    "wait": lambda aio: aio.wait_for(make_future(aio), 5),
    "coroutine": lambda aio: value_of(aio, "step", 2),
}


@pytest.mark.parametrize("make", MAKES.values(), ids=MAKES)
def test_next_step_or_a_default(aio, run, make):
    async def main():
        steps = Steps(make(aio))
        return await anext(steps, "nothing"), await anext(steps, "nothing")

    assert run(main()) == ("step", "nothing")


PENDING = {
    "future": lambda aio: aio.get_running_loop().create_future(),
    "task": lambda aio: aio.ensure_future(aio.Event().wait()),
    "operation": lambda aio: aio.Event().wait(),
    "wait": lambda aio: aio.wait_for(aio.get_running_loop().create_future(), 5),
    "coroutine": lambda aio: value_of(aio, "step", 1000),
}


@pytest.mark.parametrize("make", PENDING.values(), ids=PENDING)
def test_next_step_is_cancelled(aio, run, make):
    async def main():
        async def step():
            return await anext(Steps(make(aio)), "nothing")

        task = aio.ensure_future(step())
        await aio.sleep(0)
        task.cancel("enough")
        with pytest.raises(aio.CancelledError):
            await task
        assert task.cancelled()

    run(main())


@pytest.mark.parametrize("make", PENDING.values(), ids=PENDING)
def test_next_step_ends_with_its_coroutine(aio, run, make):
    async def main():
        ended = []

        async def step():
            try:
                await anext(Steps(make(aio)), "nothing")
            finally:
                ended.append("ended")

        coroutine = step()
        coroutine.send(None)
        coroutine.close()
        return ended

    assert run(main()) == ["ended"]


@pytest.mark.parametrize("make", [PENDING["operation"], PENDING["wait"], PENDING["coroutine"]])
def test_second_wait_for_one_coroutine_is_refused(aio, run, make):
    async def main():
        coroutine = make(aio)

        async def step():
            await coroutine

        task = aio.ensure_future(step())
        await aio.sleep(0)
        with pytest.raises(RuntimeError, match="awaited already"):
            await coroutine
        with pytest.raises(RuntimeError, match="awaited already"):
            await anext(Steps(coroutine))
        task.cancel()

    run(main())
