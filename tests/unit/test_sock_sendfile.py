"""`sock_sendfile`: sends a file, or part of it, over the program's own non-blocking socket."""

import asyncio
import os
import socket

import pytest
from tests.unit.implementations import parked

import ferrio


@pytest.fixture
def file(tmp_path):
    """A file of a few hundred KiB, open for reading."""
    path = tmp_path / "file"
    path.write_bytes(os.urandom(700_001))
    with open(path, "rb") as file:
        yield file


async def received_whole(loop, sock, length):
    data = bytearray()
    while len(data) < length:
        data += await loop.sock_recv(sock, 65536)
    return data


PARTS = [(0, None), (10, None), (0, 5), (100, 650_000), (0, 10**9)]


@pytest.mark.parametrize(("offset", "count"), [*PARTS, (10**7, None)])
def test_send_a_file(aio, loop, run, pair, file, offset, count):
    ours, theirs = pair
    whole = file.read()
    expected = whole[offset:] if count is None else whole[offset : offset + count]

    async def main():
        sending = loop.create_task(loop.sock_sendfile(ours, file, offset, count))
        assert await received_whole(loop, theirs, len(expected)) == expected
        assert await sending == len(expected)
        # If nothing was sent, only the newest Pythons move the position.
        if expected or aio is ferrio:
            assert file.tell() == offset + len(expected)

    run(main())


class Unsendable:
    """A file that the kernel can't send, because it has no descriptor."""

    def __init__(self, file):
        self.readinto, self.seek, self.tell = file.readinto, file.seek, file.tell


@pytest.mark.parametrize(("offset", "count"), PARTS)
def test_send_a_file_in_pieces(loop, run, pair, file, offset, count):
    ours, theirs = pair
    whole = file.read()
    file.seek(0)
    expected = whole[offset:] if count is None else whole[offset : offset + count]

    async def main():
        sending = loop.create_task(loop.sock_sendfile(ours, Unsendable(file), offset, count))
        assert await received_whole(loop, theirs, len(expected)) == expected
        assert await sending == len(expected)
        assert file.tell() == offset + len(expected)
        await loop.shutdown_default_executor()

    run(main())


def test_send_a_file_without_a_fallback(aio, loop, run, pair, file):
    with pytest.raises(asyncio.SendfileNotAvailableError):
        run(loop.sock_sendfile(pair[0], Unsendable(file), fallback=False))


def test_send_an_empty_file(loop, run, pair):
    with open(os.devnull, "rb") as empty:
        assert run(loop.sock_sendfile(pair[0], empty)) == 0


def test_cancelled_sendfile_leaves_the_position_after_what_was_sent(file):
    # asyncio leaves the position where it was.
    loop = ferrio.new_event_loop()
    ours, theirs = socket.socketpair()
    ours.setblocking(False)

    async def main(file):
        sending = loop.create_task(loop.sock_sendfile(ours, file))
        await parked(sending)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        sent = file.tell()
        assert sent > 0
        ours.close()
        theirs.setblocking(True)
        received = b""
        while data := theirs.recv(1 << 20):
            received += data
        assert len(received) == sent

    with ours, theirs:
        loop.run_until_complete(main(file))
    loop.close()


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ((-1, None), ValueError, "offset must be a non-negative integer"),
        (("1", None), TypeError, "offset must be a non-negative integer"),
        ((0, 0), ValueError, "count must be a positive integer"),
        ((0, -2), ValueError, "count must be a positive integer"),
        ((0, 1.5), TypeError, "count must be a positive integer"),
    ],
)
def test_arguments_of_sendfile(loop, run, pair, file, arguments, error, text):
    with pytest.raises(error, match=text):
        run(loop.sock_sendfile(pair[0], file, *arguments))


def test_only_binary_files_and_stream_sockets_are_accepted(loop, run, pair, file):
    with open(file.name) as text, pytest.raises(ValueError, match="binary mode"):
        run(loop.sock_sendfile(pair[0], text))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        datagrams.setblocking(False)
        with pytest.raises(ValueError, match="SOCK_STREAM"):
            run(loop.sock_sendfile(datagrams, file))
