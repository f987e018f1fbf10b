"""`StreamReader`, fed by hand: one body on asyncio and on ferrio. tests/properties has random programs."""

import asyncio
import gc
import inspect
import re

import pytest
from tests.unit.implementations import since

import ferrio


class Transport:
    """Counts how often it is told to pause and to resume."""

    def __init__(self):
        self.calls = []

    def pause_reading(self):
        self.calls.append("pause")

    def resume_reading(self):
        self.calls.append("resume")


@pytest.fixture
def reader(aio, loop):
    return aio.StreamReader(loop=loop)


@pytest.fixture
def small(aio, loop):
    """A reader with a limit of three bytes, and its transport."""
    reader = aio.StreamReader(limit=3, loop=loop)
    reader.set_transport(Transport())
    return reader


def fed(reader, data, eof=False):
    if data:
        reader.feed_data(data)
    if eof:
        reader.feed_eof()
    return reader


async def turn(loop):
    """Lets the loop turn once, whichever loop it is."""
    waiter = loop.create_future()
    loop.call_soon(waiter.set_result, None)
    await waiter


# ---- reading what is there


def test_read_takes_what_is_there(reader, run):
    fed(reader, b"hello")
    assert run(reader.read(3)) == b"hel"
    assert run(reader.read(30)) == b"lo"


def test_read_nothing_does_not_wait(reader, run):
    assert run(reader.read(0)) == b""
    assert run(reader.readexactly(0)) == b""


def test_read_of_a_number_too_large_for_memory_takes_what_there_is(reader, run):
    fed(reader, b"hello")
    assert run(reader.read(2**63 - 1)) == b"hello"


def test_read_all(reader, run):
    fed(reader, b"one ")
    reader._loop.call_soon(reader.feed_data, b"two")
    reader._loop.call_soon(reader.feed_eof)
    assert run(reader.read()) == b"one two"
    assert run(reader.read()) == b""


def test_lines(reader, run):
    fed(reader, b"one\ntwo\n\nthr", eof=True)
    assert [run(reader.readline()) for _ in range(5)] == [b"one\n", b"two\n", b"\n", b"thr", b""]


def test_lines_by_iteration(reader, run):
    async def lines():
        return [line async for line in reader]

    fed(reader, b"one\ntwo", eof=True)
    assert run(lines()) == [b"one\n", b"two"]


def test_exactly(reader, run):
    fed(reader, b"0123456789")
    assert run(reader.readexactly(4)) == b"0123"
    assert run(reader.readexactly(6)) == b"456789"


def test_any_bytes_may_be_fed(reader, run):
    for data in (b"a", bytearray(b"b"), memoryview(b"c")):
        reader.feed_data(data)
    assert run(reader.read(10)) == b"abc"


def test_reads_return_bytes_whatever_was_fed(reader, run):
    reader.feed_data(bytearray(b"one\ntwo"))
    assert type(run(reader.readline())) is bytes
    assert type(run(reader.read(1))) is bytes
    assert type(run(reader.readexactly(2))) is bytes


def test_fed_bytearray_may_change_afterwards(reader, run):
    data = bytearray(b"hello")
    reader.feed_data(data)
    data[:] = b""
    assert run(reader.read(9)) == b"hello"


# ---- waiting


@pytest.mark.parametrize(
    ("read", "pieces", "value"),
    [
        (lambda reader: reader.read(9), [b"ab"], b"ab"),
        (lambda reader: reader.readline(), [b"ab", b"c\nd"], b"abc\n"),
        (lambda reader: reader.readexactly(4), [b"a", b"bc", b"de"], b"abcd"),
        (lambda reader: reader.readuntil(b"\r\n"), [b"a\r", b"b\r", b"\n"], b"a\rb\r\n"),
    ],
)
def test_reads_wait_for_what_they_need(reader, loop, run, read, pieces, value):
    async def feed():
        for piece in pieces:
            await turn(loop)
            reader.feed_data(piece)

    async def main():
        feeding = loop.create_task(feed())
        got = await read(reader)
        await feeding
        return got

    assert run(main()) == value


def test_second_waiter_is_refused(reader, loop, run):
    async def main():
        first = loop.create_task(reader.readline())
        await turn(loop)
        messages = []
        for read in (reader.read(1), reader.readline(), reader.readexactly(1), reader.readuntil(b"x")):
            with pytest.raises(RuntimeError) as caught:
                await read
            messages.append(str(caught.value))
        reader.feed_data(b"line\n")
        assert await first == b"line\n"
        return messages

    text = "{}() called while another coroutine is already waiting for incoming data"
    assert run(main()) == [text.format(name) for name in ("read", "readuntil", "readexactly", "readuntil")]


def test_cancelled_wait_leaves_the_data(reader, loop, run):
    async def main():
        waiting = loop.create_task(reader.readexactly(5))
        await turn(loop)
        reader.feed_data(b"abc")
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert reader._waiter is None
        return await reader.read(5)

    assert run(main()) == b"abc"


def test_cancellation_after_the_data_came_leaves_it(reader, loop, run):
    async def main():
        waiting = loop.create_task(reader.readline())
        await turn(loop)
        reader.feed_data(b"line\n")
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        return await reader.readline()

    assert run(main()) == b"line\n"


def test_timeout_leaves_the_reader_usable(aio, reader, run):
    async def main():
        with pytest.raises(TimeoutError):
            await aio.wait_for(reader.read(1), 0.001)
        reader.feed_data(b"x")
        return await reader.read(1)

    assert run(main()) == b"x"


def test_waiter_is_shown_during_a_wait(reader, loop, run):
    async def main():
        waiting = loop.create_task(reader.read(1))
        await turn(loop)
        shown = reader._waiter
        reader.feed_data(b"x")
        await waiting
        return shown

    assert reader._waiter is None
    shown = run(main())
    assert shown is not None
    assert reader._waiter is None


def test_waiter_may_be_the_programs_own_future(reader, loop, run):
    future = loop.create_future()
    reader._waiter = future
    reader.feed_data(b"x")
    assert run(future) is None
    assert reader._waiter is None
    reader._waiter = refused = loop.create_future()
    error = ValueError("no more")
    reader.set_exception(error)
    assert refused.exception() is error


# ---- the end of input


def test_at_eof(reader, run):
    assert not reader.at_eof()
    fed(reader, b"x", eof=True)
    assert not reader.at_eof()
    run(reader.read(1))
    assert reader.at_eof()


def test_nothing_may_be_fed_after_the_end(reader):
    reader.feed_eof()
    for data in (b"x", b""):
        with pytest.raises(AssertionError, match="feed_data after feed_eof"):
            reader.feed_data(data)


def test_end_before_enough_came(aio, reader, run):
    fed(reader, b"abc", eof=True)
    with pytest.raises(aio.IncompleteReadError) as caught:
        run(reader.readexactly(5))
    assert (caught.value.partial, caught.value.expected) == (b"abc", 5)
    assert run(reader.read()) == b""


def test_end_before_the_separator_came(aio, reader, run):
    fed(reader, b"abc", eof=True)
    with pytest.raises(aio.IncompleteReadError) as caught:
        run(reader.readuntil(b"\n"))
    assert (caught.value.partial, caught.value.expected) == (b"abc", None)


def test_end_wakes_the_waiter(reader, loop, run):
    loop.call_soon(reader.feed_eof)
    assert run(reader.readline()) == b""


# ---- exceptions


def test_exception_is_raised_by_the_waiter_and_all_later_reads(reader, loop, run):
    error = ZeroDivisionError("broken")
    fed(reader, b"abc")
    loop.call_soon(reader.set_exception, error)
    with pytest.raises(ZeroDivisionError) as caught:
        run(reader.readexactly(9))
    assert caught.value is error
    assert reader.exception() is error
    for read in (reader.read(), reader.read(0), reader.readline(), reader.readexactly(0), reader.readuntil()):
        with pytest.raises(ZeroDivisionError):
            run(read)


def test_exception_skips_a_cancelled_waiter(reader, loop, run):
    async def main():
        waiting = loop.create_task(reader.readline())
        await turn(loop)
        waiting.cancel()
        reader.set_exception(ZeroDivisionError())
        with pytest.raises((asyncio.CancelledError, ZeroDivisionError)):
            await waiting
        assert reader._waiter is None

    run(main())


# ---- bad arguments


@pytest.mark.parametrize("limit", [0, -1])
def test_limit_must_be_positive(aio, loop, limit):
    with pytest.raises(ValueError, match="Limit cannot be <= 0"):
        aio.StreamReader(limit=limit, loop=loop)


def test_limit_may_be_any_number(aio, loop, run):
    for limit in (2.5, 2**70, float("inf")):
        reader = aio.StreamReader(limit=limit, loop=loop)
        assert reader._limit == limit
    reader = fed(aio.StreamReader(limit=2.5, loop=loop), b"abc\n")
    with pytest.raises(ValueError, match="longer than limit"):
        run(reader.readline())


def test_negative_number_of_bytes(reader, run):
    with pytest.raises(ValueError, match="less than zero"):
        run(reader.readexactly(-1))


def test_empty_separator_is_refused(reader, run):
    fed(reader, b"abc")
    with pytest.raises(ValueError, match="at least one-byte string"):
        run(reader.readuntil(b""))


@pytest.mark.parametrize("method", ["read", "readexactly"])
def test_byte_count_must_be_a_number(reader, run, method):
    fed(reader, b"abc")
    for bad in ("x", 1.5):
        with pytest.raises(TypeError):
            run(getattr(reader, method)(bad))


def test_text_cannot_be_fed_or_searched(reader, run):
    with pytest.raises(TypeError):
        reader.feed_data("text")
    fed(reader, b"abc")
    with pytest.raises(TypeError):
        run(reader.readuntil("b"))


# ---- several separators


@since(3, 13)
def test_separator_that_ends_first_wins(aio, loop, run):
    reader = fed(aio.StreamReader(loop=loop), b"one+two-three", eof=True)
    assert run(reader.readuntil((b"-", b"+"))) == b"one+"
    assert run(reader.readuntil((b"-", b"+"))) == b"two-"
    with pytest.raises(aio.IncompleteReadError):
        run(reader.readuntil((b"-", b"+")))


@since(3, 13)
def test_empty_list_of_separators_is_refused(aio, loop, run):
    reader = aio.StreamReader(loop=loop)
    with pytest.raises(ValueError, match="at least one element"):
        run(reader.readuntil(()))
    with pytest.raises(ValueError, match="at least one-byte string"):
        run(reader.readuntil((b"x", b"")))


# ---- limits


def test_long_finished_line_is_dropped(small, run):
    fed(small, b"toolong\nok\n")
    with pytest.raises(ValueError, match="Separator is found, but chunk is longer than limit"):
        run(small.readline())
    assert run(small.readline()) == b"ok\n"


def test_long_unfinished_line_is_dropped(small, run):
    fed(small, b"toolong")
    with pytest.raises(ValueError, match="Separator is not found, and chunk exceed the limit"):
        run(small.readline())
    assert small._buffer == b""


def test_limit_excludes_the_separator(small, run):
    fed(small, b"abc\n")
    assert run(small.readline()) == b"abc\n"


def test_long_message_stays_in_the_buffer(aio, small, run):
    fed(small, b"toolong\n")
    for separator, consumed in ((b"\n", 7), (b"x", 8), (b"long!", 4)):
        with pytest.raises(aio.LimitOverrunError) as caught:
            run(small.readuntil(separator))
        assert caught.value.consumed == consumed
    assert run(small.readexactly(8)) == b"toolong\n"


def test_read_and_readexactly_have_no_limit(small, run):
    fed(small, b"0123456789")
    assert run(small.readexactly(8)) == b"01234567"
    fed(small, b"x" * 100)
    assert len(run(small.read(1000))) == 102


# ---- the transport


def test_transport_is_paused_while_too_much_is_unread(small, run):
    calls = small._transport.calls
    fed(small, b"123456")
    assert (calls, small._paused) == ([], False)
    fed(small, b"7")
    fed(small, b"8")
    assert (calls, small._paused) == (["pause"], True)
    run(small.read(4))
    assert calls == ["pause"]
    run(small.read(1))
    assert (calls, small._paused) == (["pause", "resume"], False)


def test_dropping_a_long_line_resumes_the_transport(small, run):
    fed(small, b"1234567")
    with pytest.raises(ValueError, match="exceed the limit"):
        run(small.readline())
    assert small._transport.calls == ["pause", "resume"]


def test_waiting_for_more_than_the_limit_resumes_the_transport(small, loop, run):
    fed(small, b"1234567")
    loop.call_soon(small.feed_data, b"89")
    assert run(small.readexactly(9)) == b"123456789"
    assert small._transport.calls[:2] == ["pause", "resume"]
    assert small._paused is False


def test_transport_that_cannot_pause_is_forgotten(aio, loop, run):
    class Endless:
        def pause_reading(self):
            raise NotImplementedError

    reader = aio.StreamReader(limit=1, loop=loop)
    reader.set_transport(Endless())
    fed(reader, b"12345")
    assert reader._transport is None
    assert run(reader.read(9)) == b"12345"


def test_exception_of_pausing_is_raised(aio, loop):
    class Broken:
        def pause_reading(self):
            raise OSError("cannot")

    reader = aio.StreamReader(limit=1, loop=loop)
    reader.set_transport(Broken())
    with pytest.raises(OSError, match="cannot"):
        reader.feed_data(b"123")
    assert reader._paused is False


def test_transport_is_set_once(small):
    with pytest.raises(AssertionError, match="already set"):
        small.set_transport(Transport())


@since(3, 14)
def test_transport_can_be_replaced(aio, loop):
    reader = aio.StreamReader(loop=loop)
    with pytest.raises(AssertionError, match="not set"):
        reader._replace_transport(Transport())
    reader.set_transport(Transport())
    other = Transport()
    reader._replace_transport(other)
    assert reader._transport is other


# ---- what a program can see


def test_repr(aio, loop):
    reader = aio.StreamReader(loop=loop)
    assert repr(reader) == "<StreamReader>"
    reader.feed_data(b"abc")
    assert repr(reader) == "<StreamReader 3 bytes>"
    reader = aio.StreamReader(limit=9, loop=loop)
    reader.feed_eof()
    reader.set_exception(ValueError("x"))
    reader._transport = "T"
    reader._paused = True
    assert repr(reader) == "<StreamReader eof limit=9 exception=ValueError('x') transport='T' paused>"


def test_repr_shows_the_waiter(aio, reader, loop):
    reader._waiter = loop.create_future()
    assert re.fullmatch("<StreamReader waiter=<Future pending.*>>", repr(reader))


def test_debug_mode_remembers_where_it_was_made(aio, loop):
    loop.set_debug(True)
    reader = aio.StreamReader(loop=loop)
    assert __file__ in reader._source_traceback[-1].filename
    loop.set_debug(False)
    assert aio.StreamReader(loop=loop)._source_traceback is None


def test_loop_is_the_running_one(aio, loop, run):
    async def make():
        return aio.StreamReader()

    assert run(make())._loop is loop


def test_buffer_can_be_read_and_set(reader, run):
    fed(reader, b"abc")
    assert reader._buffer == b"abc"
    assert isinstance(reader._buffer, bytearray)
    reader._buffer = bytearray(b"other\n")
    assert run(reader.readline()) == b"other\n"


def test_attributes_may_be_added(reader):
    reader.name = "a name"
    assert reader.name == "a name"


def test_passes_for_asyncios(loop):
    reader = ferrio.StreamReader(loop=loop)
    assert isinstance(reader, asyncio.StreamReader)
    assert isinstance(reader, ferrio.StreamReader)


def test_reads_are_awaitables_that_can_be_tasks(aio, reader, loop, run):
    async def main():
        fed(reader, b"one\ntwo\n")
        first = aio.create_task(reader.readline())
        assert await first == b"one\n"
        return await aio.wait_for(reader.readline(), 5)

    assert run(main()) == b"two\n"
    nothing = reader.read(0)
    assert inspect.isawaitable(nothing)
    run(nothing)


def test_read_never_awaited_warns(reader):
    with pytest.warns(RuntimeWarning, match="StreamReader.read.* was never awaited"):
        reader.read(1)
        gc.collect()


# ---- where ferrio's differs


def test_buffer_of_a_plain_reader_is_shown_as_a_copy():
    with ferrio.Runner() as runner:
        reader = fed(ferrio.StreamReader(loop=runner.get_loop()), b"line\n")
        reader._buffer.clear()
        assert reader._buffer == b"line\n"
        assert runner.run(reader.readline()) == b"line\n"


def test_exception_reaches_a_waiter_whose_data_came_in_the_same_turn():
    """asyncio's waits for ever: the data woke it, but it finds too little and doesn't check for an exception."""

    async def main():
        reader = ferrio.StreamReader()
        waiting = ferrio.create_task(reader.readexactly(5))
        await ferrio.sleep(0)
        reader.feed_data(b"abc")
        reader.set_exception(ZeroDivisionError("broken"))
        with pytest.raises(ZeroDivisionError):
            await waiting

    ferrio.run(main())


def test_data_taken_by_another_read_is_not_the_end_of_input():
    """asyncio's first reader gets b"", which means that the input has ended."""

    async def main():
        reader = ferrio.StreamReader()
        first = ferrio.create_task(reader.read(10))
        await ferrio.sleep(0)
        reader.feed_data(b"one")
        assert await reader.read(10) == b"one"
        await ferrio.sleep(0)
        reader.feed_data(b"two")
        assert await first == b"two"

    ferrio.run(main())


def test_line_in_pieces_wakes_its_reader_once():
    async def main():
        reader = ferrio.StreamReader()
        waiting = ferrio.create_task(reader.readline())
        await ferrio.sleep(0)
        for _ in range(5):
            reader.feed_data(b"piece ")
            assert reader._waiter is not None
        reader.feed_data(b"\n")
        assert reader._waiter is None
        assert await waiting == b"piece " * 5 + b"\n"

    ferrio.run(main())


# ---- subclasses


def test_subclass_with_reads_of_its_own_on_the_buffer(aio, loop, run):
    class Telnet(aio.StreamReader):
        async def readbyte(self):
            while not self._buffer:
                await self._wait_for_data("readbyte")
            byte = self._buffer[0]
            del self._buffer[:1]
            self._maybe_resume_transport()
            return byte

        def feed_data(self, data):
            super().feed_data(data.replace(b"\xff", b""))

    async def main():
        reader = Telnet(loop=loop, limit=2)
        loop.call_soon(reader.feed_data, b"a\xffb")
        assert await reader.readbyte() == ord("a")
        reader._buffer.extend(b"cd\nrest")
        assert await reader.readexactly(2) == b"bc"
        assert await reader.readline() == b"d\n"
        assert reader._buffer == b"rest"
        return await reader.read(2)

    assert run(main()) == b"re"


def test_methods_call_one_another(aio, loop, run):
    calls = []

    class Watching(aio.StreamReader):
        async def readuntil(self, separator=b"\n"):
            calls.append(("readuntil", separator))
            return await super().readuntil(separator)

        async def read(self, n=-1):
            calls.append(("read", n))
            return await super().read(n)

        async def readline(self):
            calls.append(("readline",))
            return await super().readline()

    async def main():
        reader = fed(Watching(limit=4, loop=loop), b"a\ntoolong\nb\ncdefghi", eof=True)
        lines = [await reader.__anext__()]
        with pytest.raises(ValueError, match="longer than limit"):
            await reader.readline()
        lines.append(await reader.readline())
        return lines, await reader.read()

    assert run(main()) == ([b"a\n", b"b\n"], b"cdefghi")
    until = ("readuntil", b"\n")
    assert calls[:6] == [("readline",), until, ("readline",), until, ("readline",), until]
    assert calls[6:] == [("read", -1), ("read", 4), ("read", 4), ("read", 4)]


def test_standard_task_waits_in_a_plain_reader():
    """A standard task on a standard loop waits in ferrio's reader."""

    async def main():
        reader = ferrio.StreamReader()
        asyncio.get_running_loop().call_soon(reader.feed_data, b"line\n")
        return await reader.readline()

    assert asyncio.run(main()) == b"line\n"
