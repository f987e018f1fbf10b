"""The reprs of tasks, futures, handles and transports are asyncio's, including names and places of callbacks."""

import asyncio
import concurrent.futures
import functools
import gc
import os
import re
import socket
import sys
import warnings

import pytest
from tests.unit.implementations import forever

import ferrio


def look(thing):
    """Returns the `repr` without what differs from run to run: addresses, times, task numbers, asyncio's location."""
    text = re.sub(r"0x[0-9a-f]+", "0x", repr(thing))
    text = re.sub(r"when=[0-9.]+", "when=N", text)
    text = re.sub(r"Task-\d+", "Task-N", text)
    return re.sub(r"/\S*/asyncio/(\w+\.py:\d+)", r"asyncio/\1", text)


def function(*arguments):
    """A callback."""


class Callable:
    def method(self, *arguments):
        """A callback."""

    def __call__(self, *arguments):
        """A callback."""


CALLBACKS = [function, Callable().method, functools.partial(function, 1), Callable(), print, lambda *arguments: None]


async def settle(aio):
    for _ in range(4):
        await aio.sleep(0)


async def shown_of_futures(aio):
    loop = aio.get_running_loop()
    shown = [look(loop.create_future()), look(aio.current_task())]
    for callback in CALLBACKS:
        future = loop.create_future()
        future.add_done_callback(callback)
        shown.append(look(future))
    for _ in range(3):
        future.add_done_callback(function)
    shown.append(look(future))
    for end in (
        lambda future: future.set_result([1]),
        lambda future: future.set_result("x" * 200),
        lambda future: future.set_exception(LookupError("spam")) or future.exception(),
        lambda future: future.cancel(),
    ):
        future = loop.create_future()
        end(future)
        shown.append(look(future))
    return shown


async def shown_of_handles(aio):
    loop = aio.get_running_loop()
    shown = []
    for callback in CALLBACKS:
        for handle in (
            loop.call_soon(callback, 1, "a"),
            loop.call_later(5, callback, 1),
            loop.call_at(loop.time() + 5, callback),
            loop.call_soon_threadsafe(callback),
        ):
            shown.append(look(handle))
            handle.cancel()
            shown.append(look(handle))
    return shown


async def shown_of_tasks(aio):
    task = aio.create_task(forever(aio), name="waits")

    async def wait():
        await task

    outer = aio.create_task(wait(), name="outer")
    await settle(aio)
    shown = [look(task), look(outer)]
    outer.cancel()
    shown.append(look(outer))
    await settle(aio)
    return [*shown, look(task), look(outer)]


@pytest.mark.parametrize("body", [shown_of_futures, shown_of_handles, shown_of_tasks], ids=lambda body: body.__name__)
def test_repr_is_asyncios(body):
    assert ferrio.run(body(ferrio)) == asyncio.run(body(asyncio))


async def by_gather(aio, task):
    gathering = aio.gather(task)
    yield look(task)
    yield look(gathering)


async def by_shield(aio, task):
    shielded = aio.shield(task)
    # From Python 3.14 on asyncio uses a callback to remove what it recorded for call graphs.
    yield re.sub(r"shield\.<locals>\._clear_awaited_by_callback\(\) at \S+, ", "", look(task))
    yield look(shielded)


async def by_wait(aio, task):
    waiting = aio.create_task(aio.wait([task]))
    await settle(aio)
    yield look(task)
    waiting.cancel()


async def by_wait_for(aio, task):
    waiting = aio.create_task(aio.wait_for(task, 60))
    await settle(aio)
    yield look(task)
    waiting.cancel()


async def by_as_completed(aio, task):
    completed = aio.as_completed([task])
    if sys.version_info < (3, 13):
        next(completed).close()  # asyncio's is a generator, which starts now
    yield look(task)
    task.cancel()


async def by_task_group(aio, task):
    task.cancel()
    async with aio.TaskGroup() as group:
        child = group.create_task(forever(aio), name="child")
        await settle(aio)
        yield look(child)
        child.cancel()


async def by_wrap_future(aio, task):
    source = concurrent.futures.Future()
    yield look(aio.wrap_future(source))
    source.set_result(None)


async def by_another_future(aio, task):
    aio.futures._chain_future(task, concurrent.futures.Future())
    yield look(task)


async def by_run(aio, task):
    yield look(aio.current_task())


WAYS = [
    by_gather,
    by_shield,
    by_wait,
    by_wait_for,
    by_as_completed,
    by_task_group,
    by_wrap_future,
    by_another_future,
    by_run,
]


if sys.version_info < (3, 12):
    WAYS.remove(by_wait_for)  # asyncio's waits through its own future, which has its own callback


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_waiters_are_named_as_on_asyncio(way):
    async def main(aio):
        task = aio.create_task(forever(aio), name="waits")
        await settle(aio)
        shown = [text async for text in way(aio, task)]
        task.cancel()
        await aio.wait([task])
        return shown

    assert ferrio.run(main(ferrio)) == asyncio.run(main(asyncio))


def look_at_transport(transport):
    """Returns the `repr` without the descriptor's number and without what asyncio's class name has in addition."""
    text = re.sub(r"fd=\d+", "fd=N", repr(transport))
    return re.sub(r"<_(?:Selector|Unix)", "<", text)


def shown_of_transports(aio):
    """Shows each kind of transport: open, closing, closed, and open when its loop is closed."""
    shown = []
    for closes in (True, False):
        loop = aio.new_event_loop()
        (near, far), datagrams = socket.socketpair(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        datagrams.bind(("127.0.0.1", 0))
        pipes = [
            os.fdopen(end, mode, buffering=0) for _ in "ab" for end, mode in zip(os.pipe(), ("rb", "wb"), strict=True)
        ]
        transports = [
            loop.run_until_complete(making)[0]
            for making in (
                loop.create_connection(aio.Protocol, sock=near),
                loop.create_datagram_endpoint(aio.DatagramProtocol, sock=datagrams),
                loop.connect_read_pipe(aio.Protocol, pipes[0]),
                loop.connect_write_pipe(aio.Protocol, pipes[3]),
            )
        ]
        shown += map(look_at_transport, transports)
        if closes:
            for transport in transports:
                transport.close()
            shown += map(look_at_transport, transports)
            loop.run_until_complete(settle(aio))
            shown += map(look_at_transport, transports)
        loop.close()
        shown += map(look_at_transport, transports)
        for end in (near, far, datagrams, *pipes):
            end.close()
    return shown


def test_repr_of_transports_is_asyncios():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # about the transports that were never closed
        assert shown_of_transports(ferrio) == shown_of_transports(asyncio)
        gc.collect()
