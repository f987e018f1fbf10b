"""The transport of a stream socket: reading, writing, flow control, closing. One body on asyncio and on ferrio."""

import asyncio
import gc
import socket
import warnings

import pytest
from tests.unit.implementations import since

import ferrio


class Recorder(asyncio.Protocol):
    """Records what it is told."""

    def __init__(self, loop):
        self.calls = []
        self.transport = None
        self.data = bytearray()
        self.lost = loop.create_future()
        self.ended = loop.create_future()
        self.keeps_open = False
        self._waiters = []
        self._loop = loop

    def connection_made(self, transport):
        self.calls.append("made")
        self.transport = transport

    def data_received(self, data):
        self.data += data
        for size, waiter in self._waiters:
            if len(self.data) >= size and not waiter.done():
                waiter.set_result(bytes(self.data))

    def eof_received(self):
        self.calls.append("eof")
        self.ended.set_result(None)
        return self.keeps_open

    def pause_writing(self):
        self.calls.append("pause")

    def resume_writing(self):
        self.calls.append("resume")

    def connection_lost(self, exc):
        self.calls.append(("lost", exc))
        self.lost.set_result(exc)

    async def received(self, size):
        """Waits until `size` bytes have arrived."""
        if len(self.data) >= size:
            return bytes(self.data)
        waiter = self._loop.create_future()
        self._waiters.append((size, waiter))
        return await waiter


@pytest.fixture
def connect(loop, run):
    """Makes a transport with a Recorder, and returns both, and the blocking socket at the other end."""
    opened = []

    def connect(protocol=None, **options):
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        opened.append(theirs)
        protocol = protocol or Recorder(loop)
        waiter = loop.create_future()
        transport = loop._make_socket_transport(ours, protocol, waiter, **options)
        run(waiter)
        opened.append(transport)
        return transport, protocol, theirs

    yield connect
    for each in opened:
        each.close()
    run(asyncio.sleep(0))
    run(asyncio.sleep(0))


def receive_all(sock):
    """Receives everything up to the end of input."""
    chunks = []
    while chunk := sock.recv(65536):
        chunks.append(chunk)
    return b"".join(chunks)


def fill(transport):
    """Writes until the socket is full and the protocol is told to pause; returns how much was written."""
    written = 0
    while "pause" not in transport.get_protocol().calls:
        transport.write(bytes(65537))
        written += 65537
    return written


def test_protocol_is_told_before_reading_begins(connect, run):
    transport, protocol, peer = connect()
    assert protocol.calls == ["made"]
    assert protocol.transport is transport
    assert transport.is_reading()
    assert not transport.is_closing()
    peer.sendall(b"hello")
    assert run(protocol.received(5)) == b"hello"


def test_is_an_asyncio_transport(connect):
    transport, protocol, _ = connect()
    assert isinstance(transport, asyncio.Transport)
    assert isinstance(transport, asyncio.ReadTransport)
    assert transport.get_protocol() is protocol


def test_extra_info(connect):
    transport, _, _ = connect(extra={"more": 1})
    assert transport.get_extra_info("socket").fileno() >= 0
    assert transport.get_extra_info("sockname") == ""
    assert transport.get_extra_info("peername") == ""
    assert transport.get_extra_info("more") == 1
    assert transport.get_extra_info("nothing") is None
    assert transport.get_extra_info("nothing", 3) == 3


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_write_accepts_every_kind_of_bytes(connect, run, kind):
    transport, _protocol, peer = connect()

    async def main():
        transport.write(kind(b"abc"))
        transport.write(kind(b""))
        transport.write(kind(b"def"))

    run(main())
    assert peer.recv(10) == b"abcdef"


def test_data_changed_after_write_is_sent_unchanged(connect, run):
    transport, _protocol, peer = connect()

    async def main():
        data = bytearray(b"before")
        transport.write(data)
        data[:] = b"after!"

    run(main())
    assert peer.recv(10) == b"before"


def receive(peer, length):
    """Receives this many bytes, waiting for them."""
    data = b""
    while len(data) < length:
        data += peer.recv(length - len(data))
    return data


@pytest.mark.parametrize(
    ("kind", "length"),
    [
        (bytearray, 20_000),
        (memoryview, 100_000),
        (lambda data: memoryview(data).cast("I"), 100_000),
        (bytearray, 5_000_000),
        (memoryview, 5_000_000),
    ],
    ids=["array", "view", "view of integers", "large array", "large view"],
)
@pytest.mark.parametrize("first", [b"", b"first"])
def test_large_data_changed_after_write_is_sent_unchanged(connect, run, loop, kind, length, first):
    transport, _protocol, peer = connect()
    expected = first + b"x" * length + b"last"

    async def main():
        data = kind(bytearray(b"x" * length))
        transport.write(first)
        transport.write(data)
        # From Python 3.12 on asyncio keeps a view of what doesn't fit into the socket.
        if length < 1_000_000 or not isinstance(loop, asyncio.SelectorEventLoop):
            memoryview(data).cast("B")[:] = b"y" * length
        transport.write(b"last")
        return await loop.run_in_executor(None, receive, peer, len(expected))

    assert run(main()) == expected


def test_large_write_to_a_peer_that_has_gone(connect, run):
    transport, protocol, peer = connect()

    async def main():
        transport.pause_reading()
        peer.close()
        transport.write(bytearray(100_000))
        return await protocol.lost

    assert isinstance(run(main()), ConnectionError)


@pytest.mark.parametrize("wrong", ["text", None, 3, [b"a"]])
def test_write_refuses_what_is_not_bytes(connect, wrong):
    transport, _, _ = connect()
    with pytest.raises(TypeError, match=type(wrong).__name__):
        transport.write(wrong)


def test_writelines_keeps_the_order(connect, run):
    transport, _protocol, peer = connect()

    async def main():
        transport.write(b"0")
        transport.writelines([b"1", bytearray(b"2"), b"", memoryview(b"3")])
        transport.write(b"4")

    run(main())
    assert peer.recv(10) == b"01234"


def test_write_without_a_running_loop_is_sent_at_once(connect):
    transport, _, peer = connect()
    transport.write(b"now")
    assert peer.recv(10) == b"now"


def test_full_socket_pauses_and_empty_one_resumes(connect, run, loop):
    transport, protocol, peer = connect()
    written = fill(transport)
    assert transport.get_write_buffer_size() > 65536
    received = 0
    while received < written:
        received += len(peer.recv(65536))
        run(asyncio.sleep(0))
    assert protocol.calls == ["made", "pause", "resume"]
    assert transport.get_write_buffer_size() == 0


def test_slow_peer_gets_everything_in_order(connect, run, loop):
    transport, protocol, peer = connect()
    pieces = [bytes([number % 251]) * (number * 37) for number in range(400)]
    transport.writelines(pieces[:200])
    for piece in pieces[200:]:
        transport.write(piece)
    transport.close()
    received = run(loop.run_in_executor(None, receive_all, peer))
    assert received == b"".join(pieces)
    assert run(protocol.lost) is None


def test_close_sends_what_was_written(connect, run):
    transport, protocol, peer = connect()

    async def main():
        transport.write(b"last words")
        transport.close()
        assert transport.is_closing()
        assert not transport.is_reading()
        assert "lost" not in str(protocol.calls)
        await protocol.lost

    run(main())
    assert receive_all(peer) == b"last words"
    assert protocol.calls == ["made", ("lost", None)]


def test_write_after_close_is_dropped(connect, run):
    transport, protocol, peer = connect()

    async def main():
        transport.write(b"a")
        transport.close()
        transport.write(b"b")
        await protocol.lost
        transport.write(b"d")

    run(main())
    assert receive_all(peer) == b"a"


@since(3, 15)
def test_writelines_after_close_is_dropped(connect, run):
    transport, protocol, peer = connect()
    transport.close()
    transport.writelines([b"c"])
    run(protocol.lost)
    transport.writelines([b"d"])
    assert receive_all(peer) == b""


def test_many_writes_after_close_are_logged(connect, run, caplog):
    transport, protocol, _ = connect()
    transport.close()
    run(protocol.lost)
    for _ in range(4):
        transport.write(b"x")
    assert caplog.records == []
    transport.write(b"x")
    assert "socket.send() raised exception." in caplog.text


def test_abort_sends_what_fits_and_drops_the_rest(connect, run):
    transport, protocol, peer = connect()

    async def main():
        transport.write(b"taken")
        transport.abort()
        await protocol.lost

    run(main())
    assert receive_all(peer) == b"taken"

    transport, protocol, peer = connect()
    fill(transport)
    transport.abort()
    assert transport.get_write_buffer_size() == 0
    assert run(protocol.lost) is None


def test_write_eof_half_closes(connect, run, loop):
    transport, protocol, peer = connect()
    assert transport.can_write_eof()

    async def main():
        transport.write(b"all")
        transport.write_eof()
        transport.write_eof()

    run(main())
    assert receive_all(peer) == b"all"
    with pytest.raises(RuntimeError, match="write_eof"):
        transport.write(b"more")
    peer.sendall(b"answer")
    assert run(protocol.received(6)) == b"answer"


def test_write_eof_waits_for_a_full_socket(connect, run, loop):
    transport, _protocol, peer = connect()
    written = fill(transport)
    transport.write_eof()
    assert len(run(loop.run_in_executor(None, receive_all, peer))) == written


def test_end_of_input_closes(connect, run):
    _transport, protocol, peer = connect()
    peer.close()
    assert run(protocol.lost) is None
    assert protocol.calls == ["made", "eof", ("lost", None)]


def test_end_of_input_may_leave_the_connection_open(connect, run):
    transport, protocol, peer = connect()
    protocol.keeps_open = True
    peer.shutdown(socket.SHUT_WR)
    run(protocol.ended)
    run(asyncio.sleep(0))
    assert protocol.calls == ["made", "eof"]
    transport.write(b"still here")
    transport.close()
    run(protocol.lost)
    assert receive_all(peer) == b"still here"


def test_vanished_peer_is_an_error_of_the_write(connect, run):
    transport, protocol, peer = connect()
    transport.pause_reading()
    peer.close()
    transport.write(b"x")
    assert isinstance(run(protocol.lost), ConnectionError)


def test_pause_and_resume_reading(connect, run):
    transport, protocol, peer = connect()
    transport.pause_reading()
    transport.pause_reading()
    assert not transport.is_reading()
    peer.sendall(b"later")
    for _ in range(5):
        run(asyncio.sleep(0))
    assert protocol.data == b""
    transport.resume_reading()
    transport.resume_reading()
    assert run(protocol.received(5)) == b"later"


def test_set_protocol_changes_the_receiver(connect, run, loop):
    transport, protocol, peer = connect()
    other = Recorder(loop)
    transport.set_protocol(other)
    assert transport.get_protocol() is other
    peer.sendall(b"for the other")
    assert run(other.received(13)) == b"for the other"
    assert protocol.data == b""


class Buffered(asyncio.BufferedProtocol):
    """Has a buffer of seven bytes."""

    def __init__(self, loop):
        self.buffer = bytearray(7)
        self.data = bytearray()
        self.lost = loop.create_future()

    def get_buffer(self, sizehint):
        return self.buffer

    def buffer_updated(self, nbytes):
        self.data += self.buffer[:nbytes]

    def connection_lost(self, exc):
        self.lost.set_result(exc)


def test_buffered_protocol(connect, run, loop):
    _transport, protocol, peer = connect(Buffered(loop))
    peer.sendall(bytes(range(40)))
    peer.close()
    assert run(protocol.lost) is None
    assert protocol.data == bytes(range(40))


@pytest.mark.parametrize(
    ("method", "sent"),
    [("data_received", b"x"), ("eof_received", b""), ("get_buffer", b"x"), ("buffer_updated", b"x")],
)
def test_protocol_that_raises_costs_its_connection(connect, run, loop, method, sent):
    reports = []
    loop.set_exception_handler(lambda loop, context: reports.append(context))
    protocol = Buffered(loop) if "buffer" in method else Recorder(loop)
    error = ZeroDivisionError("of the protocol")

    def fail(*args):
        raise error

    setattr(protocol, method, fail)
    transport, _, peer = connect(protocol)
    peer.sendall(sent)
    if not sent:
        peer.close()
    assert run(protocol.lost) is error
    (report,) = reports
    assert report["message"] == f"Fatal error: protocol.{method}() call failed."
    assert report["exception"] is error
    assert report["transport"] is transport
    assert report["protocol"] is protocol


def test_empty_buffer_is_an_error(connect, run, loop):
    reports = []
    loop.set_exception_handler(lambda loop, context: reports.append(context))
    protocol = Buffered(loop)
    protocol.buffer = bytearray()
    _transport, _, peer = connect(protocol)
    peer.sendall(b"x")
    assert isinstance(run(protocol.lost), RuntimeError)
    assert len(reports) == 1


def test_flow_control_that_raises_is_reported(connect, run, loop):
    reports = []
    loop.set_exception_handler(lambda loop, context: reports.append(context["message"]))
    transport, protocol, _peer = connect()
    protocol.pause_writing = lambda: 1 / 0
    while not reports:
        transport.write(bytes(65537))
    assert reports == ["protocol.pause_writing() failed"]
    assert not transport.is_closing()


def test_write_buffer_limits(connect):
    transport, _protocol, _ = connect()
    assert transport.get_write_buffer_limits() == (16384, 65536)
    transport.set_write_buffer_limits(low=10)
    assert transport.get_write_buffer_limits() == (10, 40)
    transport.set_write_buffer_limits(high=100)
    assert transport.get_write_buffer_limits() == (25, 100)
    transport.set_write_buffer_limits(high=0)
    assert transport.get_write_buffer_limits() == (0, 0)
    transport.set_write_buffer_limits(high=1e6)
    assert transport.get_write_buffer_limits() == (250_000, 1_000_000)
    with pytest.raises(ValueError, match="must be >= low"):
        transport.set_write_buffer_limits(high=1, low=2)
    with pytest.raises(ValueError, match="must be >= 0"):
        transport.set_write_buffer_limits(low=-1)


def test_lower_limits_pause_a_full_transport(connect, run):
    transport, protocol, _ = connect()
    transport.set_write_buffer_limits(high=2**30)
    while transport.get_write_buffer_size() == 0:
        transport.write(bytes(1 << 20))

        async def turn():
            pass

        run(turn())
    assert protocol.calls == ["made"]
    transport.set_write_buffer_limits(high=0)
    assert protocol.calls == ["made", "pause"]


def test_readers_of_a_descriptor_in_use_are_refused(connect, loop):
    transport, _, _ = connect()
    fd = transport.get_extra_info("socket").fileno()
    with pytest.raises(RuntimeError, match="is used by transport"):
        loop.add_reader(fd, print)
    with pytest.raises(RuntimeError, match="is used by transport"):
        loop.add_writer(fd, print)


def test_unclosed_transport_is_reported(aio):
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with theirs, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        loop = aio.new_event_loop()
        loop._make_socket_transport(ours, asyncio.Protocol())
        loop.close()
        del loop, ours
        gc.collect()
        assert theirs.recv(1) == b""
    assert any(str(warning.message).startswith("unclosed transport") for warning in caught)


def test_close_twice_and_abort_after_close_do_nothing(connect, run):
    transport, protocol, _ = connect()
    transport.close()
    transport.close()
    transport.abort()
    run(protocol.lost)
    transport.close()
    assert protocol.calls == ["made", ("lost", None)]
    assert transport.get_extra_info("socket").fileno() == -1


def test_connection_lost_that_raises_still_closes(connect, run, loop):
    reports = []
    loop.set_exception_handler(lambda loop, context: reports.append(context["exception"]))
    transport, protocol, peer = connect()
    protocol.connection_lost = lambda exc: 1 / 0
    transport.close()
    for _ in range(3):
        run(asyncio.sleep(0))
    assert isinstance(reports[0], ZeroDivisionError)
    assert peer.recv(1) == b""


def test_writes_of_one_turn_are_sent_together():
    """As with datagrams, a sequenced-packet socket shows what arrived in one system call."""
    loop = ferrio.new_event_loop()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    with theirs:
        transport = loop._make_socket_transport(ours, asyncio.Protocol())

        async def main():
            transport.write(b"head")
            transport.writelines([b"er", b" and "])
            transport.write(b"body")

        loop.run_until_complete(main())
        assert theirs.recv(100) == b"header and body"
        transport.close()
        loop.run_until_complete(asyncio.sleep(0))
        loop.run_until_complete(asyncio.sleep(0))
    loop.close()


def test_large_data_is_sent_before_the_turn_ends(connect, run):
    pairs = [connect() for _ in range(4)]
    arrived = []

    async def main():
        loop = asyncio.get_running_loop()
        for transport, _protocol, _peer in pairs:
            loop.call_soon(transport.write, bytes(30_000))
        done = loop.create_future()
        loop.call_soon(look, done)
        await done

    def look(done):
        pairs[0][2].setblocking(False)
        arrived.append(len(pairs[0][2].recv(65536)))
        done.set_result(None)

    run(main())
    assert arrived == [30_000]


def test_protocol_runs_in_the_creators_context(connect, run, loop):
    import contextvars

    variable = contextvars.ContextVar("variable", default="outside")
    seen = []

    class Protocol(Recorder):
        def connection_made(self, transport):
            seen.append(variable.get())

        def data_received(self, data):
            seen.append(variable.get())
            super().data_received(data)

    async def main():
        variable.set("inside")
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with theirs:
            protocol = Protocol(loop)
            transport = loop._make_socket_transport(ours, protocol)
            variable.set("later")
            theirs.sendall(b"x")
            await protocol.received(1)
            transport.close()
            await protocol.lost

    run(main())
    assert seen == ["inside", "inside"]


def test_assigned_write_is_called(connect):
    """Tests of libraries assign to `write` to watch what is written."""
    loop = ferrio.new_event_loop()
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with theirs:
        transport = loop._make_socket_transport(ours, asyncio.Protocol())
        written = []
        transport.write = written.append
        transport.write(b"x")
        assert written == [b"x"]
        transport.close()
        loop.run_until_complete(asyncio.sleep(0))
        loop.run_until_complete(asyncio.sleep(0))
    loop.close()
