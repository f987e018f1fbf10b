"""The HTTP client of examples/rust, against a server on the same loop."""

import asyncio
import contextlib
import importlib

import pytest


@pytest.fixture
def example():
    return importlib.import_module("rust_example")


class Server:
    """Answers each request by `respond(request line, body reader, writer)`."""

    def __init__(self, respond):
        self.respond, self.lost = respond, asyncio.Event()

    async def handle(self, reader, writer):
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            line, *_headers = head.split("\r\n")
            await self.respond(line, reader, writer)
        except ConnectionError:
            self.lost.set()
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def __aenter__(self):
        self.server = await asyncio.start_server(self.handle, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self.server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_):
        self.server.close()
        await self.server.wait_closed()


def answer(body, status=200):
    return b"HTTP/1.1 %d Whatever\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body)


def test_get(run, example):
    async def respond(line, reader, writer):
        method, path, _ = line.split()
        assert method == "GET"
        writer.write(answer(path.encode() * 1000, 404 if path == "/nothing" else 200))

    async def main():
        async with Server(respond) as server:
            answers = await asyncio.gather(*(example.get(f"{server.url}/{number}?x") for number in range(20)))
            assert answers == [(200, b"/%d?x" % number * 1000) for number in range(20)]
            assert await example.get(server.url) == (200, b"/" * 1000)
            assert await example.get(server.url + "/nothing") == (404, b"/nothing" * 1000)
        with pytest.raises(ConnectionRefusedError):
            await example.get(server.url)
        for wrong in "https://127.0.0.1/", "/path", "http://", "::":
            with pytest.raises(ValueError, match="URL"):
                await example.get(wrong)

    run(main())


def test_answer_that_is_cut_off(run, example):
    async def respond(line, reader, writer):
        writer.write(answer(bytes(100))[:-1])

    async def main():
        async with Server(respond) as server:
            with pytest.raises(ConnectionError, match="before message length reached"):
                await example.get(server.url)

    run(main())


@pytest.mark.parametrize("end", ["\n", ""])
def test_lines_come_as_they_are_sent(run, example, end):
    async def main():
        wanted = asyncio.Semaphore(0)

        async def respond(line, reader, writer):
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            for number in range(10):
                await wanted.acquire()  # the client has the line before
                for part in f"line {number}", "" if number == 9 else "\n", end if number == 9 else "":
                    if part:
                        writer.write(b"%x\r\n%b\r\n" % (len(part), part.encode()))
            writer.write(b"0\r\n\r\n")

        async with Server(respond) as server:
            seen = []
            wanted.release()
            async for line in example.lines(server.url):
                seen.append(line)
                wanted.release()
        assert seen == [f"line {number}\n" for number in range(9)] + ["line 9" + end]

    run(main())


def test_closed_lines_close_the_connection(run, example):
    async def main():
        async def respond(line, reader, writer):
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
            while True:
                writer.write(b"line\n" * 1000)
                await writer.drain()

        async with Server(respond) as server:
            async with contextlib.aclosing(example.lines(server.url)) as lines:
                assert await anext(lines) == "line\n"
            async with asyncio.timeout(10):
                await server.lost.wait()

    run(main())


def test_body_is_sent_while_a_generator_makes_it(run, example):
    async def main():
        received = asyncio.Queue()

        async def respond(line, reader, writer):
            assert line.startswith("POST /up ")
            body = b""
            while size := int(await reader.readline(), 16):
                chunk = (await reader.readexactly(size + 2))[:-2]
                received.put_nowait(chunk)
                body += chunk
            await reader.readline()
            writer.write(answer(body[::-1], 201))

        async def chunks():
            for number in range(10):
                yield b"chunk %d" % number
                assert await received.get() == b"chunk %d" % number

        async with Server(respond) as server:
            expected = b"".join(b"chunk %d" % number for number in range(10))[::-1]
            assert await example.send(server.url + "/up", chunks()) == (201, expected)

    run(main())


def test_generator_that_fails_aborts_the_request(run, example):
    async def main():
        begun, closed = asyncio.Event(), asyncio.Event()

        async def respond(line, reader, writer):
            await reader.readuntil(b"one\r\n")
            begun.set()
            with contextlib.suppress(ConnectionError):
                assert await reader.read() == b""
            closed.set()

        async def chunks():
            yield b"one"
            await begun.wait()
            raise KeyError("failed")

        async with Server(respond) as server:
            with pytest.raises(KeyError, match="failed"):
                await example.send(server.url, chunks())
            async with asyncio.timeout(10):
                await closed.wait()

    run(main())


def test_early_answer_closes_the_generator(run, example):
    async def main():
        closed = asyncio.Event()

        async def respond(line, reader, writer):
            await reader.readuntil(b"chunk\r\n")
            writer.write(answer(b"enough", 413))
            with contextlib.suppress(ConnectionError):
                while await reader.read(1000):  # or the system would reset the connection
                    pass

        async def chunks():
            try:
                while True:
                    yield b"chunk"
                    await asyncio.sleep(0)
            finally:
                closed.set()

        async with Server(respond) as server:
            status, body = await example.send(server.url, chunks())
            assert (status, body) == (413, b"enough")
            async with asyncio.timeout(10):
                await closed.wait()

    run(main())
