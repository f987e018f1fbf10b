"""An error that is raised while another exception is handled has that one as its `__context__`."""

import pytest


def empty(aio, loop):
    aio.Queue().get_nowait()


def full(aio, loop):
    queue = aio.Queue(1)
    queue.put_nowait(1)
    queue.put_nowait(2)


def result_of_pending(aio, loop):
    loop.create_future().result()


def exception_of_pending(aio, loop):
    loop.create_future().exception()


def second_result(aio, loop):
    future = loop.create_future()
    future.set_result(1)
    future.set_result(2)


async def broken(aio):
    barrier = aio.Barrier(2)
    await barrier.abort()
    await barrier.wait()


async def ended(aio):
    reader = aio.StreamReader()
    reader.feed_data(b"ab")
    reader.feed_eof()
    await reader.readexactly(3)


def long_reader(aio):
    reader = aio.StreamReader(limit=2)
    reader.feed_data(b"abcdef")
    return reader


async def too_long(aio):
    await long_reader(aio).readuntil()


async def too_long_line(aio):
    await long_reader(aio).readline()


def contexts(error):
    """Returns the chain of contexts behind an error."""
    while error := error.__context__:
        yield type(error)


@pytest.mark.parametrize("raising", [empty, full, result_of_pending, exception_of_pending, second_result])
def test_call(aio, loop, raising):
    with pytest.raises(Exception) as caught:
        try:
            raise KeyError("handled")
        except KeyError:
            raising(aio, loop)
    assert list(contexts(caught.value)) == [KeyError]


@pytest.mark.parametrize("raising", [broken, ended, too_long])
def test_await(aio, run, raising):
    async def main():
        try:
            raise KeyError("handled")
        except KeyError:
            await raising(aio)

    with pytest.raises(Exception) as caught:
        run(main())
    assert list(contexts(caught.value)) == [KeyError]


def test_line_beyond_the_limit_shows_what_readuntil_raised(aio, run):
    with pytest.raises(ValueError) as caught:
        run(too_long_line(aio))
    assert list(contexts(caught.value)) == [aio.LimitOverrunError]
