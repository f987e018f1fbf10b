"""`timeout`, `timeout_at` and `Timeout`: the same bodies on asyncio and on ferrio, then mixtures of both."""

import asyncio
import gc
import weakref

import pytest
from tests.unit.implementations import since

import ferrio


def test_block_that_takes_too_long(aio):
    async def main():
        with pytest.raises(TimeoutError) as caught:
            async with aio.timeout(0.001) as scope:
                await aio.sleep(10)
        return scope.expired(), caught.value, aio.current_task().cancelling()

    expired, error, cancelling = aio.run(main())
    assert expired
    assert cancelling == 0
    assert isinstance(error.__cause__, aio.CancelledError)
    assert error.__context__ is error.__cause__


def test_block_that_ends_in_time(aio):
    async def main():
        async with aio.timeout(3600) as scope:
            await aio.sleep(0)
            assert not scope.expired()
            assert 3500 < scope.when() - aio.get_running_loop().time() <= 3600
        return scope

    scope = aio.run(main())
    assert not scope.expired()
    assert repr(scope) == "<Timeout [finished]>"


@pytest.mark.parametrize("make", ["timeout", "timeout_at"])
def test_no_limit(aio, make):
    async def main():
        async with getattr(aio, make)(None) as scope:
            assert scope.when() is None
            assert repr(scope) == "<Timeout [active] when=None>"
            await aio.sleep(0.001)
        return scope.expired()

    assert not aio.run(main())


def test_timeout_at_returns_the_given_time(aio):
    when = 10**9
    scope = aio.timeout_at(when)
    assert scope.when() is when
    assert repr(scope) == "<Timeout [created]>"


@pytest.mark.parametrize("delay", [0, -1, 0.0])
def test_deadline_that_has_already_passed(aio, delay):
    """A deadline in the past expires in the very next turn, before a task that only lets one turn pass."""

    async def main():
        begun = passed = False
        with pytest.raises(TimeoutError):
            async with aio.timeout(delay):
                begun = True
                await aio.sleep(0)
                passed = True
        return begun, passed

    assert aio.run(main()) == (True, False)


def test_passed_deadline_without_a_suspension(aio):
    async def main():
        async with aio.timeout(0) as scope:
            pass
        await aio.sleep(0)
        await aio.sleep(0)
        return scope.expired(), aio.current_task().cancelling()

    assert aio.run(main()) == (False, 0)


def test_infinite_delay(virtually):
    async def main():
        async with ferrio.timeout(float("inf")) as scope:
            await ferrio.sleep(10**6)
            return scope.when()

    assert virtually(main()) == float("inf")


def test_reschedule(virtually):
    async def main():
        loop = ferrio.get_running_loop()
        start = loop.time()
        with pytest.raises(TimeoutError):
            async with ferrio.timeout(1) as scope:
                await ferrio.sleep(0.5)
                scope.reschedule(start + 3)
                await ferrio.sleep(2)
                scope.reschedule(None)
                await ferrio.sleep(10)
                scope.reschedule(start + 20)
                await ferrio.sleep(100)
        return loop.time() - start

    assert virtually(main()) == pytest.approx(20)


def test_reschedule_to_the_past_and_back(virtually):
    """Even a callback that is already ready is cancelled."""

    async def main():
        loop = ferrio.get_running_loop()
        async with ferrio.timeout(5) as scope:
            scope.reschedule(loop.time() - 1)
            scope.reschedule(loop.time() + 1)
            await ferrio.sleep(0)
            await ferrio.sleep(0.5)
        return scope.expired()

    assert virtually(main()) is False


def test_reschedule_after_the_timer_came_due(virtually):
    """If a callback moves the timeout in the turn in which its timer is due, the timer has no effect."""

    async def main():
        loop = ferrio.get_running_loop()
        deadline = loop.time() + 1
        scope = ferrio.timeout_at(deadline)
        loop.call_at(deadline, lambda: scope.reschedule(deadline + 3))
        async with scope:
            await ferrio.sleep(2)
        return scope.expired()

    assert virtually(main()) is False


def test_misuse(aio):
    async def main():
        scope = aio.timeout(1)
        with pytest.raises(RuntimeError, match="Timeout has not been entered"):
            scope.reschedule(2)
        async with scope:
            with pytest.raises(RuntimeError, match="Timeout has already been entered"):
                async with scope:
                    pass
        with pytest.raises(RuntimeError, match="Cannot change state of finished Timeout"):
            scope.reschedule(2)
        with pytest.raises(RuntimeError, match="Timeout has already been entered"):
            async with scope:
                pass
        with pytest.raises(TimeoutError):
            async with aio.timeout(0.001) as scope:
                try:
                    await aio.sleep(1)
                finally:
                    assert repr(scope) == "<Timeout [expiring]>"
                    with pytest.raises(RuntimeError, match="Cannot change state of expiring Timeout"):
                        scope.reschedule(1)
        assert repr(scope) == "<Timeout [expired]>"

    aio.run(main())


def test_leaving_without_entering_is_refused():
    async def main():
        scope = ferrio.timeout(1)
        with pytest.raises(RuntimeError, match="Timeout has not been entered"):
            await scope.__aexit__(None, None, None)
        async with scope:
            pass
        with pytest.raises(RuntimeError, match="Timeout has already been left"):
            await scope.__aexit__(None, None, None)

    ferrio.run(main())


def test_outside_a_task(aio):
    loop = aio.new_event_loop()
    seen = []

    def callback():
        scope = aio.timeout(1)
        try:
            list(scope.__aenter__().__await__())
        except RuntimeError as error:
            seen.append(str(error))
        loop.stop()

    loop.call_soon(callback)
    loop.run_forever()
    loop.close()
    assert seen == ["Timeout should be used inside a task"]
    with pytest.raises(RuntimeError, match="no running event loop"):
        aio.timeout(1)


@pytest.mark.parametrize("bad", ["1", object(), [1]])
def test_object_that_is_not_a_number_is_refused(bad):
    async def main():
        with pytest.raises(TypeError, match="must be a number of seconds"):
            ferrio.timeout(bad)
        entered_late = ferrio.timeout_at(bad)
        with pytest.raises(TypeError, match="must be a number of seconds"):
            async with entered_late:
                pass
        async with ferrio.timeout(1) as scope:
            with pytest.raises(TypeError, match="must be a number of seconds"):
                scope.reschedule(bad)

    ferrio.run(main())


def test_nested_inner_expires(aio):
    async def main():
        async with aio.timeout(10) as outer:
            with pytest.raises(TimeoutError):
                async with aio.timeout(0.001) as inner:
                    await aio.sleep(5)
        return inner.expired(), outer.expired()

    assert aio.run(main()) == (True, False)


def test_nested_outer_expires(aio):
    async def main():
        with pytest.raises(TimeoutError):
            async with aio.timeout(0.001) as outer:
                try:
                    async with aio.timeout(10) as inner:
                        await aio.sleep(5)
                except aio.CancelledError:
                    assert not inner.expired()
                    raise
        return outer.expired(), aio.current_task().cancelling()

    assert aio.run(main()) == (True, 0)


def test_nested_both_expire(virtually):
    async def main():
        with pytest.raises(TimeoutError):
            async with ferrio.timeout(1) as outer:
                async with ferrio.timeout(1) as inner:
                    await ferrio.sleep(5)
        return outer.expired(), inner.expired(), ferrio.current_task().cancelling()

    assert virtually(main()) == (True, True, 0)


def test_cancelled_from_outside(aio):
    async def main():
        async def work():
            async with aio.timeout(10) as scope:
                scopes.append(scope)
                await aio.sleep(5)

        scopes = []
        task = aio.create_task(work())
        await aio.sleep(0)
        task.cancel("enough")
        with pytest.raises(aio.CancelledError, match="enough"):
            await task
        return scopes[0].expired(), task.cancelling()

    assert aio.run(main()) == (False, 1)


def test_cancelled_from_outside_while_it_expires(virtually):
    """The outside cancellation wins: there is no TimeoutError."""

    async def main():
        async def work():
            async with ferrio.timeout(1):
                try:
                    await ferrio.sleep(5)
                finally:
                    ferrio.current_task().cancel()

        task = ferrio.create_task(work())
        await ferrio.sleep(2)
        return task.cancelled(), task.cancelling()

    assert virtually(main()) == (True, 1)


def test_another_exception_passes(aio):
    async def main():
        with pytest.raises(LookupError):
            async with aio.timeout(0.001) as scope:
                try:
                    await aio.sleep(5)
                except aio.CancelledError:
                    raise LookupError from None
        return scope.expired(), aio.current_task().cancelling()

    assert aio.run(main()) == (True, 0)


@since(3, 14)
def test_timeout_error_in_the_chain_of_another_exception(aio):
    """`raise X` during the cancellation: X's context shows that there was a timeout (since 3.14)."""

    async def main():
        with pytest.raises(LookupError) as caught:
            async with aio.timeout(0.001):
                try:
                    await aio.sleep(5)
                finally:
                    raise LookupError
        return caught.value

    error = aio.run(main())
    assert isinstance(error.__context__, TimeoutError)
    assert isinstance(error.__context__.__cause__, aio.CancelledError)
    assert error.__context__.__context__ is error.__context__.__cause__


@since(3, 14)
def test_timeout_error_in_the_chains_of_a_group(aio):
    async def fail():
        try:
            await aio.sleep(5)
        finally:
            raise LookupError

    async def main():
        with pytest.raises(ExceptionGroup) as caught:
            async with aio.timeout(0.001):
                async with aio.TaskGroup() as group:
                    group.create_task(fail())
        return caught.value

    error = aio.run(main())
    assert isinstance(error.exceptions[0].__context__, TimeoutError)


def test_value_in_spite_of_the_cancellation(aio):
    """A block that swallows the cancellation ends normally, and the request is withdrawn."""

    async def main():
        async with aio.timeout(0.001) as scope:
            try:
                await aio.sleep(5)
            except aio.CancelledError:
                pass
        return scope.expired(), aio.current_task().cancelling()

    assert aio.run(main()) == (True, 0)


def test_subclass_with_its_own_arguments():
    class Named(ferrio.Timeout):
        def __init__(self, name, when):
            super().__init__(when)
            self.name = name

        async def __aenter__(self):
            entered.append(await super().__aenter__())
            return self

    async def main():
        async with Named("spam", None) as scope:
            assert scope.name == "spam"
        assert entered == [scope]

    entered = []
    ferrio.run(main())


def test_enter_is_lazy_and_awaited_once():
    async def main():
        scope = ferrio.timeout(1)
        entering = scope.__aenter__()
        other = ferrio.timeout(2)
        assert repr(scope) == "<Timeout [created]>"
        async with other:
            assert await entering is scope
        with pytest.raises(RuntimeError, match="already awaited"):
            await entering
        assert await scope.__aexit__(None, None, None) is None

    ferrio.run(main())


def test_loop_with_its_own_clock():
    """If a subclass replaces `time` or `call_at`, a timeout goes through them."""

    class Loop(ferrio.EventLoop):
        def call_at(self, when, callback, *args, context=None):
            calls.append(when - self.time())
            return super().call_at(when, callback, *args, context=context)

    async def main():
        with pytest.raises(TimeoutError):
            async with ferrio.timeout(0.001):
                await loop.create_future()

    calls = []
    loop = Loop()
    loop.run_until_complete(main())
    loop.close()
    assert len(calls) == 1
    assert calls[0] <= 0.001


@pytest.mark.parametrize("loop_of", [asyncio, ferrio], ids=["asyncio loop", "ferrio loop"])
@pytest.mark.parametrize("names_of", [asyncio, ferrio], ids=["asyncio names", "ferrio names"])
def test_names_of_each_implementation_work_on_each_loop(loop_of, names_of):
    async def main():
        with pytest.raises(TimeoutError):
            async with names_of.timeout(0.001) as scope:
                await asyncio.sleep(10)
        assert scope.expired()
        with pytest.raises(TimeoutError):
            async with names_of.timeout(0):
                await asyncio.sleep(10)
        async with names_of.timeout(10) as scope:
            scope.reschedule(scope.when() + 1)
            await asyncio.sleep(0)
        return asyncio.current_task().cancelling()

    loop = loop_of.new_event_loop()
    try:
        assert loop.run_until_complete(main()) == 0
    finally:
        loop.close()


def test_no_timer_stays_behind():
    """A timeout that was left keeps neither its task nor itself alive until the deadline."""

    async def work():
        async with ferrio.timeout(3600) as scope:
            return weakref.ref(scope)

    async def main():
        scope = await work()
        gc.collect()
        return scope()

    assert ferrio.run(main()) is None


def test_entering_and_leaving_can_be_wrapped_in_tasks(aio):
    async def main():
        lock, semaphore = aio.Lock(), aio.Semaphore(1)
        assert await aio.gather(lock.__aenter__(), aio.create_task(semaphore.__aenter__())) == [None, None]
        assert lock.locked() and semaphore.locked()
        leaving = semaphore.__aexit__(None, None, None)
        assert aio.iscoroutine(leaving)
        leaving.close()
        assert semaphore.locked()
        cancelled = aio.create_task(semaphore.__aexit__(None, None, None))
        cancelled.cancel()
        await aio.wait([aio.create_task(lock.__aexit__(None, None, None)), cancelled])
        assert (lock.locked(), semaphore.locked(), cancelled.cancelled()) == (False, True, True)
        limit = aio.timeout(60)
        assert await aio.create_task(limit.__aenter__()) is limit

    aio.run(main())


def test_a_new_one_has_nothing_of_the_one_before(aio):
    async def main():
        dead = []
        for number in range(4):
            async with aio.timeout(60) as timeout:
                assert vars(timeout).get("note") is None
                if number % 2:
                    timeout.note = "kept by the block before"
                dead.append(weakref.ref(timeout))
            assert timeout.when() is not None
            assert not timeout.expired()
            del timeout
            gc.collect()
        return [reference() for reference in dead]

    assert aio.run(main()) == [None] * 4
