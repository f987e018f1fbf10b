"""In which turn of the loop does a program see what a descriptor, a signal, a thread or a child has for it?

Programs and test suites count turns: they write, `sleep(0)` twice and expect the other end to have it. So each body
here makes one thing happen and counts the turns until the program sees it, on asyncio and on ferrio. It does so again
after a hundred turns in which nothing happened. Counting keeps the loop busy, and ferrio then needs as many turns as
asyncio. Within a turn the order is asyncio's too: earlier callbacks, ready descriptors, timers.

The event is complete before the counting begins, so the count is always the same: a thread was joined, or a child was
waited for without being reaped.
"""

import asyncio
import contextlib
import os
import resource
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

import ferrio

LIMIT = 1000
"""More turns than anything takes."""


async def by_sleep(aio, done):
    """Counts a task's bare yields until `done()`."""
    for count in range(LIMIT):
        if done():
            return count
        await aio.sleep(0)
    return LIMIT


async def by_call_soon(aio, done):
    """Counts the calls in a chain of callbacks until `done()`."""
    loop = asyncio.get_running_loop()
    result = loop.create_future()

    def turn(count):
        if done() or count == LIMIT:
            result.set_result(count)
        else:
            loop.call_soon(turn, count + 1)

    turn(0)
    return await result


COUNTERS = [by_sleep, by_call_soon]


class Collector(asyncio.Protocol):
    """Records everything it is told."""

    def __init__(self):
        self.received = []
        self.connected = False
        self.ended = False
        self.lost = False

    def connection_made(self, transport):
        self.connected = True
        self.transport = transport

    def data_received(self, data):
        self.received.append(data)

    def datagram_received(self, data, _address):
        self.received.append(data)

    def eof_received(self):
        self.ended = True

    def connection_lost(self, exception):
        self.lost = True


class Bench:
    """What a body gets: the implementation, its loop, and the counter."""

    def __init__(self, aio, counter):
        self.aio = aio
        self.loop = asyncio.get_running_loop()
        self._counter = counter
        self._cleanups = []

    async def turns(self, done):
        return await self._counter(self.aio, done)

    async def quiet(self, count=100):
        """Lets turns pass in which nothing happens."""
        for _ in range(count):
            await self.aio.sleep(0)

    def pair(self, *kind):
        ends = socket.socketpair(*kind)
        for end in ends:
            end.setblocking(False)
            self._cleanups.append(end.close)
        return ends

    def pipe(self):
        ends = os.pipe()
        for end in ends:
            os.set_blocking(end, False)
        return ends

    def later(self, call, *arguments):
        """Registers a call that cleans up at the end."""
        self._cleanups.append(lambda: call(*arguments))

    def clean(self):
        while self._cleanups:
            self._cleanups.pop()()


BODIES = []


def body(function):
    """Marks a coroutine function that yields the counts for its kind of event."""
    BODIES.append(function)
    return function


@body
async def reader_of_a_pipe(bench):
    source, sink = bench.pipe()
    seen = []
    bench.loop.add_reader(source, lambda: seen.append(os.read(source, 9)))
    for _ in range(3):
        await bench.quiet()
        seen.clear()
        os.write(sink, b"x")
        yield await bench.turns(lambda: seen)
    bench.loop.remove_reader(source)
    os.close(source)
    os.close(sink)


@body
async def new_reader_of_what_is_there(bench):
    ours, theirs = bench.pair()
    for _ in range(3):
        seen = []
        theirs.send(b"x")
        bench.loop.add_reader(ours, lambda seen=seen: seen.append(ours.recv(9)))
        yield await bench.turns(lambda seen=seen: seen)
        bench.loop.remove_reader(ours)


@body
async def reader_again_and_again(bench):
    ours, theirs = bench.pair()
    seen = []
    bench.loop.add_reader(ours, lambda: seen.append(ours.recv(1)))
    await bench.quiet()
    theirs.send(b"abcd")
    yield await bench.turns(lambda: len(seen) == 4)
    bench.loop.remove_reader(ours)


@body
async def reader_removed_and_added(bench):
    ours, theirs = bench.pair()
    seen = []
    bench.loop.add_reader(ours, seen.append, 1)
    await bench.quiet(3)
    bench.loop.remove_reader(ours)
    theirs.send(b"x")
    bench.loop.add_reader(ours, lambda: seen.append(ours.recv(1)))
    yield await bench.turns(lambda: seen)
    bench.loop.remove_reader(ours)


@body
async def writer(bench):
    ours, theirs = bench.pair()
    while True:
        try:
            ours.send(bytes(65536))
        except BlockingIOError:
            break
    seen = []
    bench.loop.add_writer(ours, seen.append, 1)
    await bench.quiet()
    assert not seen
    while True:
        try:
            theirs.recv(1 << 20)
        except BlockingIOError:
            break
    yield await bench.turns(lambda: seen)
    bench.loop.remove_writer(ours)
    seen.clear()
    bench.loop.add_writer(ours, seen.append, 1)
    yield await bench.turns(lambda: seen)
    bench.loop.remove_writer(ours)


@body
async def many_descriptors_at_once(bench):
    source, sink = bench.pipe()
    # More than one poll reports unless all are requested; duplicates are ready together.
    number = min(1500, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 200)
    copies = [os.dup(source) for _ in range(number)]
    seen = []
    for copy in copies:
        bench.loop.add_reader(copy, seen.append, copy)
    await bench.quiet(3)
    assert not seen
    os.write(sink, b"x")
    yield await bench.turns(lambda: len(seen) >= len(copies))
    for copy in [*copies, source]:
        bench.loop.remove_reader(copy)
        os.close(copy)
    os.close(sink)


@body
async def protocol_receives(bench):
    ours, theirs = bench.pair()
    transport, protocol = await bench.loop.create_connection(Collector, sock=ours)
    bench.later(transport.abort)
    for _ in range(3):
        await bench.quiet()
        protocol.received.clear()
        theirs.send(b"x")
        yield await bench.turns(lambda: protocol.received)
    theirs.shutdown(socket.SHUT_WR)
    yield await bench.turns(lambda: protocol.ended)
    yield await bench.turns(lambda: protocol.lost)


@body
async def transport_writes_to_a_protocol(bench):
    left, right = bench.pair()
    ours, _ = await bench.loop.create_connection(Collector, sock=left)
    theirs, protocol = await bench.loop.create_connection(Collector, sock=right)
    bench.later(theirs.abort)
    for _ in range(3):
        await bench.quiet()
        protocol.received.clear()
        ours.write(b"x")
        yield await bench.turns(lambda: protocol.received)
    ours.write(b"the last")
    ours.close()
    yield await bench.turns(lambda: protocol.lost)


@body
async def transport_resumes_reading(bench):
    ours, theirs = bench.pair()
    transport, protocol = await bench.loop.create_connection(Collector, sock=ours)
    bench.later(transport.abort)
    transport.pause_reading()
    theirs.send(b"x")
    await bench.quiet(5)
    assert not protocol.received
    transport.resume_reading()
    yield await bench.turns(lambda: protocol.received)


@body
async def transport_goes_on_writing(bench):
    left, right = bench.pair()
    transport, protocol = await bench.loop.create_connection(Collector, sock=left)
    bench.later(transport.abort)
    for _ in range(100):
        transport.write(bytes(1 << 16))
    await bench.quiet(3)
    received = 0
    while transport.get_write_buffer_size():
        try:
            received += len(right.recv(1 << 20))
        except BlockingIOError:
            yield await bench.turns(lambda: select.select([right], [], [], 0)[0])
    assert received or not protocol.lost


@body
async def stream_reads(bench):
    left, right = bench.pair()
    reader, writer = await bench.aio.open_connection(sock=left)
    for way in (reader.readline, reader.read, lambda: reader.readexactly(2)):
        for count in (b"x\n", b"y\n"):
            reading = asyncio.ensure_future(way(9) if way == reader.read else way())
            await bench.quiet()
            right.send(count)
            yield await bench.turns(reading.done)
    writer.close()
    reading = asyncio.ensure_future(writer.wait_closed())
    yield await bench.turns(reading.done)


@body
async def server_accepts(bench):
    protocols = []

    def factory():
        protocols.append(Collector())
        return protocols[-1]

    server = await bench.loop.create_server(factory, "127.0.0.1", 0)
    address = server.sockets[0].getsockname()
    for _ in range(3):
        await bench.quiet()
        protocols.clear()
        client = socket.create_connection(address)
        yield await bench.turns(lambda: protocols and protocols[0].connected)
        # The loopback device delivers during the sender's call.
        client.send(b"x")
        yield await bench.turns(lambda: protocols[0].received)
        client.close()
        yield await bench.turns(lambda: protocols[0].lost)
    protocols.clear()
    clients = [socket.create_connection(address) for _ in range(20)]
    yield await bench.turns(lambda: len(protocols) == 20 and all(each.connected for each in protocols))
    for client, protocol in zip(clients, protocols, strict=True):
        client.close()
        protocol.transport.abort()
    server.close()


@body
async def stream_server_accepts(bench):
    seen = []
    server = await bench.aio.start_server(lambda reader, writer: seen.append(writer), "127.0.0.1", 0)
    for _ in range(2):
        await bench.quiet()
        client = socket.create_connection(server.sockets[0].getsockname())
        yield await bench.turns(lambda: seen)
        client.close()
        writer = seen.pop()
        writer.close()
        await writer.wait_closed()
    server.close()


@body
async def unix_server_accepts(bench):
    seen = []
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "socket")
        server = await bench.aio.start_unix_server(lambda reader, writer: seen.append(writer), path)
        for _ in range(2):
            connecting = asyncio.ensure_future(bench.aio.open_unix_connection(path))
            yield await bench.turns(connecting.done)
            yield await bench.turns(lambda: seen)
            for writer in ((await connecting)[1], seen.pop()):
                writer.close()
                await writer.wait_closed()
        server.close()


@body
async def connection_is_made(bench):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        connecting = asyncio.ensure_future(bench.loop.create_connection(Collector, *listener.getsockname()))
        yield await bench.turns(connecting.done)
        (await connecting)[0].abort()


@body
async def accepted_socket_is_connected(bench):
    left, right = bench.pair()
    protocol = Collector()
    connecting = asyncio.ensure_future(bench.loop.connect_accepted_socket(lambda: protocol, left))
    right.send(b"x")
    yield await bench.turns(lambda: protocol.connected)
    yield await bench.turns(lambda: protocol.received)
    yield await bench.turns(connecting.done)
    right.close()
    yield await bench.turns(lambda: protocol.lost)


@body
async def pipes_are_connected(bench):
    source, sink = bench.pipe()
    with open(source, "rb", 0) as reading, open(sink, "wb", 0) as writing:
        connecting = asyncio.ensure_future(bench.loop.connect_read_pipe(Collector, reading))
        yield await bench.turns(connecting.done)
        reader = (await connecting)[0]
        connecting = asyncio.ensure_future(bench.loop.connect_write_pipe(Collector, writing))
        yield await bench.turns(connecting.done)
        (await connecting)[0].abort()
        reader.close()


@body
async def endpoint_is_made(bench):
    connecting = asyncio.ensure_future(bench.loop.create_datagram_endpoint(Collector, local_addr=("127.0.0.1", 0)))
    yield await bench.turns(connecting.done)
    endpoint, protocol = await connecting
    endpoint.close()
    yield await bench.turns(lambda: protocol.lost)


@body
async def transport_is_closed(bench):
    for way in ("close", "abort", "write_eof"):
        ours, theirs = bench.pair()
        transport, protocol = await bench.loop.create_connection(Collector, sock=ours)
        getattr(transport, way)()
        theirs.close()
        yield await bench.turns(lambda protocol=protocol: protocol.lost)


@body
async def datagrams(bench):
    endpoint, protocol = await bench.loop.create_datagram_endpoint(Collector, local_addr=("127.0.0.1", 0))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for number in (1, 2, 5):
            await bench.quiet()
            protocol.received.clear()
            for _ in range(number):
                sender.sendto(b"x", endpoint.get_extra_info("sockname"))
            yield await bench.turns(lambda number=number: len(protocol.received) == number)
    other, _ = await bench.loop.create_datagram_endpoint(Collector, remote_addr=endpoint.get_extra_info("sockname"))
    protocol.received.clear()
    other.sendto(b"x")
    yield await bench.turns(lambda: protocol.received)
    endpoint.abort()
    other.abort()


@body
async def sock_recv(bench):
    ours, theirs = bench.pair()
    for _ in range(3):
        # What arrives later, what is there, and what arrives right after a read that took everything.
        receiving = asyncio.ensure_future(bench.loop.sock_recv(ours, 9))
        await bench.quiet()
        theirs.send(b"x")
        yield await bench.turns(receiving.done)
        theirs.send(b"y")
        receiving = asyncio.ensure_future(bench.loop.sock_recv(ours, 9))
        yield await bench.turns(receiving.done)
        buffer = bytearray(9)
        receiving = asyncio.ensure_future(bench.loop.sock_recv_into(ours, buffer))
        await bench.quiet(3)
        theirs.send(b"z")
        yield await bench.turns(receiving.done)


@body
async def sock_recv_of_what_is_there(bench):
    ours, theirs = bench.pair()
    for _ in range(3):
        # A read that waits and takes everything that arrives; then one that needn't wait.
        bench.loop.call_soon(theirs.send, b"x")
        await bench.loop.sock_recv(ours, 9)
        theirs.send(b"y")
        passed = []
        bench.loop.call_soon(passed.append, 1)
        await bench.loop.sock_recv(ours, 9)
        yield len(passed)


@body
async def sock_sendall(bench):
    ours, theirs = bench.pair()
    sending = asyncio.ensure_future(bench.loop.sock_sendall(ours, b"x"))
    yield await bench.turns(sending.done)
    # A socket that stays full waits for its reader.
    while True:
        try:
            ours.send(bytes(65536))
        except BlockingIOError:
            break
    sending = asyncio.ensure_future(bench.loop.sock_sendall(ours, b"x"))
    await bench.quiet()
    while True:
        try:
            theirs.recv(1 << 20)
        except BlockingIOError:
            break
    yield await bench.turns(sending.done)


@body
async def sock_accept_and_connect(bench):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        for _ in range(2):
            accepting = asyncio.ensure_future(bench.loop.sock_accept(listener))
            await bench.quiet()
            with socket.create_connection(listener.getsockname()):
                yield await bench.turns(accepting.done)
            (await accepting)[0].close()
            with socket.socket() as client:
                client.setblocking(False)
                connecting = asyncio.ensure_future(bench.loop.sock_connect(client, listener.getsockname()))
                yield await bench.turns(connecting.done)
                accepting = asyncio.ensure_future(bench.loop.sock_accept(listener))
                yield await bench.turns(accepting.done)
            (await accepting)[0].close()


@body
async def sock_datagrams(bench):
    ours, theirs = bench.pair(socket.AF_UNIX, socket.SOCK_DGRAM)
    for _ in range(2):
        receiving = asyncio.ensure_future(bench.loop.sock_recvfrom(ours, 9))
        await bench.quiet()
        theirs.send(b"x")
        yield await bench.turns(receiving.done)


@body
async def pipes(bench):
    source, sink = bench.pipe()
    with open(source, "rb", 0) as reading, open(sink, "wb", 0) as writing:
        reader, protocol = await bench.loop.connect_read_pipe(Collector, reading)
        for _ in range(2):
            await bench.quiet()
            protocol.received.clear()
            os.write(sink, b"x")
            yield await bench.turns(lambda: protocol.received)
        writer, other = await bench.loop.connect_write_pipe(Collector, writing)
        protocol.received.clear()
        writer.write(b"x")
        yield await bench.turns(lambda: protocol.received)
        writer.close()
        yield await bench.turns(lambda: other.lost)
        yield await bench.turns(lambda: protocol.lost)
        reader.close()


@body
async def reader_of_a_pipe_goes(bench):
    source, sink = bench.pipe()
    with open(sink, "wb", 0) as writing:
        _, protocol = await bench.loop.connect_write_pipe(Collector, writing)
        await bench.quiet()
        os.close(source)
        yield await bench.turns(lambda: protocol.lost)


@body
async def signal_handler_of_the_loop(bench):
    seen = []
    bench.loop.add_signal_handler(signal.SIGUSR1, seen.append, 1)
    for _ in range(3):
        await bench.quiet()
        seen.clear()
        signal.raise_signal(signal.SIGUSR1)
        yield await bench.turns(lambda: seen)
        seen.clear()
        os.kill(os.getpid(), signal.SIGUSR1)
        yield await bench.turns(lambda: seen)
    bench.loop.remove_signal_handler(signal.SIGUSR1)


@body
async def signal_handler_in_python(bench):
    seen = []
    before = signal.signal(signal.SIGUSR1, lambda *_: seen.append(1))
    try:
        for _ in range(3):
            await bench.quiet()
            seen.clear()
            os.kill(os.getpid(), signal.SIGUSR1)
            yield await bench.turns(lambda: seen)
            # Another thread gets it: the system delivers it to that thread, the interpreter to this one.
            seen.clear()
            thread = threading.Thread(target=signal.raise_signal, args=(signal.SIGUSR1,))
            thread.start()
            thread.join()
            yield await bench.turns(lambda: seen)
    finally:
        signal.signal(signal.SIGUSR1, before)


@body
async def call_from_another_thread(bench):
    for _ in range(3):
        await bench.quiet()
        seen = []
        thread = threading.Thread(target=bench.loop.call_soon_threadsafe, args=(seen.append, 1))
        thread.start()
        thread.join()
        yield await bench.turns(lambda seen=seen: seen)


@body
async def coroutine_from_another_thread(bench):
    async def nothing():
        return None

    for _ in range(2):
        future = []
        thread = threading.Thread(
            target=lambda future=future: future.append(bench.aio.run_coroutine_threadsafe(nothing(), bench.loop))
        )
        thread.start()
        thread.join()
        yield await bench.turns(future[0].done)


@body
async def executor_result(bench):
    with ThreadPoolExecutor(1) as pool:
        for _ in range(3):
            await bench.quiet()
            gate = threading.Event()
            pool.submit(gate.wait)
            result = bench.loop.run_in_executor(pool, int)
            gate.set()
            # The only thread has reported the end of the first call before it takes the second.
            pool.submit(int).result()
            yield await bench.turns(result.done)


@body
async def future_of_a_thread(bench):
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(int)
        result = bench.aio.wrap_future(future)
        pool.submit(int).result()
        yield await bench.turns(result.done)


def until_ended(pid):
    """Waits for a child to end without taking its status."""
    # Before Python 3.12 a thread of asyncio's may have taken it: then the child has ended as well.
    with contextlib.suppress(ChildProcessError):
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)


@body
async def output_of_a_child(bench):
    program = "import sys\nfor line in sys.stdin: print(line, end='', flush=True)"
    child = await bench.aio.create_subprocess_exec(
        sys.executable, "-S", "-c", program, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    transport = child._transport.get_pipe_transport(1)
    pipe = transport.get_extra_info("pipe")
    for _ in range(2):
        transport.pause_reading()
        child.stdin.write(b"x\n")
        await child.stdin.drain()
        reading = asyncio.ensure_future(child.stdout.readline())
        await bench.aio.sleep(0)
        # Wait until the line is there, so that only turns are counted, not the child's time.
        select.select([pipe.fileno()], [], [], 30)
        transport.resume_reading()
        yield await bench.turns(reading.done)
    child.stdin.close()
    await child.wait()


@body
async def end_of_a_child(bench):
    child = await bench.aio.create_subprocess_exec("/bin/cat", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    reading = asyncio.ensure_future(child.stdout.read())
    waiting = asyncio.ensure_future(child.wait())
    await bench.quiet(5)
    os.kill(child.pid, signal.SIGKILL)
    until_ended(child.pid)
    yield await bench.turns(reading.done)
    if sys.version_info >= (3, 12):
        # Before, a thread of asyncio's waits for the child, so the number of turns is chance.
        yield await bench.turns(waiting.done)
    await waiting


@pytest.mark.parametrize("counter", COUNTERS, ids=lambda counter: counter.__name__)
@pytest.mark.parametrize("of", BODIES, ids=lambda of: of.__name__)
def test_event_takes_as_many_turns_as_on_asyncio(of, counter):
    async def main(aio):
        bench = Bench(aio, counter)
        try:
            return [count async for count in of(bench)]
        finally:
            bench.clean()
            await bench.quiet(3)

    expected, ours = asyncio.run(main(asyncio)), ferrio.run(main(ferrio))
    assert all(count < LIMIT for count in expected)
    assert ours == expected


class Order:
    """Records who was called, in order. Each call also does its own `call_soon`, which runs a turn later.

    `complete` is done once `expected` calls and what they queued have been recorded.
    """

    def __init__(self, expected):
        self.loop = asyncio.get_running_loop()
        self.seen = []
        self.expected = expected
        self.complete = self.loop.create_future()

    def note(self, name):
        self.record(name)
        self.loop.call_soon(self.record, f"soon after {name}")

    def record(self, name):
        self.seen.append(name)
        if len(self.seen) == 2 * self.expected:
            self.complete.set_result(None)

    def protocol(self, name):
        order = self

        class Protocol(Collector):
            def connection_made(self, transport):
                super().connection_made(transport)
                order.note(f"{name} made")

            def data_received(self, _data):
                order.note(f"{name} received")

        return Protocol


async def order_of(aio, busy):
    """Makes a callback, a timer, a reader, a transport, a waiting operation and a server ready in one turn."""
    order = Order(expected=6 if busy else 5)
    bench = Bench(aio, by_sleep)
    loop = bench.loop
    ours, theirs = {}, {}
    for name in ("reader", "transport", "operation"):
        ours[name], theirs[name] = bench.pair()
    server = await loop.create_server(order.protocol("accepted"), "127.0.0.1", 0)
    transport, _ = await loop.create_connection(order.protocol("transport"), sock=ours["transport"])
    loop.add_reader(ours["reader"], lambda: order.note(f"reader {ours['reader'].recv(9)}"))

    async def receive():
        order.note(f"operation {await loop.sock_recv(ours['operation'], 9)}")

    receiving = asyncio.ensure_future(receive())
    await bench.quiet(3)
    order.seen.clear()
    client = socket.socket()

    def all_at_once():
        # A descriptor that is ready earlier is reported earlier.
        for end in theirs.values():
            end.send(b"x")
        client.connect(server.sockets[0].getsockname())
        if busy:
            loop.call_soon(order.note, "queued before")
        loop.call_later(0, order.note, "timer")

    loop.call_soon(all_at_once)
    await order.complete
    await receiving
    await bench.quiet(5)
    loop.remove_reader(ours["reader"])
    seen = order.seen.copy()
    server.close()
    client.close()
    transport.abort()
    await bench.quiet(5)
    bench.clean()
    return seen


@pytest.mark.parametrize("busy", [True, False], ids=["busy", "timer"])
def test_order_within_a_turn_is_asyncios(busy):
    expected, ours = asyncio.run(order_of(asyncio, busy)), ferrio.run(order_of(ferrio, busy))
    assert ours == expected


@pytest.mark.parametrize("aio", [ferrio])  # asyncio fails with an assertion and leaves the socket to the collector
def test_accepted_connection_whose_server_is_closed(loop, run, aio):
    made = []

    async def main():
        server = await loop.create_server(lambda: made.append(Collector()) or made[-1], "127.0.0.1", 0)
        with socket.create_connection(server.sockets[0].getsockname()) as client:
            # Runs after the server's event, which the next poll finds: the connection is accepted by then.
            loop.call_soon(loop.call_soon, server.close)
            await aio.sleep(0)
            await Bench(aio, by_sleep).turns(lambda: not server.sockets)
            client.settimeout(30)
            assert await loop.run_in_executor(None, client.recv, 9) == b""
        assert not any(protocol.connected for protocol in made)

    run(main())
