"""`TaskGroup`: the same bodies on asyncio and on ferrio, then mixtures of both."""

import asyncio
import contextvars
import gc
import sys
import weakref

import pytest
from tests.unit.implementations import since

import ferrio


async def at_once(value):
    return value


async def fail(error):
    raise error


def test_all_children_are_awaited(aio):
    async def main():
        async with aio.TaskGroup() as group:
            tasks = [group.create_task(aio.sleep(0.001 * n, n)) for n in range(5)]
            nested = group.create_task(at_once(group))
        return [task.result() for task in tasks], nested.result() is group, repr(group)

    assert aio.run(main()) == ([0, 1, 2, 3, 4], True, "<TaskGroup entered>")


def test_repr(aio):
    async def main():
        group = aio.TaskGroup()
        seen = [repr(group)]
        try:
            async with group:
                seen.append(repr(group))
                group.create_task(aio.sleep(10))
                group.create_task(fail(LookupError()))
                seen.append(repr(group))
                try:
                    await aio.sleep(10)
                except aio.CancelledError:
                    seen.append(repr(group))
                    raise
        except ExceptionGroup:
            return seen

    assert aio.run(main()) == [
        "<TaskGroup>",
        "<TaskGroup entered>",
        "<TaskGroup tasks=2 entered>",
        "<TaskGroup tasks=1 errors=1 cancelling>",
    ]


def test_keywords_of_create_task(aio):
    async def main():
        variable = contextvars.ContextVar("variable", default="outside")
        context = contextvars.copy_context()
        context.run(variable.set, "inside")

        async def look():
            return variable.get()

        async with aio.TaskGroup() as group:
            task = group.create_task(look(), name="looker", context=context)
            other = group.create_task(look(), name=None, context=None)
        return task.get_name(), task.result(), other.result()

    assert aio.run(main()) == ("looker", "inside", "outside")


def test_eager_start_as_a_keyword(virtually):
    async def main():
        async with ferrio.TaskGroup() as group:
            done = group.create_task(at_once(1), eager_start=True)
            assert done.done()
            later = group.create_task(at_once(2), eager_start=False)
            assert not later.done()
            with pytest.raises(TypeError):
                group.create_task(coroutine := at_once(3), spam=True)
            coroutine.close()
        return done.result(), later.result()

    assert virtually(main()) == (1, 2)


def test_eager_child_that_fails_lets_the_block_go_on(virtually):
    async def main():
        seen = []
        with pytest.raises(ExceptionGroup):
            async with ferrio.TaskGroup() as group:
                group.create_task(fail(LookupError()), eager_start=True)
                seen.append("went on")
                await ferrio.sleep(0)
                seen.append("not here")
        return seen

    assert virtually(main()) == ["went on"]


def test_child_that_fails_cancels_the_others(aio):
    async def main():
        async def bystander():
            try:
                await aio.sleep(10)
            except aio.CancelledError:
                seen.append("cancelled")
                raise

        seen = []
        with pytest.raises(ExceptionGroup) as caught:
            async with aio.TaskGroup() as group:
                group.create_task(bystander())
                group.create_task(fail(LookupError("spam")))
                await aio.sleep(10)
        error = caught.value
        assert error.message == "unhandled errors in a TaskGroup"
        assert [repr(inner) for inner in error.exceptions] == ["LookupError('spam')"]
        assert error.__cause__ is None
        assert error.__suppress_context__
        return seen, aio.current_task().cancelling()

    assert aio.run(main()) == (["cancelled"], 0)


def test_block_that_fails_cancels_the_children(aio):
    async def main():
        with pytest.raises(ExceptionGroup) as caught:
            async with aio.TaskGroup() as group:
                task = group.create_task(aio.sleep(10))
                await aio.sleep(0)
                raise LookupError("spam")
        error = caught.value
        assert [type(inner) for inner in error.exceptions] == [LookupError]
        assert error.__context__ is error.exceptions[0]
        return task.cancelled()

    assert aio.run(main())


def test_all_failures_are_grouped(aio):
    async def stubborn(error):
        try:
            await aio.sleep(10)
        finally:
            raise error

    async def main():
        with pytest.raises(BaseExceptionGroup) as caught:
            async with aio.TaskGroup() as group:
                group.create_task(stubborn(ValueError()))
                group.create_task(stubborn(GeneratorExit()))
                group.create_task(stubborn(OSError()))
                await aio.sleep(0)
                raise LookupError
        return {type(error) for error in caught.value.exceptions}

    assert aio.run(main()) == {ValueError, GeneratorExit, OSError, LookupError}


@pytest.mark.parametrize("fatal", [KeyboardInterrupt, SystemExit])
def test_exception_that_ends_the_program_is_not_grouped(aio, fatal):
    async def main():
        async with aio.TaskGroup() as group:
            group.create_task(aio.sleep(10))
            await aio.sleep(0)
            raise fatal

    with pytest.raises(fatal):
        aio.run(main())


def test_cancelled_from_outside(aio):
    async def main():
        async def work():
            async with aio.TaskGroup() as group:
                children.extend(group.create_task(aio.sleep(10)) for _ in range(3))

        children = []
        task = aio.create_task(work())
        await aio.sleep(0.001)
        task.cancel("enough")
        with pytest.raises(aio.CancelledError, match="enough"):
            await task
        return [child.cancelled() for child in children], task.cancelling()

    assert aio.run(main()) == ([True] * 3, 1)


def test_cancelled_from_outside_while_children_end(aio):
    """Children that take their time are awaited however often the parent is cancelled."""

    async def slow():
        try:
            await aio.sleep(10)
        finally:
            for _ in range(5):
                await aio.sleep(0)
            ended.append(True)

    async def main():
        async def work():
            async with aio.TaskGroup() as group:
                group.create_task(slow())

        task = aio.create_task(work())
        await aio.sleep(0.001)
        for _ in range(3):
            task.cancel()
            await aio.sleep(0)
        with pytest.raises(aio.CancelledError):
            await task
        return task.cancelling()

    ended = []
    assert aio.run(main()) == 3
    assert ended == [True]


@since(3, 13)
def test_failure_and_cancellation_from_outside(aio):
    """The group raises; the cancellation stays requested, and the parent gets it at its next await."""

    async def main():
        async def work():
            try:
                async with aio.TaskGroup() as group:
                    group.create_task(fail(LookupError()))
                    aio.current_task().cancel()
                    await aio.sleep(10)
            except* LookupError:
                seen.append(aio.current_task().cancelling())
            await aio.sleep(10)

        seen = []
        task = aio.create_task(work())
        with pytest.raises(aio.CancelledError):
            await task
        return seen

    assert aio.run(main()) == [1]


def test_nested_groups(aio):
    async def main():
        with pytest.raises(ExceptionGroup) as caught:
            async with aio.TaskGroup():
                async with aio.TaskGroup() as inner:
                    inner.create_task(fail(LookupError()))
                    await aio.sleep(10)
        (group,) = caught.value.exceptions
        return type(group), [type(error) for error in group.exceptions], aio.current_task().cancelling()

    assert aio.run(main()) == (ExceptionGroup, [LookupError], 0)


def test_misuse(aio):
    async def main():
        group = aio.TaskGroup()
        messages = []

        def refused():
            coroutine = aio.sleep(0)
            with pytest.raises(RuntimeError) as caught:
                group.create_task(coroutine)
            coroutine.close()
            messages.append(str(caught.value))

        refused()
        async with group:
            with pytest.raises(RuntimeError) as caught:
                await group.__aenter__()
            messages.append(str(caught.value))
        refused()
        group = aio.TaskGroup()
        with pytest.raises(ExceptionGroup):
            async with group:
                group.create_task(aio.sleep(10))
                await aio.sleep(0)
                group.create_task(fail(LookupError()))
                try:
                    await aio.sleep(10)
                finally:
                    refused()
        return messages

    hint = "" if aio is asyncio else ": use `async with`, which waits for the tasks at its end"
    assert aio.run(main()) == [
        "TaskGroup <TaskGroup> has not been entered" + hint,
        "TaskGroup <TaskGroup entered> has already been entered",
        "TaskGroup <TaskGroup entered> is finished",
        "TaskGroup <TaskGroup tasks=1 errors=1 cancelling> is shutting down",
    ]


def test_refused_coroutine_is_closed_from_3_13_on(aio):
    async def main():
        coroutine = at_once(1)
        with pytest.raises(RuntimeError):
            aio.TaskGroup().create_task(coroutine)
        if sys.version_info < (3, 13):
            assert await coroutine == 1
        else:
            with pytest.raises(RuntimeError, match="already awaited"):
                await coroutine

    aio.run(main())


def test_outside_a_task(aio):
    loop = aio.new_event_loop()
    seen = []

    def callback():
        try:
            list(aio.TaskGroup().__aenter__().__await__())
        except RuntimeError as error:
            seen.append(str(error))
        loop.stop()

    loop.call_soon(callback)
    loop.run_forever()
    loop.close()
    assert seen == ["TaskGroup <TaskGroup> cannot determine the parent task"]


def test_only_generator_exit_is_raised_as_it_is(virtually):
    """An asynchronous generator that is closed inside a group ends quietly."""

    async def numbers():
        async with ferrio.TaskGroup() as group:
            group.create_task(ferrio.sleep(10))
            yield 1

    async def main():
        generator = numbers()
        assert await anext(generator) == 1
        await generator.aclose()
        return ferrio.current_task().cancelling()

    assert virtually(main()) == 0


@since(3, 15)
class TestCancel:
    """`TaskGroup.cancel()`, new in 3.15."""

    def test_from_the_block(self, aio):
        async def main():
            async with aio.TaskGroup() as group:
                task = group.create_task(aio.sleep(10))
                await aio.sleep(0)
                group.cancel()
                group.cancel()
                await aio.sleep(0)
                raise AssertionError("not here")
            return task.cancelled(), aio.current_task().cancelling()

        assert aio.run(main()) == (True, 0)

    def test_from_a_child(self, aio):
        async def main():
            async def work():
                group.cancel()

            async with aio.TaskGroup() as group:
                task = group.create_task(aio.sleep(10))
                group.create_task(work())
            return task.cancelled(), aio.current_task().cancelling()

        assert aio.run(main()) == (True, 0)

    def test_before_it_is_entered(self, aio):
        async def main():
            group = aio.TaskGroup()
            group.cancel()
            seen = []
            async with group:
                refused = at_once(1)
                with pytest.raises(RuntimeError, match="is shutting down"):
                    group.create_task(refused)
                refused.close()  # before Python 3.13 the group doesn't
                seen.append("begun")
                await aio.sleep(0)
                seen.append("not here")
            return seen, aio.current_task().cancelling()

        assert aio.run(main()) == (["begun"], 0)

    def test_after_the_end(self, aio):
        async def main():
            async with aio.TaskGroup() as group:
                pass
            group.cancel()
            await aio.sleep(0)
            return aio.current_task().cancelling()

        assert aio.run(main()) == 0

    def test_child_that_fails_because_of_it(self, aio):
        async def stubborn():
            try:
                await aio.sleep(10)
            finally:
                raise LookupError

        async def main():
            with pytest.raises(ExceptionGroup) as caught:
                async with aio.TaskGroup() as group:
                    group.create_task(stubborn())
                    await aio.sleep(0)
                    group.cancel()
            return [type(error) for error in caught.value.exceptions]

        assert aio.run(main()) == [LookupError]

    def test_with_a_cancellation_from_outside(self, aio):
        async def main():
            async def work():
                async with aio.TaskGroup() as group:
                    group.create_task(aio.sleep(10))
                    group.cancel()
                    aio.current_task().cancel("outside")

            task = aio.create_task(work())
            with pytest.raises(aio.CancelledError):
                await task
            return task.cancelling()

        assert aio.run(main()) == 1


def test_task_factory(aio):
    made = []

    def factory(loop, coro, **kwargs):
        task = aio.Task(coro, loop=loop, **kwargs)
        made.append(task)
        return task

    async def main():
        aio.get_running_loop().set_task_factory(factory)
        async with aio.TaskGroup() as group:
            task = group.create_task(at_once(1))
        return made == [task]

    assert aio.run(main())


def test_children_that_are_subclasses():
    class Own(ferrio.Task):
        def add_done_callback(self, callback, *, context=None):
            added.append(callback)
            super().add_done_callback(callback, context=context)

    async def main():
        ferrio.get_running_loop().set_task_factory(lambda loop, coro, **kwargs: Own(coro, loop=loop, **kwargs))
        with pytest.raises(ExceptionGroup):
            async with ferrio.TaskGroup() as group:
                task = group.create_task(fail(LookupError()))
        assert isinstance(task, Own)

    added = []
    ferrio.run(main())
    assert added


def test_subclass_with_its_own_methods():
    class Named(ferrio.TaskGroup):
        def __init__(self, name):
            super().__init__()
            self.name = name

        def create_task(self, coro, **kwargs):
            return super().create_task(coro, name=self.name, **kwargs)

        async def __aexit__(self, *exc_info):
            try:
                return await super().__aexit__(*exc_info)
            except ExceptionGroup as group:
                self.failures = group.exceptions
                return True

    async def main():
        async with Named("spam") as group:
            task = group.create_task(fail(LookupError()))
        assert task.get_name() == "spam"
        return [type(error) for error in group.failures]

    assert ferrio.run(main()) == [LookupError]


def test_call_graph_shows_the_parent_of_a_child(virtually):
    async def main():
        async with ferrio.TaskGroup() as group:
            task = group.create_task(ferrio.sleep(1))
            await ferrio.sleep(0)
            awaited_by = task._asyncio_awaited_by
        return awaited_by == {ferrio.current_task()}, task._asyncio_awaited_by

    assert virtually(main()) == (True, None)


def test_failed_group_keeps_no_exception():
    """After the block the group holds no exception, so no frame, so no cycle."""

    class Held(Exception):
        pass

    async def fail_without_a_cycle():
        raise Held

    async def main():
        group = ferrio.TaskGroup()
        try:
            async with group:
                group.create_task(fail_without_a_cycle())
        except ExceptionGroup as caught:
            error = weakref.ref(caught.exceptions[0])
        return group, error

    gc.disable()
    try:
        group, error = ferrio.run(main())
        assert error() is None
        assert group._errors == []
        assert group._parent_task is None
    finally:
        gc.enable()


@pytest.mark.parametrize("loop_of", [asyncio, ferrio], ids=["asyncio loop", "ferrio loop"])
@pytest.mark.parametrize("names_of", [asyncio, ferrio], ids=["asyncio names", "ferrio names"])
def test_names_of_each_implementation_work_on_each_loop(loop_of, names_of):
    async def main():
        async with names_of.TaskGroup() as group:
            task = group.create_task(asyncio.sleep(0.001, 1))
            other = group.create_task(ferrio.sleep(0.001, 2), name="other")
        assert (task.result(), other.result(), other.get_name()) == (1, 2, "other")
        with pytest.raises(ExceptionGroup):
            async with names_of.TaskGroup() as group:
                group.create_task(fail(LookupError()))
                bystander = group.create_task(asyncio.sleep(10))
                await ferrio.sleep(10)
        assert bystander.cancelled()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                async with names_of.TaskGroup() as group:
                    group.create_task(asyncio.sleep(10))
        return asyncio.current_task().cancelling()

    loop = loop_of.new_event_loop()
    try:
        assert loop.run_until_complete(main()) == 0
    finally:
        loop.close()
