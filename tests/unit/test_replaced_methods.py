"""A program may replace methods of asyncio's own classes through which it expects everything to pass, or their code:
`BaseEventLoop.create_task`, `ThreadPoolExecutor.submit`, the function of an eager task factory.

Tracers do that to pass on the context of a request. ferrio's loop isn't of the replaced class, and obeys nevertheless.
"""

import asyncio
import concurrent.futures.thread
import sys
import types

import pytest

import ferrio

CREATE_TASK = asyncio.BaseEventLoop, "create_task"
SUBMIT = concurrent.futures.thread.ThreadPoolExecutor, "submit"


@pytest.fixture(autouse=True)
def restored():
    """Puts back the methods and their code."""
    before = [(owner, name, vars(owner)[name], vars(owner)[name].__code__) for owner, name in (CREATE_TASK, SUBMIT)]
    code = ferrio.eager_task_factory.__code__
    yield
    for owner, name, method, old in before:
        setattr(owner, name, method)
        method.__code__ = old
    ferrio.eager_task_factory.__code__ = code


def by_method(owner, name, seen):
    """Replaces the method by one that notes its arguments and calls the old one."""
    original = getattr(owner, name)

    def replacement(*arguments, **keywords):
        seen.append((arguments, keywords))
        return original(*arguments, **keywords)

    setattr(owner, name, replacement)


def by_code(owner, name, seen):
    """Gives the method code that notes its arguments and calls a copy of the old one."""
    replace_code(getattr(owner, name), seen)


def replace_code(function, seen):
    copy = types.FunctionType(
        function.__code__, function.__globals__, function.__name__, function.__defaults__, function.__closure__
    )
    copy.__kwdefaults__ = function.__kwdefaults__
    names = "".join(f"{name}, " for name in function.__code__.co_freevars)
    # A function's code can only be replaced by code with as many free variables.
    source = f"""def outer(seen, copy, {names}):
        def {function.__name__}(*arguments, **keywords):
            ({names})
            HOOK(arguments, keywords)
            return COPY(*arguments, **keywords)
        return {function.__name__}"""
    made = {}
    exec(source, made)
    function.__globals__["HOOK"] = lambda arguments, keywords: seen.append((arguments, keywords))
    function.__globals__["COPY"] = copy
    function.__code__ = made["outer"](*[None] * (2 + len(function.__code__.co_freevars))).__code__


WAYS = pytest.mark.parametrize("replace", [by_method, by_code])


async def child():
    return "child"


@WAYS
def test_create_task_of_asyncios_loop_class(aio, replace):
    seen = []
    replace(*CREATE_TASK, seen)

    async def main():
        loop = aio.get_running_loop()
        named = aio.create_task(child(), name="named")
        async with aio.TaskGroup() as group:
            group.create_task(child())
        await aio.gather(child(), named)
        await aio.wait_for(aio.ensure_future(child()), 10)
        assert named.get_name() == "named"
        assert all(arguments[0] is loop for arguments, _ in seen)
        assert [arguments[1].__name__ for arguments, _ in seen] == ["main", *["child"] * 4]

    aio.run(main())


@WAYS
def test_create_task_is_noticed_in_a_running_loop(aio, replace):
    seen = []

    async def main():
        await aio.sleep(0.001)
        replace(*CREATE_TASK, seen)
        await aio.sleep(0.001)
        task = aio.create_task(child())
        assert isinstance(task, asyncio.Future)
        assert len(seen) == 1
        return await task

    assert aio.run(main()) == "child"


@WAYS
def test_create_task_with_a_factory(aio, replace):
    seen, made = [], []

    def factory(loop, coro, **keywords):
        made.append(coro)
        return aio.Task(coro, loop=loop, **keywords)

    async def main():
        aio.get_running_loop().set_task_factory(factory)
        task = aio.create_task(child(), name="named")
        assert (len(seen), len(made)) == (2, 1)
        return await task

    replace(*CREATE_TASK, seen)
    assert aio.run(main()) == "child"


@WAYS
@pytest.mark.parametrize("used", [False, True])
def test_submit_of_thread_pools(aio, replace, used):
    seen = []

    async def main():
        loop = aio.get_running_loop()
        if used:
            await loop.run_in_executor(None, len, "before")
        replace(*SUBMIT, seen)
        assert await loop.run_in_executor(None, len, "four") == 4
        assert await aio.to_thread(len, "three") == 5

    aio.run(main())
    assert len(seen) == 2
    assert seen[0][0][1:] == (len, "four")


@pytest.mark.skipif(sys.version_info < (3, 12), reason="Python 3.11 has no eager task factory to compare with")
def test_code_of_an_eager_task_factory(aio):
    seen = []

    async def main():
        loop = aio.get_running_loop()
        loop.set_task_factory(aio.eager_task_factory)
        assert aio.create_task(child()).done()
        replace_code(aio.eager_task_factory, seen)
        task = aio.create_task(child())
        assert task.done()
        assert len(seen) == 1
        return await task

    code = aio.eager_task_factory.__code__
    try:
        assert aio.run(main()) == "child"
    finally:
        aio.eager_task_factory.__code__ = code
