"""Bytes through TLS: none lost, none twice, in any cut; flow control both ways. One body on asyncio and on ferrio."""

import asyncio
import random
import shutil
import subprocess

import pytest
from tests.unit import tls
from tests.unit.tls import BufferedRecorder, Echo, Recorder

import ferrio


def pieces_of(data, generator, largest):
    """Cuts `data` at random places."""
    start = 0
    while start < len(data):
        end = start + generator.randint(1, largest)
        yield data[start:end]
        start = end


@pytest.mark.parametrize("receiver", [Recorder, BufferedRecorder])
@pytest.mark.parametrize("largest", [7, 1000, 40_000, 300_000])
def test_bytes_in_any_cut_arrive(loop, run, receiver, largest):
    generator = random.Random(largest)
    size = min(2_000_000, largest * 300)
    there, back = generator.randbytes(size), generator.randbytes(size)

    async def main():
        pair = await tls.connected(loop, receiver, receiver)

        async def send(transport, data):
            for number, piece in enumerate(pieces_of(data, generator, largest)):
                kind = number % 4
                if kind == 3:
                    transport.writelines([piece[:3], b"", bytearray(piece[3:])])
                else:
                    transport.write([bytes, bytearray, memoryview][kind](piece))
                if generator.random() < 0.2:
                    await asyncio.sleep(0)

        await asyncio.gather(
            send(pair.client.transport, there),
            send(pair.server.transport, back),
        )
        assert await pair.server.received(size) == there
        assert await pair.client.received(size) == back
        await tls.closed(pair)

    run(main())


def test_data_changed_after_write_is_sent_unchanged(loop, run):
    async def main():
        pair = await tls.connected(loop)
        data = bytearray(b"before")
        pair.client.transport.write(data)
        pair.client.transport.write(memoryview(data)[1:])
        data[:] = b"after!"
        assert await pair.server.received(11) == b"beforeefore"
        await tls.closed(pair)

    run(main())


@pytest.mark.parametrize("data", ["text", 7, None, [1, 2]])
def test_only_bytes_can_be_written(loop, run, data):
    async def main():
        pair = await tls.connected(loop)
        with pytest.raises(TypeError, match="expecting a bytes-like instance, got"):
            pair.client.transport.write(data)
        pair.client.transport.write(b"")
        await tls.closed(pair)
        assert pair.server.data == b""

    run(main())


def test_writes_of_one_turn_share_a_record():
    # asyncio makes a record for each write.
    async def main():
        loop = asyncio.get_running_loop()
        pair = await tls.connected(loop)
        pair.client.transport.write(b"warm")
        await pair.server.received(4)
        sizes = []
        taken = pair.server.data_received
        pair.server.data_received = lambda data: (sizes.append(len(data)), taken(data))
        for _ in range(100):
            pair.client.transport.write(b"x" * 100)
        await pair.server.received(10_004)
        assert sizes == [10_000]
        await tls.closed(pair)

    ferrio.run(main())


def test_paused_reading_keeps_bytes(loop, run):
    async def main():
        pair = await tls.connected(loop)
        client, server = pair.client.transport, pair.server.transport
        assert server.is_reading()
        server.pause_reading()
        server.pause_reading()
        assert not server.is_reading()
        client.write(b"a" * 100_000)
        for _ in range(20):
            await asyncio.sleep(0.001)
        assert pair.server.data == b""
        server.resume_reading()
        server.resume_reading()
        assert server.is_reading()
        assert await pair.server.received(100_000) == b"a" * 100_000
        await tls.closed(pair)

    run(main())


def test_pause_within_data_received_holds(loop, run):
    class Pausing(BufferedRecorder):
        size = 100

        def take(self, data):
            super().take(data)
            self.transport.pause_reading()
            self.loop.call_soon(self.transport.resume_reading)
            assert len(data) <= self.size

    async def main():
        pair = await tls.connected(loop, server=Pausing)
        pair.client.transport.write(bytes(range(250)) * 40)
        assert await pair.server.received(10_000) == bytes(range(250)) * 40
        await tls.closed(pair)

    run(main())


def test_paused_reader_slows_the_writer(loop, run):
    async def main():
        pair = await tls.connected(loop)
        pair.server.transport.pause_reading()
        size = 0
        while not pair.client.paused.done():
            pair.client.transport.write(b"x" * 100_000)
            size += 100_000
            await asyncio.sleep(0)
        assert pair.client.transport.get_write_buffer_size() > 0
        # The socket may have been full within the turn, before the server polled it.
        while pair.server.transport.get_read_buffer_size() == 0:
            await asyncio.sleep(0)
        pair.server.transport.resume_reading()
        await pair.client.resumed
        assert await pair.server.received(size) == b"x" * size
        await tls.closed(pair)

    run(main())


def test_peer_that_never_reads_costs_no_other(loop, run):
    async def main():
        lazy, busy = await tls.connected(loop), await tls.connected(loop, server=Echo)
        lazy.server.transport.pause_reading()
        while not lazy.client.paused.done():
            lazy.client.transport.write(b"x" * 100_000)
            await asyncio.sleep(0)
        busy.client.transport.write(b"quick")
        assert await busy.client.received(5) == b"quick"
        lazy.client.transport.abort()
        await lazy.client.lost
        lazy.server.transport.abort()
        await lazy.server.lost
        await tls.closed(busy)

    run(main())


def test_write_buffer_limits_are_kept(loop, run):
    async def main():
        pair = await tls.connected(loop)
        transport = pair.client.transport
        assert transport.get_write_buffer_limits() == (128 << 10, 512 << 10)
        transport.set_write_buffer_limits(high=1000)
        assert transport.get_write_buffer_limits() == (250, 1000)
        transport.set_write_buffer_limits(low=100)
        assert transport.get_write_buffer_limits() == (100, 400)
        for wrong in ({"high": 10, "low": 11}, {"high": -1}, {"low": -1}):
            with pytest.raises(ValueError, match="must be >="):
                transport.set_write_buffer_limits(**wrong)
        assert transport.get_write_buffer_size() == 0
        await tls.closed(pair)

    run(main())


def test_read_buffer_limits_are_kept(loop, run):
    async def main():
        pair = await tls.connected(loop)
        transport = pair.client.transport
        assert transport.get_read_buffer_limits() == (64 << 10, 256 << 10)
        transport.set_read_buffer_limits(high=1000, low=10)
        assert transport.get_read_buffer_limits() == (10, 1000)
        with pytest.raises(ValueError, match="must be >="):
            transport.set_read_buffer_limits(high=10, low=11)
        assert transport.get_read_buffer_size() == 0
        await tls.closed(pair)

    run(main())


def test_protocol_can_be_replaced(loop, run):
    async def main():
        pair = await tls.connected(loop)
        other, transport = Recorder(loop), pair.server.transport
        assert transport.get_protocol() is pair.server
        transport.set_protocol(other)
        assert transport.get_protocol() is other
        pair.client.transport.write(b"for the other")
        assert await other.received(13) == b"for the other"
        assert pair.server.data == b""
        pair.client.transport.close()
        await other.lost
        assert other.calls == ["eof", "lost"]
        await pair.client.lost
        assert not pair.server.lost.done()

    run(main())


@pytest.mark.skipif(shutil.which("openssl") is None, reason="the peer is an openssl command, which isn't installed")
@pytest.mark.parametrize(
    ("options", "command"),
    [(["-tls1_3"], "K"), (["-tls1_3"], "k"), (["-tls1_2"], "R")],
    ids=["update asked back", "update", "renegotiation"],
)
def test_keys_may_change_in_the_middle(loop, run, options, command):
    async def until_line(stream, *wanted):
        while True:
            line = await loop.run_in_executor(None, stream.readline)
            assert line
            if line.strip() in wanted:
                return

    async def main():
        context = tls.server_context()
        context.options |= 1 << 8  # SSL_OP_ALLOW_CLIENT_RENEGOTIATION
        made = loop.create_future()

        def factory():
            made.set_result(Echo(loop))
            return made.result()

        server = await loop.create_server(factory, "127.0.0.1", 0, ssl=context)
        port = server.sockets[0].getsockname()[1]
        arguments = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", *options]
        with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as peer:
            # The client treats what begins a separate read as a command.
            await (await made).made
            peer.stdin.write(b"one\n")
            peer.stdin.flush()
            # OpenSSL's client accepts no data in the middle of a renegotiation, so the echo must arrive before.
            await until_line(peer.stdout, b"one")
            peer.stdin.write(f"{command}\n".encode())
            peer.stdin.flush()
            await until_line(peer.stderr, b"KEYUPDATE", b"RENEGOTIATING")
            peer.stdin.write(b"two\n")
            peer.stdin.flush()
            assert await made.result().received(8) == b"one\ntwo\n"
            made.result().transport.write(b"three\n")
            made.result().transport.close()
            # Its input stays open: when that ends the client exits, whatever is still on its way to it.
            output = await loop.run_in_executor(None, peer.stdout.read)
        assert b"two\n" in output and b"three\n" in output
        await made.result().lost
        server.close()
        await server.wait_closed()

    run(main())


def test_replaced_method_is_called_under_tls(aio, loop, run):
    # Tests of web frameworks do this.
    async def handle(reader, writer):
        writer.write(await reader.readline())
        await writer.drain()
        writer.close()

    async def main():
        server = await aio.start_server(handle, "127.0.0.1", 0, ssl=tls.server_context())
        port = server.sockets[0].getsockname()[1]
        reader, writer = await aio.open_connection(
            "127.0.0.1", port, ssl=tls.client_context(), server_hostname="localhost"
        )
        written, original = [], writer.transport.write
        writer.transport.write = lambda data: (written.append(data), original(data))
        writer.write(b"seen\n")
        assert written == [b"seen\n"]
        assert await reader.read() == b"seen\n"
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()

    run(main())
