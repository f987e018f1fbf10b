"""The example that needs no runtime: a sleep and a TCP client by the loop's own timers and sockets (examples/rust)."""

import asyncio
import importlib
import os

import pytest

import ferrio


@pytest.fixture
def example(probe):
    return importlib.import_module("rust_example")


async def answer_in_capitals(reader, writer):
    writer.write((await reader.readline()).upper())
    writer.close()


async def say_nothing(reader, writer):
    await reader.read()
    writer.close()


def test_nap_and_request(run, example):
    async def main():
        server = await asyncio.start_server(answer_in_capitals, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            answers = await asyncio.gather(
                example.nap(0.01),
                example.request("127.0.0.1", port, b"one"),
                example.request("localhost", port, b"two"),
            )
            assert answers == [None, b"ONE", b"TWO"]
            silent = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
            async with silent:
                with pytest.raises(TimeoutError):
                    await example.request("127.0.0.1", silent.sockets[0].getsockname()[1], b"three", limit=0.05)

    run(main())


def test_no_thread_is_started_on_ferrio(example):
    async def main():
        before = os.listdir("/proc/self/task")
        server = await asyncio.start_server(answer_in_capitals, "127.0.0.1", 0)
        async with server:
            await example.nap(0.001)
            assert await example.request("127.0.0.1", server.sockets[0].getsockname()[1], b"one") == b"ONE"
        assert os.listdir("/proc/self/task") == before

    ferrio.run(main())
