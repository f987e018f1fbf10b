"""Random programs with a `StreamReader`: asyncio and ferrio must give the same results, errors and leftovers.

A program feeds pieces of bytes, starts reads, cancels the waiting one, and ends the input or breaks it. After each step
the loop settles. Then what a program can see of the reader is compared with the running Python's own reader.
"""

import asyncio
import itertools
import sys

from hypothesis import given
from hypothesis import strategies as st

import ferrio

BYTES = st.binary(max_size=40) | st.text("ab\r\n", max_size=40).map(str.encode) | st.just(b"x" * 300)
SEPARATOR = st.sampled_from([b"\n", b"\r\n", b"a", b"ab", b"aba", b"", b"\n\n\n"])
SEPARATORS = SEPARATOR | st.lists(SEPARATOR, max_size=3).map(tuple) if sys.version_info >= (3, 13) else SEPARATOR
SIZE = st.integers(-1, 60)

STEP = st.one_of(
    st.tuples(st.just("feed"), st.lists(BYTES, min_size=1, max_size=3)),
    st.tuples(st.just("read"), SIZE),
    st.tuples(st.just("readexactly"), SIZE),
    st.tuples(st.just("readline")),
    st.tuples(st.just("readuntil"), SEPARATORS),
    st.tuples(st.just("__anext__")),
    st.tuples(st.just("cancel")),
    st.tuples(st.just("end")),
    st.tuples(st.just("break")),
)
# Most programs should live for a while.
PROGRAM = st.lists(STEP.filter(lambda step: step[0] not in ("end", "break")) | STEP, max_size=25)


class Transport:
    """Knows whether it was told to pause."""

    paused = False

    def pause_reading(self):
        self.paused = True

    def resume_reading(self):
        self.paused = False


class Stubborn:
    """A transport that can't be paused."""

    paused = False

    def pause_reading(self):
        raise NotImplementedError


def outcome(task):
    """Returns what a finished read gave, in comparable form."""
    if task.cancelled():
        return "cancelled"
    error = task.exception()
    if error is None:
        return type(task.result()), task.result()
    details = [getattr(error, name, None) for name in ("partial", "expected", "consumed")]
    return type(error).__name__, error.args, details


async def run_program(aio, program, limit, transport):
    """Returns what the program saw, step by step."""
    loop = aio.get_running_loop()
    reader = aio.StreamReader(limit=limit)
    if transport is not None:
        reader.set_transport(transport)
    reads, seen = [], []

    async def wait_for(method, arguments):
        return await getattr(reader, method)(*arguments)

    for name, *arguments in program:
        note = None
        if name == "feed":
            for piece in arguments[0]:
                try:
                    reader.feed_data(piece)
                except AssertionError as error:
                    note = str(error)
        elif name == "end":
            reader.feed_eof()
        elif name == "break":
            reader.set_exception(ZeroDivisionError("broken"))
        elif name == "cancel":
            for task in reads:
                task.cancel()
        else:
            reads.append(loop.create_task(wait_for(name, arguments)))
        for _ in range(6):
            await aio.sleep(0)
        finished = [outcome(task) for task in reads if task.done()]
        reads = [task for task in reads if not task.done()]
        paused = transport is not None and transport.paused
        state = (bytes(reader._buffer), reader._eof, reader.at_eof(), reader._paused, paused, repr(reader.exception()))
        seen.append((name, note, finished, len(reads), state, reader._waiter is None))
    for task in reads:
        task.cancel()
    return seen


@given(program=PROGRAM, limit=st.integers(1, 50), kind=st.sampled_from([None, Transport, Stubborn]))
def test_same_results_errors_and_leftovers_as_asyncio(program, limit, kind):
    def make_transport():
        return kind() if kind is not None else None

    ours = ferrio.run(run_program(ferrio, program, limit, make_transport()))
    theirs = asyncio.run(run_program(asyncio, program, limit, make_transport()))
    assert ours == theirs


@given(
    data=st.binary(max_size=200) | st.text("abc\n", max_size=200).map(str.encode),
    cuts=st.lists(st.integers(0, 200), max_size=10),
    limit=st.integers(1, 250),
)
def test_any_split_gives_the_same_lines(data, cuts, limit):
    """The lines don't depend on how the bytes arrive, and are those that asyncio's reader gives."""

    async def lines(aio):
        reader = aio.StreamReader(limit=limit)
        places = [0, *sorted(cut for cut in cuts if cut <= len(data)), len(data)]
        pieces = [data[start:end] for start, end in itertools.pairwise(places)]

        async def feed():
            for piece in pieces:
                reader.feed_data(piece)
                await aio.sleep(0)
            reader.feed_eof()

        feeding = aio.create_task(feed())
        found = []
        try:
            while line := await reader.readline():
                found.append(line)
        except ValueError as error:
            found.append(str(error))
        await feeding
        return found

    assert ferrio.run(lines(ferrio)) == asyncio.run(lines(asyncio))
