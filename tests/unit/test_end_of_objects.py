"""Objects of a program die when they would on asyncio. Nothing is kept beyond a call, not even in spare memory.

(One difference is intended: a loop keeps its pending tasks alive. See docs/differences.md.)
"""

import asyncio
import contextvars
import gc
import signal
import socket
import weakref

import pytest


class Thing:
    """An object that can be weakly referenced."""

    def __call__(self, *arguments):
        return None


class Failure(Exception):
    """An exception that can be weakly referenced."""


@pytest.fixture
def gone():
    """Reports which weak references are still alive, without help from the collector."""
    gc.collect()
    gc.disable()
    yield lambda *references: [reference() for reference in references] == [None] * len(references)
    gc.enable()


def test_callbacks_and_arguments(loop, gone):
    def schedule(how):
        callback, argument = Thing(), Thing()
        handle = how(callback, argument)
        return handle, weakref.ref(callback), weakref.ref(argument)

    handle, *references = schedule(loop.call_soon)
    loop.run_until_complete(turns(3))
    del handle
    assert gone(*references)

    for how in (
        loop.call_soon,
        loop.call_soon_threadsafe,
        lambda *call: loop.call_later(60, *call),
        lambda *call: loop.call_at(loop.time() + 60, *call),
    ):
        handle, *references = schedule(how)
        handle.cancel()
        assert gone(*references)
    loop.run_until_complete(turns(3))


async def turns(count):
    for _ in range(count):
        await asyncio.sleep(0)


def test_results_and_exceptions(aio, run, gone):
    async def value():
        return Thing()

    async def failure():
        raise Failure

    async def main():
        task = aio.create_task(value())
        reference = weakref.ref(await task)
        del task
        await turns(1)  # the turn that woke us holds asyncio's task
        assert gone(reference)
        task = aio.create_task(failure())
        await aio.wait([task])
        reference = weakref.ref(task.exception())
        del task
        await turns(1)  # the turn that woke us holds asyncio's task
        assert gone(reference)
        future = aio.Future()
        future.set_result(Thing())
        reference = weakref.ref(await future)
        del future
        assert gone(reference)
        reference = weakref.ref(await aio.sleep(0, Thing()))
        assert gone(reference)
        reference = weakref.ref(await aio.wait_for(aio.sleep(0, Thing()), 1))
        assert gone(reference)
        reference = weakref.ref((await aio.gather(value()))[0])
        await turns(1)
        assert gone(reference)

    run(main())


def test_coroutines_and_contexts(aio, run, gone):
    variable = contextvars.ContextVar("variable")

    async def body():
        mine = Thing()
        references.append(weakref.ref(mine))
        await aio.sleep(0)

    async def main():
        coroutine = body()
        references.append(weakref.ref(coroutine))
        context = contextvars.copy_context()
        thing = Thing()
        context.run(variable.set, thing)
        references.append(weakref.ref(thing))
        task = aio.create_task(coroutine, context=context)
        del context, thing, coroutine
        await task
        del task
        await aio.sleep(0)
        assert gone(*references)

    references = []
    run(main())


def test_done_callbacks(aio, run, gone):
    async def main():
        future, callback = aio.Future(), Thing()
        reference = weakref.ref(callback)
        future.add_done_callback(callback)
        del callback
        future.set_result(None)
        await turns(2)
        assert gone(reference)
        future, callback = aio.Future(), Thing()
        reference = weakref.ref(callback)
        future.add_done_callback(callback)
        future.remove_done_callback(callback)
        del callback
        assert gone(reference)
        assert not future.done()

    run(main())


def test_items(aio, run, gone):
    async def main():
        queue = aio.Queue(1)
        reference = weakref.ref(thing := Thing())
        await queue.put(thing)
        del thing
        await queue.get()
        assert gone(reference)
        await queue.put(1)
        reference = weakref.ref(thing := Thing())
        task = aio.create_task(queue.put(thing))
        del thing
        await aio.sleep(0)
        task.cancel()
        await aio.wait([task])
        del task
        await turns(1)  # the turn that woke us holds asyncio's task
        assert gone(reference)
        reference = weakref.ref(thing := Thing())
        coroutine = queue.put(thing)
        del thing
        coroutine.close()
        del coroutine
        assert gone(reference)

    run(main())


@pytest.mark.parametrize("kind", ["Lock", "Semaphore", "Event", "Queue", "Condition"])
def test_cancelled_waiters(aio, run, gone, kind):
    class Owner:
        """One of its methods waits."""

        async def wait(self):
            await wait()

    async def main():
        nonlocal wait
        thing = getattr(aio, kind)()
        if kind in ("Lock", "Semaphore"):
            await thing.acquire()
            wait = thing.acquire
        elif kind == "Condition":
            await thing.acquire()
            wait = thing.wait
        else:
            wait = thing.get if kind == "Queue" else thing.wait
        owner = Owner()
        reference = weakref.ref(owner)
        task = aio.create_task(owner.wait())
        del owner
        await aio.sleep(0)
        task._fut_waiter  # noqa: B018 - a look must not keep anything either
        task.cancel()
        await aio.wait([task])
        waiter = weakref.ref(task)
        del task
        await aio.sleep(0)
        assert gone(reference, waiter)

    wait = None
    run(main())


@pytest.mark.parametrize("kind", ["Lock", "Semaphore", "Condition", "Timeout", "Barrier"])
def test_async_with(aio, run, gone, kind):
    async def main():
        def make():
            return {"Timeout": lambda: aio.Timeout(None), "Barrier": lambda: aio.Barrier(1)}.get(
                kind, lambda: getattr(aio, kind)()
            )()

        thing = make()
        try:
            async with thing:
                failure = Failure()
                reference = weakref.ref(failure)
                raise failure
        except Failure:
            del failure
        own = weakref.ref(thing)
        del thing
        assert gone(own, reference)
        # What is made and never awaited keeps nothing alive either.
        thing = make()
        own = weakref.ref(thing)
        leaving = thing.__aexit__(None, None, None)
        leaving.close()
        entering = thing.__aenter__()
        entering.close()
        del thing, leaving, entering
        assert gone(own)

    run(main())


def test_exceptions_thrown(aio, run, gone):
    async def main():
        coroutine = aio.Event().wait()
        task = aio.create_task(coroutine)
        await aio.sleep(0)
        task.cancel(thing := Thing())
        reference = weakref.ref(thing)
        del thing
        await aio.wait([task])
        del task
        await turns(1)  # the turn that woke us holds asyncio's task
        assert gone(reference)
        failure = Failure()
        reference = weakref.ref(failure)
        other = aio.Event().wait()
        other.send(None)
        with pytest.raises(Failure):
            other.throw(failure)
        del failure
        assert gone(reference)

    run(main())


def test_functions_for_threads(aio, run, gone):
    async def main():
        function, argument = Thing(), Thing()
        references = weakref.ref(function), weakref.ref(argument)
        await aio.to_thread(function, argument)
        await aio.get_running_loop().run_in_executor(None, function, argument)
        del function, argument
        # The thread may not have dropped its job yet.
        await aio.get_running_loop().shutdown_default_executor()
        assert gone(*references)

    run(main())


def test_readers_and_signal_handlers(loop, gone, pair):
    ours, _theirs = pair
    callback, argument = Thing(), Thing()
    references = weakref.ref(callback), weakref.ref(argument)
    loop.add_reader(ours, callback, argument)
    loop.add_writer(ours, callback, argument)
    loop.add_signal_handler(signal.SIGUSR1, callback, argument)
    del callback, argument
    loop.remove_reader(ours)
    loop.remove_writer(ours)
    loop.remove_signal_handler(signal.SIGUSR1)
    loop.run_until_complete(turns(2))
    assert gone(*references)


def test_protocols_and_transports(aio, run, gone):
    class Protocol(aio.Protocol):
        def __init__(self):
            self.ended = aio.get_running_loop().create_future()

        def connection_made(self, transport):
            self.transport = weakref.ref(transport)

        def connection_lost(self, failure):
            self.ended.set_result(None)

    async def main():
        loop = aio.get_running_loop()
        ours, theirs = socket.socketpair()
        transport, protocol = await loop.create_connection(Protocol, sock=ours)
        transport.write(b"data")
        transport.close()
        await protocol.ended
        references = weakref.ref(transport), weakref.ref(protocol)
        del transport, protocol
        await turns(3)
        if aio is asyncio:
            gc.collect()  # Python 3.11's transport is in a cycle
        assert gone(*references)
        theirs.close()

    run(main())


def test_streams(aio, run, gone):
    async def main():
        ours, theirs = socket.socketpair()
        reader, writer = await aio.open_connection(sock=ours)
        theirs.send(b"line\n")
        assert await reader.readline() == b"line\n"
        writer.close()
        await writer.wait_closed()
        references = weakref.ref(reader), weakref.ref(writer)
        del reader, writer
        await turns(3)
        assert gone(*references)
        theirs.close()

    run(main())


def test_servers(aio, run, gone):
    async def main():
        protocol_factory = Thing()
        reference = weakref.ref(protocol_factory)
        server = await aio.get_running_loop().create_server(protocol_factory, "127.0.0.1", 0)
        del protocol_factory
        own = weakref.ref(server)
        server.close()
        await server.wait_closed()
        del server
        await turns(2)
        assert gone(reference, own)

    run(main())


def futures(aio, loop, link):
    future = loop.create_future()
    future.set_result(link)
    return future


def failed_futures(aio, loop, link):
    future = loop.create_future()
    future.set_exception(Failure(link))
    future.exception()
    return future


def tasks(aio, loop, link):
    async def value():
        return link

    return loop.create_task(value())


def gatherings(aio, loop, link):
    return aio.gather(link or loop.create_future())


def shields(aio, loop, link):
    return aio.shield(link or loop.create_future())


def handles(aio, loop, link):
    return aio.Handle(id, (link,), loop)


def ready_handles(aio, loop, link):
    return loop.call_soon(id, link)


def timers(aio, loop, link):
    return loop.call_later(3600, id, link)


def queues(aio, loop, link):
    queue = aio.Queue()
    queue.put_nowait(link)
    return queue


def mixed(aio, loop, link):
    future, queue = loop.create_future(), aio.LifoQueue()
    queue.put_nowait(link)
    future.set_result(queue)
    return loop.call_soon(id, future)


CHAINS = [futures, failed_futures, tasks, gatherings, shields, handles, ready_handles, timers, queues, mixed]


@pytest.mark.parametrize("link", CHAINS)
@pytest.mark.parametrize("cyclic", [False, True])
def test_long_chains_end_in_a_loop(aio, run, link, cyclic):
    async def main():
        loop = aio.get_running_loop()
        chain = None
        for _ in range(20_000):
            chain = link(aio, loop, chain)
        await turns(2)
        if cyclic:
            chain = [chain]
            chain.append(chain)
        del chain
        gc.collect()
        await turns(2)

    run(main())
    gc.collect()
