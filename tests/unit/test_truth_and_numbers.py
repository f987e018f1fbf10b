"""Flags are tested for truth and numbers compared, whatever their class: each value has the same outcome on both."""

import asyncio
import decimal
import fractions
import math
import socket
import sys

import pytest

import ferrio


class Truthful:
    """Has a truth value, and nothing else."""

    def __init__(self, truth):
        self.truth = truth

    def __repr__(self):
        return f"of {self.truth}"

    def __bool__(self):
        return self.truth


class Index:
    """An integer like numpy's: not an `int`, but with everything that makes one."""

    def __init__(self, value):
        self.value = value

    def __index__(self):
        return self.value

    def __float__(self):
        return float(self.value)

    def __bool__(self):
        return bool(self.value)

    def __eq__(self, other):
        return self.value == other

    def __lt__(self, other):
        return self.value < other

    def __le__(self, other):
        return self.value <= other

    def __gt__(self, other):
        return self.value > other

    def __ge__(self, other):
        return self.value >= other

    def __add__(self, other):
        return self.value + other

    __radd__ = __add__

    def __repr__(self):
        return f"of {self.value}"

    def __sub__(self, other):
        return self.value - other

    def __floordiv__(self, other):
        return self.value // other

    def __mul__(self, other):
        return self.value * other

    __rmul__ = __mul__

    __hash__ = None


class Text(str):
    """A string of the program's own class."""


FLAGS = [True, False, None, 0, 1, "", "yes", [], [0], 0.0, decimal.Decimal(0), Truthful(True), Truthful(False)]


async def gather(aio, flag):
    async def fail():
        raise LookupError

    return [type(one).__name__ for one in await aio.gather(aio.sleep(0, 1), fail(), return_exceptions=flag)]


async def shutdown(aio, flag):
    queue = aio.Queue()
    queue.put_nowait(1)
    queue.shutdown(flag)
    return queue.qsize()


async def debug(aio, flag):
    loop = aio.get_running_loop()
    loop.set_debug(flag)
    shown = bool(loop.get_debug())
    loop.set_debug(False)
    return shown


async def start_serving(aio, flag):
    server = await aio.get_running_loop().create_server(aio.Protocol, "127.0.0.1", 0, start_serving=flag)
    server.close()
    return server.is_serving()


async def reuse_port(aio, flag):
    server = await aio.get_running_loop().create_server(aio.Protocol, "127.0.0.1", 0, reuse_port=flag)
    found = server.sockets[0].getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT)
    server.close()
    return bool(found)


async def broadcast(aio, flag):
    loop = aio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(
        aio.DatagramProtocol, local_addr=("127.0.0.1", 0), allow_broadcast=flag
    )
    found = transport.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST)
    transport.close()
    return bool(found)


async def log_pending(aio, flag):
    task = aio.current_task()
    task._log_destroy_pending = flag
    shown = task._log_destroy_pending
    task._log_destroy_pending = True
    return bool(shown)


async def future_blocking(aio, flag):
    future = aio.get_running_loop().create_future()
    future._asyncio_future_blocking = flag
    return bool(future._asyncio_future_blocking)


FLAGGED = [gather, debug, start_serving, reuse_port, broadcast, log_pending, future_blocking]
FLAGGED += [shutdown] if hasattr(asyncio.Queue, "shutdown") else []

NUMBERS = [
    0, 1, 2, -1, True, False, 1.0, 2.0, 1.5, 0.5, -0.5, 1e30, math.inf, -math.inf, 2**70, "1", b"1", [], 1j,
    decimal.Decimal(2), decimal.Decimal("1.5"), fractions.Fraction(2), fractions.Fraction(3, 2),
    Index(2), Index(1), Text("1"),
]  # fmt: skip


async def semaphore(aio, number):
    made = aio.Semaphore(number)
    taken = 0
    while not made.locked() and taken < 5:
        await made.acquire()
        taken += 1
    made.release()
    return taken, bool(made.locked())


async def bounded_semaphore(aio, number):
    made = aio.BoundedSemaphore(number)
    await aio.wait_for(made.acquire(), 0 if made.locked() else 60)
    made.release()
    with pytest.raises(ValueError, match="too many"):
        made.release()
        if number == math.inf:  # never too many
            raise ValueError("too many")


async def barrier(aio, number):
    made = aio.Barrier(number)
    waiters = [aio.ensure_future(made.wait()) for _ in range(2)]
    for _ in range(4):
        await aio.sleep(0)
    done = [waiter.done() for waiter in waiters]
    for waiter in waiters:
        waiter.cancel()
    await aio.gather(*waiters, return_exceptions=True)
    return done, made.parties == number, repr(made).partition("[")[2]


async def queue(aio, number):
    made = aio.Queue(number)
    items = 0
    while not made.full() and items < 5:
        made.put_nowait(items)
        items += 1
    return items, made.maxsize == number


async def notify(aio, number):
    made = aio.Condition()

    async def wait():
        async with made:
            await made.wait()

    waiters = [aio.ensure_future(wait()) for _ in range(4)]
    await aio.sleep(0)
    await aio.sleep(0)
    try:
        async with made:
            made.notify(number)
        for _ in range(8):
            await aio.sleep(0)
        return sum(waiter.done() for waiter in waiters)
    finally:
        for waiter in waiters:
            waiter.cancel()
        await aio.gather(*waiters, return_exceptions=True)


async def limit(aio, number):
    reader = aio.StreamReader(limit=number)
    reader.feed_data(b"abc\n")
    return await reader.readline()


async def read(aio, number):
    reader = aio.StreamReader()
    reader.feed_data(b"abcd")
    reader.feed_eof()
    return await reader.read(number)


async def read_exactly(aio, number):
    reader = aio.StreamReader()
    reader.feed_data(b"abcd")
    reader.feed_eof()
    return await reader.readexactly(number)


async def water_marks(aio, number):
    ours, theirs = socket.socketpair()
    with theirs:
        transport, _ = await aio.get_running_loop().create_connection(aio.Protocol, sock=ours)
        try:
            transport.set_write_buffer_limits(high=number)
        finally:
            transport.close()
            await aio.sleep(0)


NUMBERED = [semaphore, bounded_semaphore, barrier, queue, notify, limit, read, read_exactly, water_marks]

# Here asyncio's answer is an accident of its code. A float is so large that adding one changes nothing; a quarter of
# infinity isn't a number; a slice isn't reached; and from 3.15 on it takes the minimum of a length and a float.
ACCIDENTS = {
    bounded_semaphore: ["float 1e+30"],
    water_marks: ["float inf"],
    read: ["float -inf", "float -0.5", *(["float inf", "float 1e+30"] if sys.version_info >= (3, 15) else [])],
    read_exactly: ["float -inf", "float -0.5", "float inf", "float 1e+30"],
}


def outcomes(aio, function, values):
    found = {}
    for value in values:
        loop = aio.new_event_loop()
        try:
            outcome = loop.run_until_complete(function(aio, value))
        except Exception as error:
            outcome = type(error)
        finally:
            loop.close()
        found[value if isinstance(value, str) else f"{type(value).__name__} {value!r}"] = outcome
    return found


@pytest.mark.parametrize("function", FLAGGED, ids=lambda function: function.__name__)
def test_flags_accept_any_truth_value(function):
    assert outcomes(ferrio, function, FLAGS) == outcomes(asyncio, function, FLAGS)


@pytest.mark.parametrize("function", NUMBERED, ids=lambda function: function.__name__)
def test_numbers_are_compared_whatever_their_class(function):
    ours, theirs = outcomes(ferrio, function, NUMBERS), outcomes(asyncio, function, NUMBERS)
    accidents = ACCIDENTS.get(function, [])
    for name in accidents:
        assert ours.pop(name) != theirs.pop(name)
    assert ours == theirs


def test_none_is_no_number(aio):
    for make in (aio.Semaphore, aio.BoundedSemaphore, aio.Barrier):
        with pytest.raises(TypeError):
            make(None)

    async def main():
        with pytest.raises(TypeError):
            aio.Queue(None).put_nowait(1)
        with pytest.raises(TypeError):
            aio.StreamReader(limit=None)
        reader = aio.StreamReader()
        reader.feed_data(b"data")
        reader.feed_eof()
        with pytest.raises(TypeError):
            await reader.read(None)
        assert await reader.read() == b"data"

    aio.run(main())
