"""`loop.sendfile`: files over transports, by the system or in pieces. One body on asyncio and on ferrio."""

import asyncio
import io
import socket

import pytest

import ferrio

FERRIO_ONLY = pytest.mark.parametrize("aio", [ferrio], ids=["ferrio"])


DATA = b"".join(b"%07d " % number for number in range(100_000))


class Sink(asyncio.Protocol):
    """Collects what arrives, and waits for the end."""

    def __init__(self, loop):
        self.data = bytearray()
        self.transport = None
        self.lost = loop.create_future()
        self.calls = []

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.data += data

    def pause_writing(self):
        self.calls.append("pause")

    def resume_writing(self):
        self.calls.append("resume")

    def connection_lost(self, exc):
        self.lost.set_result(exc)


@pytest.fixture
def connection(loop):
    """Makes both ends of a connection: the sender's transport and protocol, then the receiver's."""
    made = []

    async def make(small=False):
        ours, theirs = socket.socketpair()
        if small:
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
        sender, us = await loop.create_connection(lambda: Sink(loop), sock=ours)
        receiver, them = await loop.create_connection(lambda: Sink(loop), sock=theirs)
        made.extend([us, them])
        return sender, us, receiver, them

    yield make
    for protocol in made:
        if protocol.transport is not None:
            protocol.transport.abort()
            loop.run_until_complete(protocol.lost)


@pytest.fixture
def file(tmp_path):
    """A file of 800,000 bytes, open for reading."""
    path = tmp_path / "file"
    path.write_bytes(DATA)
    with path.open("rb") as file:
        yield file


class Wrapped(io.RawIOBase):
    """A file that the system can't send."""

    def __init__(self, file):
        self.file = file

    def readinto(self, memory):
        return self.file.readinto(memory)

    def seek(self, *args):
        return self.file.seek(*args)

    def tell(self):
        return self.file.tell()


@pytest.fixture(params=["system", "pieces"])
def source(request, file):
    """A file that the system sends, and one that is sent in pieces."""
    return file if request.param == "system" else Wrapped(file)


# asyncio reads the next piece into memory that the transport hasn't sent yet (seen on 3.13).
@pytest.mark.parametrize(("aio", "small"), [(asyncio, False), (ferrio, False), (ferrio, True)])
def test_whole_file_is_sent_between_earlier_and_later_writes(run, loop, connection, source, small):
    async def main():
        sender, us, _, them = await connection(small)
        sender.write(b"before ")
        assert await loop.sendfile(sender, source) == len(DATA)
        assert source.tell() == len(DATA)
        assert sender.get_protocol() is us
        sender.write(b" after")
        sender.close()
        await them.lost
        assert bytes(them.data) == b"before " + DATA + b" after"

    run(main())


def test_part_of_a_file_is_sent(aio, run, loop, connection, source):
    async def main():
        sender, _, _, them = await connection()
        assert await loop.sendfile(sender, source, 8, 16) == 16
        assert source.tell() == 24
        assert await loop.sendfile(sender, source, len(DATA) - 8, 100) == 8
        assert source.tell() == len(DATA)
        source.seek(3)
        assert await loop.sendfile(sender, source, len(DATA)) == 0
        # Only the newest Pythons do this if nothing was sent.
        if aio is ferrio:
            assert source.tell() == len(DATA)
        sender.close()
        await them.lost
        assert bytes(them.data) == DATA[8:24] + DATA[-8:]

    run(main())


def test_large_earlier_write_goes_first(run, loop, connection, source):
    async def main():
        sender, us, receiver, them = await connection(small=True)
        receiver.pause_reading()
        sender.write(b"x" * 1_000_000)
        assert us.calls == ["pause"]
        task = loop.create_task(loop.sendfile(sender, source, 0, 800))
        receiver.resume_reading()
        assert await task == 800
        sender.close()
        await them.lost
        assert bytes(them.data) == b"x" * 1_000_000 + DATA[:800]
        # Pausing and resuming alternate, whichever protocol is told.
        assert us.calls[:2] == ["pause", "resume"]

    run(main())


def test_transport_neither_reads_nor_writes_meanwhile(run, loop, connection, file):
    async def main():
        sender, us, receiver, them = await connection(small=True)
        receiver.pause_reading()
        task = loop.create_task(loop.sendfile(sender, file))
        receiver.write(b"unread")
        while sender.is_reading():
            await asyncio_sleep(loop)
        with pytest.raises(RuntimeError, match="sendfile is in progress"):
            sender.write(b"in between")
        assert us.data == b""
        receiver.resume_reading()
        await task
        assert sender.is_reading()
        while us.data != b"unread":
            await asyncio_sleep(loop)
        sender.write(b"again")
        sender.close()
        await them.lost
        assert bytes(them.data) == DATA + b"again"

    run(main())


async def asyncio_sleep(loop):
    """Lets the loop turn once."""
    waiter = loop.create_future()
    loop.call_soon(waiter.set_result, None)
    await waiter


def test_paused_transport_stays_paused_afterwards(run, loop, connection, source):
    async def main():
        sender, _, _, _ = await connection()
        sender.pause_reading()
        await loop.sendfile(sender, source, 0, 8)
        assert not sender.is_reading()

    run(main())


def test_impossible_calls_are_refused(run, loop, connection, file, aio):
    async def main():
        sender, us, _, them = await connection()
        with pytest.raises(aio.SendfileNotAvailableError, match="not a regular file"):
            await loop.sendfile(sender, io.BytesIO(DATA), fallback=False)
        with open(file.name, encoding="ascii") as text, pytest.raises(ValueError, match="binary mode"):
            await loop.sendfile(sender, text)
        with pytest.raises(ValueError, match="offset must be a non-negative integer"):
            await loop.sendfile(sender, file, -1)
        with pytest.raises((ValueError, TypeError), match="count must be a positive integer"):
            await loop.sendfile(sender, file, 0, -1)
        assert sender.is_reading()
        assert sender.get_protocol() is us
        sender.write(b"still works")
        sender.close()
        with pytest.raises(RuntimeError, match="Transport is closing"):
            await loop.sendfile(sender, file)
        datagram, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, family=socket.AF_INET)
        with pytest.raises(RuntimeError, match="sendfile is not supported for transport"):
            await loop.sendfile(datagram, file)
        datagram.close()
        await them.lost
        assert them.data == b"still works"

    run(main())


def test_file_in_memory_is_sent_in_pieces(run, loop, connection):
    async def main():
        sender, _, _, them = await connection()
        memory = io.BytesIO(DATA)
        assert await loop.sendfile(sender, memory, 8, 80) == 80
        assert memory.tell() == 88
        sender.close()
        await them.lost
        assert them.data == DATA[8:88]

    run(main())


def test_peer_that_leaves_in_between(run, loop, connection, source):
    async def main():
        sender, us, receiver, _ = await connection(small=True)
        receiver.pause_reading()
        task = loop.create_task(loop.sendfile(sender, source))
        for _ in range(20):
            await asyncio_sleep(loop)
        receiver.abort()
        with pytest.raises(ConnectionError):
            await task
        assert source.tell() < len(DATA)
        sender.close()
        await us.lost

    run(main())


# asyncio waits for the closed descriptor for ever.
@FERRIO_ONLY
def test_transport_aborted_in_between(run, loop, connection, source):
    async def main():
        sender, us, receiver, _ = await connection(small=True)
        receiver.pause_reading()
        task = loop.create_task(loop.sendfile(sender, source))
        for _ in range(20):
            await asyncio_sleep(loop)
        sender.abort()
        with pytest.raises(ConnectionError):
            await task
        await us.lost

    run(main())


# asyncio corrects the position later, or not at all.
@FERRIO_ONLY
def test_cancelling_leaves_a_working_transport(run, loop, connection, file):
    async def main():
        sender, us, receiver, them = await connection(small=True)
        receiver.pause_reading()
        task = loop.create_task(loop.sendfile(sender, file))
        for _ in range(20):
            await asyncio_sleep(loop)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        sent = file.tell()
        assert 0 < sent < len(DATA)
        assert sender.is_reading()
        assert sender.get_protocol() is us
        receiver.resume_reading()
        sender.write(b"goes on")
        receiver.write(b"both ways")
        while us.data != b"both ways":
            await asyncio_sleep(loop)
        sender.close()
        await them.lost
        assert bytes(them.data) == DATA[:sent] + b"goes on"

    run(main())


def test_transport_owns_its_descriptor_again(run, loop, connection, file):
    async def main():
        sender, _, _, _ = await connection()
        await loop.sendfile(sender, file, 0, 8)
        with pytest.raises(RuntimeError, match="is used by transport"):
            loop.add_reader(sender.get_extra_info("socket").fileno(), print)

    run(main())
