"""`StreamWriter` over a transport that records what it is told: one body on asyncio and on ferrio."""

import asyncio
import gc
import weakref

import pytest
from tests.unit.implementations import Turns, in_the_second_turn, since

import ferrio


class Transport(asyncio.Transport):
    """Records what it is told to do."""

    def __init__(self):
        super().__init__({"sslcontext": None, "peername": "a peer"})
        self.calls = []
        self.closing = False

    def write(self, data):
        self.calls.append(("write", data))

    def writelines(self, list_of_data):
        self.calls.append(("writelines", list(list_of_data)))

    def write_eof(self):
        self.calls.append(("write_eof",))

    def can_write_eof(self):
        return True

    def is_closing(self):
        return self.closing

    def close(self):
        self.calls.append(("close",))
        self.closing = True

    def pause_reading(self):
        """Does nothing, because it never reads."""

    def __repr__(self):
        return "<Transport>"


class Stream:
    """A reader, a protocol and a writer around such a transport."""

    def __init__(self, aio, loop, make_writer=None):
        self.transport = Transport()
        self.reader = aio.StreamReader(loop=loop)
        self.protocol = aio.StreamReaderProtocol(self.reader, loop=loop)
        self.protocol.connection_made(self.transport)
        make_writer = make_writer or aio.StreamWriter
        self.writer = make_writer(self.transport, self.protocol, self.reader, loop)


@pytest.fixture
def stream(aio, loop):
    stream = Stream(aio, loop)
    yield stream
    stream.transport.closing = True


def test_written_data_goes_to_the_transport(stream):
    writer = stream.writer
    writer.write(b"one")
    writer.write(data=b"two")
    writer.writelines([b"three", b"four"])
    assert writer.can_write_eof() is True
    writer.write_eof()
    expected = [("write", b"one"), ("write", b"two"), ("writelines", [b"three", b"four"]), ("write_eof",)]
    assert stream.transport.calls == expected


def test_write_takes_one_argument(stream):
    for arguments in ((), (b"x", b"y")):
        with pytest.raises(TypeError):
            stream.writer.write(*arguments)


def test_transport_is_shown(stream):
    writer = stream.writer
    assert writer.transport is stream.transport
    assert writer._transport is stream.transport
    assert writer._protocol is stream.protocol
    assert writer._reader is stream.reader
    assert writer.get_extra_info("peername") == "a peer"
    assert writer.get_extra_info("nothing", "a default") == "a default"
    assert repr(writer) == "<StreamWriter transport=<Transport> reader=<StreamReader transport=<Transport>>>"


def test_writer_without_a_reader(aio, loop, run, stream):
    writer = aio.StreamWriter(stream.transport, stream.protocol, None, loop)
    assert repr(writer) == "<StreamWriter transport=<Transport>>"
    run(writer.drain())
    writer.close()


def test_reader_must_be_a_stream_reader(aio, loop, stream):
    stream.writer.close()  # otherwise the half constructed writer closes it, or warns
    with pytest.raises(AssertionError):
        aio.StreamWriter(stream.transport, stream.protocol, "no reader", loop)


def test_close_closes_the_transport(stream):
    assert not stream.writer.is_closing()
    stream.writer.close()
    assert stream.writer.is_closing()
    assert stream.transport.calls == [("close",)]


# ---- drain


def test_drain_does_not_suspend_while_there_is_room(loop, run, stream):
    async def main():
        turns = Turns(loop)
        for _ in range(5):
            stream.writer.write(b"x")
            await stream.writer.drain()
        return turns.stop()

    assert run(main()) == 0


def test_drain_waits_while_writing_is_paused(aio, run, stream):
    async def main():
        stream.protocol.pause_writing()
        drains = [aio.create_task(stream.writer.drain()) for _ in range(3)]
        await aio.sleep(0)
        await aio.sleep(0)
        assert not any(drain.done() for drain in drains)
        assert len(stream.protocol._drain_waiters) == 3
        drains[1].cancel()
        await aio.sleep(0)
        await aio.sleep(0)
        assert drains[1].cancelled()
        stream.protocol.resume_writing()
        assert await aio.gather(drains[0], drains[2]) == [None, None]
        assert not stream.protocol._drain_waiters

    run(main())


def test_drain_of_a_closing_transport_lets_a_turn_pass(loop, run, stream):
    async def main():
        stream.transport.closing = True
        turns = Turns(loop)
        await stream.writer.drain()
        return turns.stop()

    assert run(main()) == 1


def test_drain_learns_of_the_end_in_that_turn(loop, run, stream):
    stream.transport.closing = True
    loop.call_soon(stream.protocol.connection_lost, None)
    with pytest.raises(ConnectionResetError, match="Connection lost"):
        run(stream.writer.drain())


def test_drain_raises_what_the_reader_raises(run, stream):
    stream.reader.set_exception(ZeroDivisionError("broken"))
    with pytest.raises(ZeroDivisionError, match="broken"):
        run(stream.writer.drain())


@pytest.mark.parametrize("error", [None, ZeroDivisionError("broken")], ids=["no error", "error"])
def test_end_of_the_connection_ends_a_waiting_drain(loop, run, stream, error):
    stream.protocol.pause_writing()
    in_the_second_turn(loop, stream.protocol.connection_lost, error)
    if error is None:
        assert run(stream.writer.drain()) is None
    else:
        with pytest.raises(ZeroDivisionError) as caught:
            run(stream.writer.drain())
        assert caught.value is error


def test_drain_through_the_programs_own_protocol(aio, loop, run, stream):
    calls = []

    class Protocol(aio.StreamReaderProtocol):
        async def _drain_helper(self):
            calls.append("drain")
            await super()._drain_helper()
            await aio.sleep(0)

        def _get_close_waiter(self, stream):
            calls.append(stream)
            future = loop.create_future()
            loop.call_soon(future.set_result, None)
            return future

    protocol = Protocol(stream.reader, loop=loop)
    writer = aio.StreamWriter(stream.transport, protocol, stream.reader, loop)
    run(writer.drain())
    run(writer.wait_closed())
    assert calls == ["drain", writer]


def test_programs_own_reader_is_asked_for_its_exception(aio, loop, run, stream):
    class Reader(aio.StreamReader):
        def exception(self):
            return ZeroDivisionError("mine")

    writer = aio.StreamWriter(stream.transport, stream.protocol, Reader(loop=loop), loop)
    with pytest.raises(ZeroDivisionError, match="mine"):
        run(writer.drain())
    writer.close()


# ---- wait_closed


@pytest.mark.parametrize("before", [True, False], ids=["lost before", "lost meanwhile"])
@pytest.mark.parametrize("error", [None, ZeroDivisionError("broken")], ids=["no error", "error"])
def test_wait_closed(loop, run, stream, before, error):
    if before:
        stream.protocol.connection_lost(error)
    else:
        in_the_second_turn(loop, stream.protocol.connection_lost, error)
    for _ in range(2):
        if error is None:
            assert run(stream.writer.wait_closed()) is None
        else:
            with pytest.raises(ZeroDivisionError) as caught:
                run(stream.writer.wait_closed())
            assert caught.value is error


def test_exception_of_the_end_need_not_be_retrieved(aio, loop, run, collected, stream):
    reports = []
    loop.set_exception_handler(lambda loop, context: reports.append(context))
    waiting = loop.create_task(stream.writer.wait_closed())
    run(aio.sleep(0))
    waiting.cancel()
    run(aio.wait([waiting]))
    stream.protocol.connection_lost(ZeroDivisionError("broken"))
    stream.writer.close()
    stream.reader = stream.protocol = stream.writer = waiting = None
    collected()
    run(aio.sleep(0))
    assert not [report for report in reports if "never retrieved" in report["message"]]


# ---- start_tls


@pytest.mark.parametrize("server_side", [False, True])
@since(3, 14)
def test_start_tls_goes_on_with_the_new_transport(aio, loop, run, server_side):
    other = Transport()
    other._extra["sslcontext"] = "a context"
    calls = []

    async def start_tls(*arguments, **keywords):
        calls.append((arguments, keywords))
        return other

    loop.start_tls = start_tls
    stream = Stream(aio, loop)
    if server_side:
        stream.protocol._client_connected_cb = print
    run(stream.writer.start_tls("a context", server_hostname="name", ssl_shutdown_timeout=3))
    keywords = {
        "server_side": server_side,
        "server_hostname": "name",
        "ssl_handshake_timeout": None,
        "ssl_shutdown_timeout": 3,
    }
    assert calls == [((stream.transport, stream.protocol, "a context"), keywords)]
    assert [stream.writer.transport, stream.protocol._transport, stream.reader._transport] == [other] * 3
    assert stream.protocol._over_ssl
    other.closing = True


# ---- the end of a writer


def test_open_writer_warns_and_closes_when_dropped(aio, loop, collected):
    stream = Stream(aio, loop)
    transport = stream.transport
    with pytest.warns(ResourceWarning, match=r"unclosed <StreamWriter transport=<Transport>"):
        del stream
        collected()
    assert transport.closing


def test_closed_writer_is_dropped_silently(aio, loop, collected):
    stream = Stream(aio, loop)
    stream.writer.close()
    gone = weakref.ref(stream.writer)
    del stream
    collected()
    assert gone() is None


def test_writer_dropped_after_its_loop_warns_only_about_that(aio, collected):
    loop = aio.new_event_loop()
    stream = Stream(aio, loop)
    transport = stream.transport
    loop.close()
    with pytest.warns(ResourceWarning, match="loop is closed"):
        del stream
        collected()
    assert not transport.closing
    transport.closing = True


def test_uninitialized_writer_is_dropped_silently(aio):
    class Half(aio.StreamWriter):
        def __init__(self):
            """Doesn't call the base class."""

        def __del__(self):
            """Doesn't either, because asyncio's would raise."""

    Half()
    gc.collect()


# ---- subclasses and class checks


def test_subclass_with_methods_of_its_own(aio, loop, run):
    class Shouting(aio.StreamWriter):
        def write(self, data):
            super().write(data.upper())

    stream = Stream(aio, loop, Shouting)
    stream.writer.write(b"hello")
    run(stream.writer.drain())
    assert stream.transport.calls == [("write", b"HELLO")]
    stream.writer.close()


def test_passes_for_asyncios(loop):
    stream = Stream(ferrio, loop)
    assert isinstance(stream.writer, asyncio.StreamWriter)
    assert isinstance(stream.protocol, asyncio.StreamReaderProtocol)
    assert isinstance(stream.protocol, asyncio.Protocol)
    assert isinstance(ferrio.streams.FlowControlMixin(loop=loop), asyncio.Protocol)
    stream.writer.close()
