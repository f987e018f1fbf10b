"""Every class that holds Python references lets the garbage collector find the cycles through it.

Each test builds a cycle through one class, drops it, collects, and checks that a witness in the cycle is gone. The
loop stays alive while the collector runs, unless it is part of the cycle itself: a dying loop frees more than the
collector does.
"""

import asyncio
import concurrent.futures
import os
import socket
import ssl
import weakref

import pytest

import ferrio


class Witness:
    """Part of a cycle, weakly referenced from outside it."""

    def __call__(self, *args):
        """Lets a witness serve as a callback."""


@pytest.fixture
def loop():
    loop = ferrio.new_event_loop()
    yield loop
    loop.close()
    # A wait that begins outside a running loop makes one on old Pythons, and nobody closes that.
    assert ferrio._policy._loop_set(ferrio._policy._policy) is None


def make_witness(*held) -> Witness:
    """Returns a witness that holds the given objects."""
    witness = Witness()
    witness.held = list(held)
    return witness


def future_result(loop, witness):
    future = loop.create_future()
    future.set_result(witness)
    witness.held.append(future)


def socket_transport(loop, witness):
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    witness.connection_made = print
    transport = loop._make_socket_transport(ours, witness)
    witness.held.append(transport)
    theirs.close()
    transport.abort()
    witness.connection_lost = print
    loop.run_until_complete(ferrio.sleep(0))
    transport.set_protocol(witness)  # `connection_lost` dropped it


def datagram_transport(loop, witness):
    ours = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    ours.setblocking(False)
    witness.connection_made = witness.connection_lost = print
    transport = loop._make_datagram_transport(ours, witness)
    witness.held.append(transport)
    transport.abort()
    loop.run_until_complete(ferrio.sleep(0))
    transport.set_protocol(witness)  # `connection_lost` dropped it


def pipe_transports(loop, witness):
    ends = [os.fdopen(fd, mode, 0) for fd, mode in zip(os.pipe(), ("rb", "wb"), strict=True)]
    witness.connection_made = witness.connection_lost = print
    for make, end in zip((loop._make_read_pipe_transport, loop._make_write_pipe_transport), ends, strict=True):
        transport = make(end, witness)
        witness.held.append(transport)
        transport.abort()
    loop.run_until_complete(ferrio.sleep(0))
    for transport in witness.held:
        transport.set_protocol(witness)  # `connection_lost` dropped it


def subprocess_transport(loop, witness):
    async def main():
        transport, _ = await loop.subprocess_exec(ferrio.SubprocessProtocol, "true")
        await transport._wait()
        transport.close()
        return transport

    transport = loop.run_until_complete(main())
    for _ in range(10):
        loop.run_until_complete(ferrio.sleep(0))  # until `connection_lost` has dropped the protocol
    transport.set_protocol(witness)
    witness.held.append(transport)


def future_exception(loop, witness):
    future = loop.create_future()
    error = ValueError("in a cycle")
    error.witness = witness
    future.set_exception(error)
    future.exception()  # retrieved, so that it isn't reported
    witness.held.append(future)


def future_callback(loop, witness):
    future = loop.create_future()
    future.add_done_callback(witness)
    witness.held.append(future)


def future_many_callbacks(loop, witness):
    future = loop.create_future()
    for _ in range(4):
        future.add_done_callback(witness)
    witness.held.append(future)


def future_attribute(loop, witness):
    class Subclass(ferrio.Future):
        pass

    future = Subclass(loop=loop)
    future.witness = witness
    witness.held.append(future)


def future_cancel_message(loop, witness):
    future = loop.create_future()
    future.cancel(witness)
    witness.held.append(future)


def task_result(loop, witness):
    async def give_back():
        return witness

    task = loop.create_task(give_back())
    loop.run_until_complete(task)
    witness.held.append(task)


def task_coroutine(loop, witness):
    """A task that waited for a future held by its own coroutine."""

    async def wait_for_it(future):
        future.witness_of_frame = witness
        await future

    class Subclass(ferrio.Future):
        pass

    future = Subclass(loop=loop)
    task = loop.create_task(wait_for_it(future))
    loop.call_soon(loop.stop)
    loop.run_forever()
    witness.held.append(task)
    future.set_result(None)
    loop.run_until_complete(task)


def task_failed(loop, witness):
    async def fail():
        held = witness  # in the frame that the traceback holds
        raise ValueError(str(held is None))

    task = loop.create_task(fail())
    with pytest.raises(ValueError, match="False"):
        loop.run_until_complete(task)
    witness.held.append(task)


def task_attribute(loop, witness):
    class Subclass(ferrio.Task):
        pass

    async def at_once():
        pass

    task = Subclass(at_once(), loop=loop)
    task.witness = witness
    loop.run_until_complete(task)
    witness.held.append(task)


def handle(loop, witness):
    ran = loop.call_soon(witness)
    witness.held.append(ran)
    loop.call_soon(loop.stop)
    loop.run_forever()


def cancelled_handle(loop, witness):
    ran = loop.call_soon(print, witness)
    ran.cancel()
    witness.held.append(ran)
    loop.call_soon(loop.stop)
    loop.run_forever()


def cancelled_timer(loop, witness):
    timer = loop.call_later(3600, print, witness)
    timer.cancel()
    witness.held.append(timer)


def elapsed_timer(loop, witness):
    timer = loop.call_later(0, witness)
    witness.held.append(timer)
    loop.run_until_complete(ferrio.sleep(0.001))


def queue_item(loop, witness):
    queue = ferrio.Queue()
    queue.put_nowait(witness)
    witness.held.append(queue)


def priority_queue_item(loop, witness):
    queue = ferrio.PriorityQueue()
    queue.put_nowait((1, id(witness), witness))
    witness.held.append(queue)


def lifo_queue_item(loop, witness):
    queue = ferrio.LifoQueue()
    queue.put_nowait(witness)
    witness.held.append(queue)


def finished_gather(loop, witness):
    async def give_back():
        return witness

    async def main():
        gathered = ferrio.gather(give_back(), give_back())
        await gathered
        witness.held.append(gathered)

    loop.run_until_complete(main())


def shield(loop, witness):
    async def main():
        inner = loop.create_future()
        outer = ferrio.shield(inner)
        outer.add_done_callback(witness)
        witness.held += [inner, outer]

    loop.run_until_complete(main())


def task_group(loop, witness):
    async def main():
        async with ferrio.TaskGroup() as group:
            task = group.create_task(ferrio.sleep(0, witness))
        witness.held += [group, task]

    loop.run_until_complete(main())


def waiting_lock(loop, witness):
    async def main():
        lock = ferrio.Lock()
        await lock.acquire()
        waiter = ferrio.create_task(lock.acquire())
        await ferrio.sleep(0)
        waiter.cancel(witness)
        await ferrio.wait([waiter])
        witness.held += [lock, waiter]

    loop.run_until_complete(main())


def event_and_condition(loop, witness):
    async def main():
        event, condition = ferrio.Event(), ferrio.Condition()
        waiter = ferrio.create_task(event.wait())
        await ferrio.sleep(0)
        event.set()
        await waiter
        waiter.add_done_callback(witness)
        witness.held += [event, condition, waiter]

    loop.run_until_complete(main())


def unstarted_operation(loop, witness):
    operation = ferrio.sleep(0, witness)
    loop.run_until_complete(operation)
    witness.held.append(operation)


def stream_reader(loop, witness):
    class Subclass(ferrio.StreamReader):
        pass

    for made in (ferrio.StreamReader(loop=loop), Subclass(loop=loop)):
        made.set_transport(witness)
        made.set_exception(ValueError(witness))
        made.witness = witness
        made._buffer[:] = b"the subclass's own, shared from now on"
        waiter = loop.create_future()
        waiter.add_done_callback(witness)
        made._waiter = waiter
        witness.held.append(made)


def begin(loop, operation):
    """Lets an operation wait in its object, and then drops it."""

    async def main():
        operation.send(None)

    loop.run_until_complete(main())


def waiting_read(loop, witness):
    reader = ferrio.StreamReader(loop=loop)
    begin(loop, reader.readline())
    reader.witness = witness
    witness.held.append(reader)


def connected_stream(loop, witness):
    class Closed(asyncio.Transport):
        def is_closing(self):
            return True

    transport = Closed()
    reader = ferrio.StreamReader(loop=loop)
    protocol = ferrio.StreamReaderProtocol(reader, lambda reader, writer: witness.held.append(writer), loop=loop)
    transport.everything = [witness, reader, protocol]
    protocol.connection_made(transport)
    protocol.witness = witness
    protocol._closed.add_done_callback(witness)
    witness.held.append(transport)


def waiting_drain(loop, witness):
    protocol = ferrio.StreamReaderProtocol(None, loop=loop)
    protocol.pause_writing()
    begin(loop, protocol._drain_helper())
    protocol.witness = witness
    witness.held.append(protocol)


def runner(loop, witness):
    made = ferrio.Runner(loop_factory=lambda: (witness, ferrio.new_event_loop())[1])
    made.get_loop()
    made.close()
    witness.held.append(made)


def server_protocol_factory(loop, witness):
    witness.held.append(ferrio.Server(loop, [], witness, None, 100, None))


def tls_protocol(loop, witness):
    protocol = ferrio.sslproto.SSLProtocol(
        loop, ferrio.Protocol(), ssl.create_default_context(), witness, False, "localhost"
    )
    protocol._app_transport.abort()  # otherwise it complains that it is still open
    witness.held.append(protocol)


def tls_transport(loop, witness):
    transport = ferrio.sslproto.SSLProtocol(
        loop, witness, ssl.create_default_context(), None, False, "localhost"
    )._app_transport
    transport.abort()
    witness.held.append(transport)


def server_waiter(loop, witness):
    server = ferrio.Server(loop, [], Witness, None, 100, None)
    witness.held.append(server)
    waiting = server.wait_closed()
    waiting.send(None)
    server._waiters[0].add_done_callback(witness)
    witness.held.append(waiting)


def file_in_a_cycle(loop, witness):
    def opener(path, flags):
        return os.open(path, flags)

    opener.witness = witness
    bare = loop.run_until_complete(ferrio.open(os.devnull, "rb").__aenter__())
    standard = loop.run_until_complete(ferrio.open(os.devnull, "r+", opener=opener).__aenter__())
    standard.buffer.raw.held = [witness, standard]
    loop.run_until_complete(bare.close())
    loop.run_until_complete(standard.close())
    waiting = standard.read(witness)
    waiting.close()
    unopened = ferrio.files.open_with(witness, witness)
    witness.held += [bare, standard, ferrio.open(witness), unopened, waiting]


def calls_elsewhere(loop, witness):
    """Calls that an executor never finishes: one as a future, one as an operation."""

    class Never(concurrent.futures.Executor):
        def submit(self, function, /, *args, **kwargs):
            source = concurrent.futures.Future()
            witness.held.append(source)
            return source

    async def main():
        operation = ferrio.to_process(print, witness)
        operation.send(None)

    loop.run_in_executor(Never(), print).add_done_callback(witness)
    loop.set_process_executor(Never())
    loop.run_until_complete(main())
    # The loop lives on and holds its executor.
    loop.set_process_executor(concurrent.futures.Executor())


CYCLES = [
    file_in_a_cycle,
    calls_elsewhere,
    future_result,
    socket_transport,
    datagram_transport,
    pipe_transports,
    subprocess_transport,
    future_exception,
    future_callback,
    future_many_callbacks,
    future_attribute,
    future_cancel_message,
    task_result,
    task_coroutine,
    task_failed,
    task_attribute,
    handle,
    cancelled_handle,
    cancelled_timer,
    elapsed_timer,
    queue_item,
    priority_queue_item,
    lifo_queue_item,
    finished_gather,
    shield,
    task_group,
    waiting_lock,
    event_and_condition,
    unstarted_operation,
    stream_reader,
    waiting_read,
    connected_stream,
    waiting_drain,
    runner,
    server_protocol_factory,
    server_waiter,
    tls_protocol,
    tls_transport,
]


@pytest.mark.parametrize("build", CYCLES, ids=lambda build: build.__name__)
def test_cycle_is_collected(build, loop, collected):
    witness = make_witness()
    build(loop, witness)
    gone = weakref.ref(witness)
    del witness
    collected()
    assert gone() is None


def cycle_through_a_loop(where: str) -> list[weakref.ref]:
    """Builds a cycle of a witness and a loop that holds it, and closes the loop. Returns weak references to both."""
    loop = ferrio.new_event_loop()
    witness = make_witness(loop)
    if where == "exception handler":
        loop.set_exception_handler(lambda loop, context: witness)
    elif where == "task factory":
        loop.set_task_factory(lambda loop, coro, **kwargs: witness)
    elif where == "executor":
        loop.run_until_complete(loop.run_in_executor(None, lambda: witness))
    elif where == "attribute":
        loop.close()
        loop = type("Loop", (type(loop),), {})()
        loop.witness = witness
        witness.held[:] = [loop]
    else:
        loop.call_soon(witness)
    loop.close()
    return [weakref.ref(witness), weakref.ref(loop)]


@pytest.mark.parametrize("where", ["exception handler", "task factory", "executor", "attribute", "callback"])
def test_cycle_through_the_loop_is_collected(where, collected):
    gone = cycle_through_a_loop(where)
    collected()
    assert [reference() for reference in gone] == [None, None]


def test_unclosed_loop_is_collected(collected):
    loop = ferrio.new_event_loop()
    witness = make_witness(loop)
    loop.call_soon(witness)
    loop.call_later(3600, witness)
    gone = weakref.ref(witness)
    del witness
    with pytest.warns(ResourceWarning, match="unclosed event loop"):
        del loop
        collected()
    assert gone() is None


def test_pending_task_lives_as_long_as_its_loop(loop, collected):
    async def wait_for_nothing_that_others_hold(witness):
        await loop.create_future()

    witness = make_witness()
    gone = weakref.ref(witness)
    loop.create_task(wait_for_nothing_that_others_hold(witness))
    loop.call_soon(loop.stop)
    loop.run_forever()
    del witness
    collected()
    assert gone() is not None, "asyncio would lose this task; ferrio's loop must keep it"
    for task in ferrio.all_tasks(loop):
        task.cancel()
    del task
    loop.call_soon(loop.stop)
    loop.run_forever()
    collected()
    assert gone() is None
