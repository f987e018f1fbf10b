"""`StreamReaderProtocol` and its flow control, driven by hand: one body on asyncio and on ferrio."""

import asyncio
import weakref

import pytest
from tests.unit.implementations import in_the_second_turn, since
from tests.unit.test_stream_writer import Transport

import ferrio


@pytest.fixture
def transport():
    transport = Transport()
    yield transport
    transport.closing = True


def make(aio, loop, callback=None, reader=None):
    reader = reader or aio.StreamReader(loop=loop)
    return reader, aio.StreamReaderProtocol(reader, callback, loop=loop)


# ---- a connection's life


def test_data_and_its_end_go_to_the_reader(aio, loop, run, transport):
    reader, protocol = make(aio, loop)
    protocol.connection_made(transport)
    assert reader._transport is protocol._transport is transport
    protocol.data_received(b"one\n")
    assert protocol.eof_received() is True
    assert run(reader.readline()) == b"one\n"
    assert reader.at_eof()


def test_over_tls_the_end_of_input_closes(aio, loop, transport):
    transport._extra["sslcontext"] = "a context"
    reader, protocol = make(aio, loop)
    protocol.connection_made(transport)
    assert protocol._over_ssl is True
    assert protocol.eof_received() is False
    assert reader.at_eof()


def test_lost_connection_drops_its_references(aio, loop, transport):
    reader, protocol = make(aio, loop)
    protocol.connection_made(transport)
    protocol.connection_lost(None)
    assert reader.at_eof()
    assert protocol._stream_reader is None
    assert protocol._transport is None
    assert protocol._task is None
    assert protocol._closed.result() is None


def test_error_of_the_connection_reaches_the_reader(aio, loop, transport):
    reader, protocol = make(aio, loop)
    protocol.connection_made(transport)
    error = ZeroDivisionError("broken")
    closed = protocol._closed
    protocol.connection_lost(error)
    assert reader.exception() is error
    assert closed.exception() is error


def test_second_end_is_harmless(aio, loop, transport):
    _reader, protocol = make(aio, loop)
    protocol.connection_made(transport)
    protocol.connection_lost(None)
    protocol.connection_lost(ValueError("late"))
    assert protocol._closed.result() is None


def test_reader_belongs_to_the_program(aio, loop, transport, collected):
    reader, protocol = make(aio, loop)
    protocol.connection_made(transport)
    gone = weakref.ref(reader)
    assert protocol._stream_reader is reader
    del reader
    collected()
    assert gone() is None
    assert protocol._stream_reader is None
    protocol.data_received(b"into the void")
    protocol.eof_received()
    protocol.connection_lost(None)


def test_protocol_without_a_reader(aio, loop, transport):
    protocol = aio.StreamReaderProtocol(None, loop=loop)
    protocol.connection_made(transport)
    protocol.data_received(b"x")
    protocol.eof_received()
    protocol.connection_lost(None)


def test_programs_own_reader_is_fed_through_its_methods(aio, loop, transport):
    calls = []

    class Reader(aio.StreamReader):
        def feed_data(self, data):
            calls.append(data)

        def feed_eof(self):
            calls.append("eof")

        def set_exception(self, exc):
            calls.append(exc)

    _reader, protocol = make(aio, loop, reader=(reader := Reader(loop=loop)))
    protocol.connection_made(transport)
    protocol.data_received(b"x")
    protocol.eof_received()
    error = ValueError("broken")
    protocol.connection_lost(error)
    assert calls == [b"x", "eof", error]
    assert reader._transport is transport


# ---- a server's callback


def test_callback_gets_reader_and_writer(aio, loop, transport):
    calls = []
    reader, protocol = make(aio, loop, lambda *arguments: calls.append(arguments))
    assert protocol._strong_reader is reader
    protocol.connection_made(transport)
    [(given, writer)] = calls
    assert given is reader
    assert type(writer) is aio.StreamWriter
    assert writer.transport is transport
    assert protocol._strong_reader is None


def test_coroutine_function_runs_as_a_task(aio, loop, run, transport):
    done = loop.create_future()

    async def callback(reader, writer):
        done.set_result(aio.current_task())
        writer.close()

    _reader, protocol = make(aio, loop, callback)
    protocol.connection_made(transport)
    task = protocol._task
    assert run(done) is task
    run(task)
    assert transport.closing


@since(3, 14, 10)
def test_callback_that_raises_costs_its_connection(aio, loop, transport, problems):
    def callback(reader, writer):
        raise ZeroDivisionError("broken")

    _reader, protocol = make(aio, loop, callback)
    protocol.connection_made(transport)
    [problem] = problems
    assert problem["message"] == "Unhandled exception in client_connected_cb"
    assert isinstance(problem["exception"], ZeroDivisionError)
    assert problem["transport"] is transport
    assert transport.closing
    assert protocol._strong_reader is None


@since(3, 12)
def test_task_that_fails_costs_its_connection(aio, loop, run, transport, problems):
    async def callback(reader, writer):
        raise ZeroDivisionError("broken")

    reader, protocol = make(aio, loop, callback)
    protocol.connection_made(transport)
    run(aio.wait([protocol._task]))
    run(aio.sleep(0))
    [problem] = problems
    assert problem["message"] == "Unhandled exception in client_connected_cb"
    assert isinstance(problem["exception"], ZeroDivisionError)
    assert problem["transport"] is transport
    assert transport.closing
    assert reader._transport is transport


@since(3, 13)
def test_task_that_is_cancelled_costs_its_connection_and_nothing_else(aio, loop, run, transport, problems):
    async def callback(reader, writer):
        await reader.read(1)

    reader, protocol = make(aio, loop, callback)
    protocol.connection_made(transport)
    task = protocol._task
    run(aio.sleep(0))
    task.cancel()
    run(aio.wait([task]))
    run(aio.sleep(0))
    assert problems == []
    assert transport.closing
    assert reader._waiter is None


def test_connection_of_a_dropped_stream_is_refused(aio, loop, problems):
    class Aborted(Transport):
        def abort(self):
            self.calls.append("abort")

    transport = Aborted()
    loop.set_debug(True)
    reader, protocol = make(aio, loop)
    protocol._reject_connection = True
    protocol.connection_made(transport)
    [problem] = problems
    assert problem["message"].startswith(
        "An open stream was garbage collected prior to establishing network connection"
    )
    assert problem["source_traceback"] is reader._source_traceback
    assert transport.calls == ["abort"]


# ---- flow control


def test_pause_and_resume_alternate(aio, loop):
    _reader, protocol = make(aio, loop)
    with pytest.raises(AssertionError):
        protocol.resume_writing()
    protocol.pause_writing()
    assert protocol._paused
    with pytest.raises(AssertionError):
        protocol.pause_writing()
    protocol.resume_writing()
    assert not protocol._paused


def test_drain_helper(aio, loop, run):
    _reader, protocol = make(aio, loop)
    run(protocol._drain_helper())
    protocol.pause_writing()
    in_the_second_turn(loop, protocol.resume_writing)
    run(protocol._drain_helper())
    protocol.connection_lost(None)
    with pytest.raises(ConnectionResetError):
        run(protocol._drain_helper())


def test_flow_control_alone(aio, loop, run):
    class Protocol(aio.streams.FlowControlMixin):
        pass

    for kind in (Protocol, aio.streams.FlowControlMixin):
        protocol = kind(loop=loop)
        protocol.connection_made(None)
        protocol.data_received(b"x")
        assert protocol.eof_received() is None
        with pytest.raises(NotImplementedError):
            protocol._get_close_waiter(None)
        protocol.pause_writing()
        in_the_second_turn(loop, protocol.connection_lost, ZeroDivisionError("broken"))
        with pytest.raises(ZeroDivisionError):
            run(protocol._drain_helper())
        assert protocol._connection_lost


def test_loop_is_the_running_one(aio, loop, run):
    async def make_one():
        return aio.StreamReaderProtocol(aio.StreamReader())

    assert run(make_one())._loop is loop


# ---- subclasses


def test_subclass_with_methods_of_its_own(aio, loop, run, transport):
    calls = []

    class Protocol(aio.StreamReaderProtocol):
        def __init__(self, reader, name, **keywords):
            super().__init__(reader, **keywords)
            self.name = name

        def connection_made(self, transport):
            super().connection_made(transport)
            calls.append(self.name)

        def data_received(self, data):
            super().data_received(data.upper())

        def connection_lost(self, exc):
            super().connection_lost(exc)
            calls.append("lost")

    reader = aio.StreamReader(loop=loop)
    protocol = Protocol(reader, "a name", loop=loop)
    protocol.connection_made(transport)
    protocol.data_received(b"hello\n")
    assert run(reader.readline()) == b"HELLO\n"
    protocol.connection_lost(None)
    assert calls == ["a name", "lost"]
    assert isinstance(protocol, aio.StreamReaderProtocol)


def test_subclass_over_a_real_connection():
    """A subclass that hides a byte is called for each piece, although a plain protocol bypasses that method."""

    class Protocol(ferrio.StreamReaderProtocol):
        def data_received(self, data):
            super().data_received(data.replace(b"\xff", b""))

    def answer(reader, writer):
        writer.write(b"a\xffb\n")
        writer.close()

    async def main():
        loop = ferrio.get_running_loop()
        server = await ferrio.start_server(answer, "127.0.0.1", 0)
        reader = ferrio.StreamReader()
        protocol = Protocol(reader)
        transport, _ = await loop.create_connection(lambda: protocol, *server.sockets[0].getsockname())
        line = await reader.readline()
        transport.close()
        server.close()
        await server.wait_closed()
        return line

    assert ferrio.run(main()) == b"ab\n"


def test_standard_protocol_on_our_loop():
    async def main():
        async def echo(reader, writer):
            writer.write(await reader.readline())
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"line\n")
        line = await reader.readline()
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()
        return line

    with asyncio.Runner(loop_factory=ferrio.new_event_loop) as runner:
        assert runner.run(main()) == b"line\n"
