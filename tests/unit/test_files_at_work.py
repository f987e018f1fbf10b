"""Files in programs: beside connections, as standard streams, under cancellation. Methods and modes: test_files.py."""

import asyncio
import io
import os
import subprocess
import sys
import textwrap
import threading

import pytest

import ferrio


@pytest.fixture(params=[ferrio, asyncio], ids=["ferrio", "asyncio"])
def aio(request):
    """The running loop; files also work on the standard library's."""
    return request.param


async def fetched(aio, address):
    """Returns what a server sends up to the end of the connection."""
    reader, writer = await aio.open_connection(*address)
    try:
        return await reader.read()
    finally:
        writer.close()
        await writer.wait_closed()


def test_server_sends_a_file(aio, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"0123456789" * 1000)

    async def serve(reader, writer):
        async with ferrio.open(path, "rb") as file:
            writer.write(await file.read())
        writer.close()

    async def main():
        async with await aio.start_server(serve, "127.0.0.1", 0) as server:
            return await fetched(aio, server.sockets[0].getsockname())

    assert aio.run(main()) == path.read_bytes()


def test_loop_serves_others_while_a_file_is_slow(aio, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"one\ntwo\nthree\n")
    release = threading.Event()

    def slow_opener(name, flags):
        assert release.wait(60), "nothing was served meanwhile"
        return os.open(name, flags)

    async def serve_file(reader, writer):
        async with ferrio.open(path, "rb", opener=slow_opener) as file:
            while piece := await file.read(1):
                writer.write(piece)
                await writer.drain()
        writer.close()

    async def serve_one(reader, writer):
        writer.write(b"1")
        writer.close()

    async def main():
        slow = await aio.start_server(serve_file, "127.0.0.1", 0)
        quick = await aio.start_server(serve_one, "127.0.0.1", 0)
        async with slow, quick:
            content = aio.create_task(fetched(aio, slow.sockets[0].getsockname()))
            for _ in range(30):
                assert await fetched(aio, quick.sockets[0].getsockname()) == b"1"
            assert not content.done()
            release.set()
            return await content

    assert aio.run(main()) == path.read_bytes()


@pytest.mark.parametrize("mode", ["r", "rb", "r+", "w"])
def test_file_is_closed_when_its_block_is_cancelled(aio, tmp_path, mode):
    path = tmp_path / "file"
    path.write_text("content")
    files = []

    async def work():
        async with ferrio.open(path, mode) as file:
            files.append(file)
            entered.set()
            await aio.sleep(3600)

    async def main():
        nonlocal entered
        entered = aio.Event()
        task = aio.create_task(work())
        await entered.wait()
        task.cancel()
        with pytest.raises(aio.CancelledError):
            await task
        assert files[0].closed

    entered = None
    aio.run(main())


def test_file_can_be_reopened_after_its_block(aio, tmp_path):
    path = tmp_path / "file"
    path.write_text("content")

    async def main():
        async with ferrio.open(path) as file:
            pass
        with pytest.raises(ValueError, match="closed file"):
            await file.read()
        async with ferrio.open(path) as file:
            return await file.read()

    assert aio.run(main()) == "content"


@pytest.mark.parametrize("mode", ["", "b"], ids=["text", "bytes"])
def test_standard_streams(mode):
    program = f"""
        import ferrio

        async def main():
            async with (
                ferrio.open(0, "r{mode}", closefd=False) as stdin,
                ferrio.open(1, "w{mode}", closefd=False) as stdout,
                ferrio.open(2, "w{mode}", closefd=False) as stderr,
            ):
                async for line in stdin:
                    await stdout.write(line.upper())
                    await stderr.write(line[:1])

        ferrio.run(main())
        print("still open")
        """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        input=b"hello\nworld\n",
        capture_output=True,
        check=True,
        timeout=60,
    )
    assert (done.stdout, done.stderr) == (b"HELLO\nWORLD\nstill open\n", b"hw")


@pytest.mark.parametrize("thing", [int, list, lambda: 1, io.StringIO.getvalue])
def test_open_refuses_what_names_no_file(aio, thing):
    async def main():
        with pytest.raises(TypeError):
            await ferrio.files.open_with(thing)

    aio.run(main())
