"""`wrap_future` and chains: asyncio's futures and those of `concurrent.futures`, across threads."""

import asyncio
import concurrent.futures
import gc
import weakref

import pytest
from tests.unit.implementations import in_thread

import ferrio
from ferrio.futures import _chain_future, _copy_future_state


def test_result_from_another_thread(aio, run):
    async def main():
        source = concurrent.futures.Future()
        wrapped = aio.wrap_future(source)
        assert aio.isfuture(wrapped) and wrapped.get_loop() is aio.get_running_loop()
        in_thread(source.set_result, "spam")
        assert not wrapped.done()
        return await wrapped

    assert run(main()) == "spam"


def test_exception_from_another_thread(aio, run):
    async def main():
        source = concurrent.futures.Future()
        wrapped = aio.wrap_future(source)
        in_thread(source.set_exception, LookupError("spam"))
        with pytest.raises(LookupError, match="spam"):
            await wrapped

    run(main())


def test_pool(aio, run):
    with concurrent.futures.ThreadPoolExecutor(2) as pool:

        async def main():
            futures = [aio.wrap_future(pool.submit(pow, number, 2)) for number in range(200)]
            return await aio.gather(*futures)

        assert run(main()) == [number**2 for number in range(200)]


def test_source_that_is_already_done(aio, run):
    async def main():
        source = concurrent.futures.Future()
        source.set_result(1)
        return await aio.wrap_future(source)

    assert run(main()) == 1


def test_cancelled_source(aio, run):
    async def main():
        source = concurrent.futures.Future()
        wrapped = aio.wrap_future(source)
        source.cancel()
        with pytest.raises(aio.CancelledError):
            await wrapped

    run(main())


def test_cancelled_wrapper_cancels_the_source(aio, run):
    async def main():
        source = concurrent.futures.Future()
        wrapped = aio.wrap_future(source)
        wrapped.cancel()
        await aio.sleep(0)
        assert source.cancelled()

    run(main())


def test_result_after_the_wrapper_was_cancelled(aio, run):
    async def main():
        source = concurrent.futures.Future()
        wrapped = aio.wrap_future(source)
        wrapped.cancel()
        source.set_result(1)
        for _ in range(3):
            await aio.sleep(0)
        assert wrapped.cancelled()

    run(main())


def test_result_after_the_loop_was_closed(aio, caplog):
    loop = aio.new_event_loop()
    source = concurrent.futures.Future()
    wrapped = aio.wrap_future(source, loop=loop)
    loop.close()
    in_thread(source.set_result, 1)
    assert not wrapped.done()
    assert caplog.records == []


@pytest.mark.parametrize("name", ["CancelledError", "InvalidStateError"])
def test_exceptions_of_concurrent_futures_become_asyncios(aio, run, name):
    async def main():
        source = concurrent.futures.Future()
        source.set_exception(getattr(concurrent.futures, name)("why"))
        with pytest.raises(getattr(aio, name), match="why"):
            await aio.wrap_future(source)

    run(main())


def test_asyncio_future_is_returned_itself(aio, run):
    async def main():
        future = aio.Future()
        assert aio.wrap_future(future) is future

    run(main())


def test_object_that_is_not_a_future_is_refused(aio, loop):
    with pytest.raises(AssertionError, match=r"concurrent\.futures\.Future is expected"):
        aio.wrap_future(3, loop=loop)


def test_chain_to_a_concurrent_future():
    loop = ferrio.new_event_loop()

    async def main():
        source, target = loop.create_future(), concurrent.futures.Future()
        _chain_future(source, target)
        source.set_result(1)
        await ferrio.sleep(0)
        assert target.result(0) == 1
        source, target = loop.create_future(), concurrent.futures.Future()
        _chain_future(source, target)
        source.set_exception(LookupError("spam"))
        await ferrio.sleep(0)
        assert isinstance(target.exception(0), LookupError)
        source, target = loop.create_future(), concurrent.futures.Future()
        _chain_future(source, target)
        source.cancel()
        await ferrio.sleep(0)
        assert target.cancelled()
        source, target = loop.create_future(), concurrent.futures.Future()
        _chain_future(source, target)
        in_thread(target.cancel)
        while not source.done():
            await ferrio.sleep(0)
        assert source.cancelled()

    loop.run_until_complete(main())
    loop.close()


def test_chain_of_two_loops():
    ours, theirs = ferrio.new_event_loop(), asyncio.new_event_loop()
    source, target = theirs.create_future(), ours.create_future()
    _chain_future(source, target)
    theirs.call_soon(source.set_result, "spam")
    theirs.run_until_complete(source)
    assert ours.run_until_complete(target) == "spam"
    ours.close()
    theirs.close()


@pytest.mark.parametrize("arguments", [(3, None), (None, 3)], ids=["source", "destination"])
def test_chain_needs_futures(arguments):
    future = concurrent.futures.Future()
    source, destination = (argument or future for argument in arguments)
    with pytest.raises(TypeError, match="A future is required for"):
        _chain_future(*(future if end is None else end for end in (source, destination)))


def test_copy_future_state():
    loop = ferrio.new_event_loop()
    pending, done, cancelled = (loop.create_future() for _ in range(3))
    done.set_result(1)
    cancelled.cancel()
    _copy_future_state(done, cancelled)
    assert cancelled.cancelled()
    with pytest.raises(AssertionError, match="isn't done"):
        _copy_future_state(pending, loop.create_future())
    with pytest.raises(AssertionError, match="done already"):
        _copy_future_state(done, done)
    _copy_future_state(done, pending)
    assert pending.result() == 1
    loop.close()


def test_call_soon_threadsafe_of_a_subclass_is_used():
    posted = []

    class Loop(ferrio.EventLoop):
        def call_soon_threadsafe(self, callback, *args, context=None):
            posted.append(callback)
            return super().call_soon_threadsafe(callback, *args, context=context)

    loop = Loop()
    source = concurrent.futures.Future()
    wrapped = ferrio.wrap_future(source, loop=loop)
    in_thread(source.set_result, 1)
    assert loop.run_until_complete(wrapped) == 1
    assert len(posted) == 1
    loop.close()


def test_chain_is_collected(collected):
    loop = ferrio.new_event_loop()
    source = concurrent.futures.Future()
    wrapped = ferrio.wrap_future(source, loop=loop)
    wrapped.cycle = source
    gone = weakref.ref(wrapped)
    del wrapped, source
    collected()
    assert gone() is None
    assert gc.garbage == []
    loop.close()
