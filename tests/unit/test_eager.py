"""Eager task factories: the first step runs inside `create_task`."""

import asyncio
import contextvars
import sys
import weakref

import pytest
from tests.unit.implementations import failure, value_of

import ferrio


@pytest.fixture(params=[ferrio, asyncio] if sys.version_info >= (3, 12) else [ferrio], ids=lambda aio: aio.__name__)
def aio(request):
    """The implementation under test; the standard one has eager tasks from Python 3.12 on."""
    return request.param


@pytest.fixture
def run(aio, loop):
    """Returns a function that runs a coroutine on a loop with the eager factory."""
    loop.set_task_factory(aio.eager_task_factory)
    return loop.run_until_complete


def test_task_that_never_waits_is_done_at_once(aio, run):
    async def main():
        task = aio.create_task(value_of(aio, 1))
        assert task.done() and task.result() == 1
        failed = aio.create_task(failure(aio, LookupError()))
        assert failed.done() and isinstance(failed.exception(), LookupError)
        return await task

    assert run(main()) == 1


def test_waiting_task_goes_on_later(aio, run):
    order = []

    async def child():
        order.append("child begins")
        await aio.sleep(0)
        order.append("child ends")

    async def main():
        task = aio.create_task(child())
        order.append("main goes on")
        assert not task.done() and task in aio.all_tasks()
        await task

    run(main())
    assert order == ["child begins", "main goes on", "child ends"]


def test_current_task_during_the_first_step(aio, run):
    seen = []

    async def child():
        seen.append(aio.current_task())
        inner = aio.create_task(grandchild())
        seen.append(aio.current_task())
        await inner

    async def grandchild():
        seen.append(aio.current_task())

    async def main():
        before = aio.current_task()
        task = aio.create_task(child())
        assert aio.current_task() is before
        await task
        assert seen[0] is task and seen[2] is task and seen[1] is not task

    run(main())


def test_all_tasks_during_the_first_step(aio, run):
    async def child():
        return aio.current_task() in aio.all_tasks()

    async def main():
        return await aio.create_task(child()), len(aio.all_tasks())

    assert run(main()) == (True, 1)


def test_name_and_context_are_there_in_the_first_step(aio, run, loop):
    variable = contextvars.ContextVar("variable")

    async def child():
        return aio.current_task().get_name(), variable.get()

    async def main():
        context = contextvars.copy_context()
        context.run(variable.set, "inside")
        task = loop.create_task(child(), name="spam", context=context)
        assert task.done()
        return task.result()

    name, value = run(main())
    assert value == "inside"
    if aio is ferrio:
        # Up to 3.13 the standard loop names the task after its first step.
        assert name == "spam"


def test_context_is_a_copy(aio, run):
    variable = contextvars.ContextVar("variable", default="outside")

    async def child():
        variable.set("inside")

    async def main():
        await aio.create_task(child())
        return variable.get()

    assert run(main()) == "outside"


def test_constructor(aio, loop):
    class Task(aio.Task):
        made = 0

        def __init__(self, *args, **keywords):
            Task.made += 1
            super().__init__(*args, **keywords)

    async def main():
        task = aio.create_task(value_of(aio, 1), name="spam")
        assert type(task) is Task and task.done() and task.get_name() == "spam"

    loop.set_task_factory(aio.create_eager_task_factory(Task))
    loop.run_until_complete(main())
    assert Task.made == 2


@pytest.mark.skipif(sys.version_info < (3, 14), reason="before 3.14 the name is set after the task is made")
def test_first_step_knows_the_name(aio):
    async def name():
        return aio.current_task().get_name()

    async def main():
        loop = aio.get_running_loop()
        loop.set_task_factory(lambda loop, coro, **kwargs: aio.Task(coro, loop=loop, eager_start=True, **kwargs))
        task = loop.create_task(name(), name="spam")
        assert task.done()
        return task.result()

    assert aio.run(main()) == "spam"


def test_factory_by_hand(aio, loop):
    async def main():
        task = aio.eager_task_factory(loop, value_of(aio, 1))
        assert task.done()
        with pytest.raises(TypeError):
            aio.eager_task_factory(loop, 3)
        return task.result()

    assert loop.run_until_complete(main()) == 1


def test_cancelled_in_the_first_step(aio, run):
    async def child():
        aio.current_task().cancel()
        await aio.sleep(0)

    async def main():
        task = aio.create_task(child())
        with pytest.raises(aio.CancelledError):
            await task

    run(main())


def test_eager_start_overrides_the_factory():
    loop = ferrio.new_event_loop()
    loop.set_task_factory(ferrio.eager_task_factory)

    async def main():
        assert loop.get_task_factory() is ferrio.eager_task_factory
        late = loop.create_task(value_of(ferrio, 1), eager_start=False)
        assert not late.done()
        loop.set_task_factory(None)
        early = loop.create_task(value_of(ferrio, 2), eager_start=True)
        assert early.done()
        return await late

    assert loop.run_until_complete(main()) == 1
    loop.close()


def test_cycle_is_collected(collected):
    class Constructor:
        def __call__(self, coro, **keywords):
            return ferrio.Task(coro, **keywords)

    constructor = Constructor()
    constructor.factory = ferrio.create_eager_task_factory(constructor)
    gone = weakref.ref(constructor.factory)
    del constructor
    collected()
    assert gone() is None


@pytest.mark.skipif(sys.version_info < (3, 12), reason="Python 3.11 has no eager task factory to compare with")
def test_factory_is_recognised_by_its_code_and_shows_its_constructor(aio):
    # anyio checks for this, to make its own tasks not begin eagerly.
    factory = aio.create_eager_task_factory(aio.Task)
    assert factory.__code__ is asyncio.eager_task_factory.__code__ is aio.eager_task_factory.__code__
    assert [cell.cell_contents for cell in factory.__closure__] == [aio.Task]


def test_context_that_is_entered_already_leaves_no_task(aio, run):
    if aio is asyncio and sys.version_info < (3, 15):
        pytest.skip("the task stays the current one there")

    async def nothing():
        pass

    async def main():
        before, context = aio.all_tasks(), contextvars.copy_context()
        loop, coroutine = aio.get_running_loop(), nothing()

        def start():
            with pytest.raises(RuntimeError, match="already entered"):
                aio.Task(coroutine, loop=loop, context=context, eager_start=True)

        context.run(start)
        coroutine.close()
        current = aio.current_task()
        await aio.sleep(0)
        return before == aio.all_tasks() == {current}

    assert run(main())
