"""The transports of pipes: reading, writing, ends, flow control, closing. One body on asyncio and on ferrio."""

import asyncio
import contextvars
import errno
import gc
import logging
import os
import pty
import socket
import tty
import warnings

import pytest

import ferrio


class Reading(asyncio.Protocol):
    """Records what it is told."""

    def __init__(self, loop):
        self.calls = []
        self.data = b""
        self.transport = None
        self.lost = loop.create_future()
        self._waiters = []
        self._loop = loop

    def connection_made(self, transport):
        self.calls.append("made")
        self.transport = transport

    def data_received(self, data):
        assert type(data) is bytes
        self.data += data
        for size, waiter in self._waiters:
            if len(self.data) >= size and not waiter.done():
                waiter.set_result(None)

    def eof_received(self):
        self.calls.append("eof")

    def connection_lost(self, exc):
        self.calls.append(("lost", exc))
        self.lost.set_result(exc)

    async def until(self, size):
        """Waits until `size` bytes have arrived."""
        if len(self.data) < size:
            waiter = self._loop.create_future()
            self._waiters.append((size, waiter))
            await waiter


class Writing(asyncio.BaseProtocol):
    """Records what it is told."""

    def __init__(self, loop):
        self.calls = []
        self.transport = None
        self.lost = loop.create_future()
        self.resumed = loop.create_future()

    def connection_made(self, transport):
        self.calls.append("made")
        self.transport = transport

    def pause_writing(self):
        self.calls.append("pause")

    def resume_writing(self):
        self.calls.append("resume")
        self.resumed.set_result(None)

    def connection_lost(self, exc):
        self.calls.append(("lost", exc))
        self.lost.set_result(exc)


@pytest.fixture
def reading(loop):
    """Returns a function that makes a transport and its protocol for reading a file object."""
    made = []

    async def make(pipe, protocol=None):
        transport, protocol = await loop.connect_read_pipe(lambda: protocol or Reading(loop), pipe)
        made.append((transport, protocol))
        return transport, protocol

    yield make
    for transport, protocol in made:
        transport.close()
        loop.run_until_complete(protocol.lost)


@pytest.fixture
def writing(loop):
    """Returns a function that makes a transport and its protocol for writing to a file object."""
    made = []

    async def make(pipe, protocol=None):
        transport, protocol = await loop.connect_write_pipe(lambda: protocol or Writing(loop), pipe)
        made.append((transport, protocol))
        return transport, protocol

    yield make
    for transport, protocol in made:
        if not transport.is_closing():
            transport.abort()
        loop.run_until_complete(protocol.lost)


def ends():
    """Returns both ends of a pipe as unbuffered file objects."""
    reader, writer = os.pipe()
    return os.fdopen(reader, "rb", 0), os.fdopen(writer, "wb", 0)


def terminal():
    """Returns both ends of a terminal in raw mode, as unbuffered file objects."""
    ours, theirs = pty.openpty()
    tty.setraw(theirs)
    return os.fdopen(ours, "r+b", 0), os.fdopen(theirs, "r+b", 0)


def test_bytes_arrive_and_then_the_end_of_input(run, reading, writing):
    async def main():
        reader, writer = ends()
        _, us = await reading(reader)
        to, them = await writing(writer)
        to.write(b"bytes ")
        to.write(bytearray(b"array "))
        to.write(memoryview(b"view"))
        to.write(b"")
        to.writelines([b" a", b" list"])
        await us.until(23)
        assert us.data == b"bytes array view a list"
        assert to.can_write_eof()
        to.write_eof()
        to.write_eof()
        assert await us.lost is None
        assert us.calls == ["made", "eof", ("lost", None)]
        assert await them.lost is None
        assert them.calls == ["made", ("lost", None)]
        assert reader.closed
        assert writer.closed

    run(main())


def test_much_data_pauses_the_protocol_and_nothing_is_lost(run, reading, writing):
    async def main():
        reader, writer = ends()
        from_, us = await reading(reader)
        to, them = await writing(writer)
        from_.pause_reading()
        from_.pause_reading()
        assert not from_.is_reading()
        to.set_write_buffer_limits(high=100_000)
        assert to.get_write_buffer_limits() == (25_000, 100_000)
        expected = b"".join(b"%07d " % number for number in range(100_000))
        for start in range(0, len(expected), 50_000):
            to.write(expected[start : start + 50_000])
        assert them.calls == ["made", "pause"]
        assert to.get_write_buffer_size() > 100_000
        from_.resume_reading()
        from_.resume_reading()
        assert from_.is_reading()
        await them.resumed
        assert them.calls == ["made", "pause", "resume"]
        assert to.get_write_buffer_size() <= 25_000
        to.close()
        assert to.is_closing()
        await us.lost
        assert us.data == expected
        assert them.calls == ["made", "pause", "resume", ("lost", None)]

    run(main())


def test_queued_data_may_be_changed_by_the_program(run, reading, writing):
    async def main():
        reader, writer = ends()
        from_, us = await reading(reader)
        to, _ = await writing(writer)
        from_.pause_reading()
        filling = b"x" * 200_000
        to.write(filling)
        changing = bytearray(b"before")
        to.write(changing)
        to.write(memoryview(changing))
        changing[:] = b"after."
        to.close()
        from_.resume_reading()
        await us.lost
        assert us.data == filling + b"beforebefore"

    run(main())


@pytest.mark.parametrize("kind", ["pipe", "socket"])
def test_reader_that_closes_ends_the_writer(run, writing, kind):
    async def main():
        reader, writer = ends() if kind == "pipe" else socket.socketpair()
        to, them = await writing(writer)
        to.write(b"read by nobody")
        reader.close()
        assert await them.lost is None
        assert to.is_closing()
        assert them.calls == ["made", ("lost", None)]

    run(main())


@pytest.mark.parametrize("kind", ["pipe", "socket"])
def test_reader_that_closes_while_data_waits_breaks_the_pipe(run, writing, kind):
    async def main():
        reader, writer = ends() if kind == "pipe" else socket.socketpair()
        to, them = await writing(writer)
        to.write(b"x" * 1_000_000)
        assert to.get_write_buffer_size() > 0
        reader.close()
        assert isinstance(await them.lost, BrokenPipeError)
        assert to.get_write_buffer_size() == 0

    run(main())


def test_writing_to_a_pipe_without_a_reader_is_logged(run, writing, caplog):
    async def main():
        reader, writer = ends()
        to, them = await writing(writer)
        reader.close()
        for _ in range(7):
            to.write(b"x")
        assert isinstance(await them.lost, BrokenPipeError)
        text = "pipe closed by peer or os.write(pipe, data) raised exception."
        assert [record.getMessage() for record in caplog.records] == [text] * 2

    with caplog.at_level(logging.WARNING, "asyncio"):
        run(main())


def test_writing_after_the_end_is_dropped_with_a_warning(run, writing, caplog):
    async def main():
        reader, writer = ends()
        to, them = await writing(writer)
        to.close()
        to.close()
        for _ in range(7):
            to.write(b"x")
        assert to.get_write_buffer_size() == 0
        await them.lost
        assert to.get_protocol() is None
        assert os.read(reader.fileno(), 10) == b""
        reader.close()
        text = "pipe closed by peer or os.write(pipe, data) raised exception."
        assert [record.getMessage() for record in caplog.records] == [text] * 2

    with caplog.at_level(logging.WARNING, "asyncio"):
        run(main())


def test_abort_drops_queued_data(run, writing):
    async def main():
        reader, writer = ends()
        to, them = await writing(writer)
        to.write(b"x" * 1_000_000)
        sent = 1_000_000 - to.get_write_buffer_size()
        to.abort()
        assert to.get_write_buffer_size() == 0
        assert await them.lost is None
        received = b""
        while piece := reader.read(1 << 20):
            received += piece
        assert len(received) == sent
        reader.close()

    run(main())


def test_closing_the_reader_reports_no_end_of_input(run, reading):
    async def main():
        reader, writer = ends()
        from_, us = await reading(reader)
        assert not from_.is_closing()
        from_.close()
        from_.close()
        assert from_.is_closing()
        assert not from_.is_reading()
        from_.pause_reading()
        from_.resume_reading()
        assert await us.lost is None
        assert us.calls == ["made", ("lost", None)]
        assert from_.get_protocol() is None
        writer.close()

    run(main())


def test_data_is_read_before_the_end_of_input(run, reading):
    async def main():
        reader, writer = ends()
        writer.write(b"left behind")
        writer.close()
        _, us = await reading(reader)
        await us.lost
        assert us.data == b"left behind"
        assert us.calls == ["made", "eof", ("lost", None)]

    run(main())


@pytest.mark.parametrize("direction", ["read", "write"])
def test_regular_files_and_directories_are_refused(run, loop, tmp_path, direction):
    text = {
        "read": "Pipe transport is for pipes/sockets only.",
        "write": "Pipe transport is only for pipes, sockets and character devices",
    }[direction]
    connect = loop.connect_read_pipe if direction == "read" else loop.connect_write_pipe
    file = (tmp_path / "file").open("w+b")

    async def main():
        with pytest.raises(ValueError, match=text):
            await connect(asyncio.Protocol, file)
        assert not file.closed
        assert os.get_blocking(file.fileno())

    run(main())
    file.close()


# asyncio's transports are half constructed then, and fail when they are collected.
@pytest.mark.parametrize("aio", [ferrio], ids=["ferrio"])
def test_closed_descriptor_is_refused(run, loop):
    class Gone:
        def fileno(self):
            return 1 << 20

    for connect in (loop.connect_read_pipe, loop.connect_write_pipe):
        with pytest.raises(OSError) as caught:
            run(connect(asyncio.Protocol, Gone()))
        assert caught.value.errno == errno.EBADF
        reader, writer = ends()
        reader.close()
        writer.close()
        with pytest.raises(ValueError, match="closed"):
            run(connect(asyncio.Protocol, reader))


def test_fifos(run, reading, writing, tmp_path):
    path = tmp_path / "fifo"
    os.mkfifo(path)

    async def main():
        reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        _, us = await reading(os.fdopen(reader, "rb", 0))
        to, _ = await writing(path.open("wb", 0))
        to.write(b"through the fifo")
        await us.until(16)
        to.close()
        await us.lost
        assert us.data == b"through the fifo"

    run(main())


def test_sockets(run, reading, writing):
    async def main():
        ours, theirs = socket.socketpair()
        _, us = await reading(ours)
        to, _ = await writing(theirs)
        to.write(b"through the socket")
        to.close()
        await us.lost
        assert us.data == b"through the socket"
        assert us.calls == ["made", "eof", ("lost", None)]

    run(main())


def test_terminal_is_read_until_its_other_end_closes(run, reading, loop):
    reports = []
    loop.set_exception_handler(lambda loop, context: reports.append(context))

    async def main():
        ours, theirs = terminal()
        _, us = await reading(ours)
        theirs.write(b"typed")
        await us.until(5)
        theirs.close()
        # This is how the kernel reports that.
        failure = await us.lost
        assert failure.errno == errno.EIO
        assert us.data == b"typed"

    run(main())
    assert reports == []


def test_terminal_can_be_written_to(run, writing):
    async def main():
        ours, theirs = terminal()
        to, them = await writing(ours)
        to.write(b"printed")
        assert theirs.read(7) == b"printed"
        to.close()
        assert await them.lost is None
        theirs.close()

    run(main())


def test_exception_of_a_protocol_is_reported_and_the_transport_goes_on(run, reading, writing, loop):
    reports = []
    loop.set_exception_handler(lambda loop, context: reports.append(str(context["exception"])))

    class Clumsy(Reading):
        def data_received(self, data):
            super().data_received(data)
            raise RuntimeError(data.decode())

        def eof_received(self):
            raise RuntimeError("eof")

        def connection_lost(self, exc):
            super().connection_lost(exc)
            raise RuntimeError("lost")

    class Stubborn(Writing):
        def pause_writing(self):
            raise RuntimeError("pause")

    async def main():
        reader, writer = ends()
        _, us = await reading(reader, Clumsy(loop))
        writer.write(b"first")
        await us.until(5)
        writer.write(b"second")
        await us.until(11)
        writer.close()
        await us.lost
        reader, writer = ends()
        to, _ = await writing(writer, Stubborn(loop))
        to.write(b"x" * 1_000_000)
        to.abort()
        reader.close()

    run(main())
    assert reports == ["first", "second", "eof", "lost", "pause"]


def test_protocols_can_be_replaced(run, reading, writing, loop):
    async def main():
        reader, writer = ends()
        from_, us = await reading(reader)
        to, them = await writing(writer)
        assert from_.get_protocol() is us
        assert to.get_protocol() is them
        heir = Reading(loop)
        from_.set_protocol(heir)
        to.set_protocol(them)
        to.write(b"for the heir")
        await heir.until(12)
        assert (us.data, heir.data) == (b"", b"for the heir")
        from_.set_protocol(us)

    run(main())


def test_extra_info_of_transports(run, reading, writing):
    async def main():
        reader, writer = ends()
        from_, _ = await reading(reader)
        to, _ = await writing(writer)
        assert isinstance(from_, asyncio.ReadTransport)
        assert isinstance(to, asyncio.WriteTransport)
        assert from_.get_extra_info("pipe") is reader
        assert to.get_extra_info("pipe") is writer
        assert to.get_extra_info("nothing", 7) == 7
        for transport, end in ((from_, reader), (to, writer)):
            assert f"fd={end.fileno()}" in repr(transport)
            assert not os.get_blocking(end.fileno())
            transport.close()
            assert "closing" in repr(transport)
        for limits in [(1, 2), (-1, None), (None, -1)]:
            with pytest.raises(ValueError, match=r"high \(.*\) must be >= low \(.*\) must be >= 0"):
                to.set_write_buffer_limits(*limits)

    run(main())


def test_only_bytes_can_be_written(run, writing):
    async def main():
        reader, writer = ends()
        to, _ = await writing(writer)
        for data in ("text", 7, None, [b"list"]):
            with pytest.raises((TypeError, AssertionError)):
                to.write(data)
        reader.close()

    run(main())


def test_callbacks_run_in_the_creators_context(run, reading, loop):
    variable = contextvars.ContextVar("variable", default="outside")
    seen = []

    class Looking(Reading):
        def connection_made(self, transport):
            seen.append(variable.get())
            super().connection_made(transport)

        def data_received(self, data):
            seen.append(variable.get())
            super().data_received(data)

    async def main():
        variable.set("inside")
        reader, writer = ends()
        _, us = await reading(reader, Looking(loop))
        variable.set("later")
        writer.write(b"x")
        await us.until(1)
        writer.close()
        await us.lost

    run(main())
    assert seen == ["inside", "inside"]


@pytest.mark.parametrize("direction", ["read", "write"])
def test_unclosed_transport_warns(aio, direction):
    loop = aio.new_event_loop()
    reader, writer = ends()
    if direction == "read":
        transport, protocol = loop.run_until_complete(loop.connect_read_pipe(lambda: Reading(loop), reader))
        held, other = reader, writer
    else:
        transport, protocol = loop.run_until_complete(loop.connect_write_pipe(lambda: Writing(loop), writer))
        held, other = writer, reader
    loop.close()
    assert "open" in repr(transport)
    protocol.transport = None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        del transport
        gc.collect()
    unclosed = [warning for warning in caught if "unclosed transport" in str(warning.message)]
    assert [warning.category for warning in unclosed] == [ResourceWarning]
    assert held.closed
    other.close()
