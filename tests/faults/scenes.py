"""A program of everything, a part at a time: each part uses the system and returns the result of that.

What a part returns is the same each time, whatever the kernel does in several pieces.
"""

import asyncio
import os
import socket
import ssl
import subprocess
import tempfile

from tests.unit import tls

DATA = b"".join(b"%d\n" % number for number in range(6000))


def complete(received, expected=DATA):
    """Returns `True` if everything has come. Raises `EOFError` if only the beginning has: the other end was lost."""
    if received != expected and expected.startswith(received):
        raise EOFError("the end came early")
    return received == expected


async def echo(reader, writer):
    """Sends everything back."""
    try:
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    except OSError:  # the connection is lost: its other end learns of it
        pass
    finally:
        writer.close()


async def talk(reader, writer):
    """Sends data while it reads it back."""

    async def send():
        for start in range(0, len(DATA), 10_000):
            writer.write(DATA[start : start + 10_000])
            writer.writelines([b"", b""])
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()

    try:
        sending = asyncio.ensure_future(send())
        try:
            first = await reader.readline()
            rest = await (reader.read() if writer.can_write_eof() else reader.readexactly(len(DATA) - len(first)))
        finally:
            sending.cancel()
            await asyncio.wait([sending])
        if not sending.cancelled():
            sending.result()
    finally:
        writer.close()
    await writer.wait_closed()
    return complete(first + rest)


async def tcp(aio):
    """A server and a client over TCP."""
    server = await aio.start_server(echo, "127.0.0.1", 0)
    try:
        return await talk(*await aio.open_connection(*server.sockets[0].getsockname()))
    finally:
        server.close()


async def unix(aio):
    """A server and a client over a Unix socket."""
    with tempfile.TemporaryDirectory() as folder:
        server = await aio.start_unix_server(echo, folder + "/socket")
        try:
            return await talk(*await aio.open_unix_connection(folder + "/socket"))
        finally:
            server.close()


async def encrypted(aio):
    """The same over TLS."""
    server = await aio.start_server(echo, "127.0.0.1", 0, ssl=tls.server_context())
    try:
        address = server.sockets[0].getsockname()
        context = tls.client_context()
        return await talk(*await aio.open_connection(*address, ssl=context, server_hostname="localhost"))
    finally:
        server.close()


async def udp(aio):
    """Datagrams there and back; a lost one is sent again."""
    loop = aio.get_running_loop()

    class Server(asyncio.DatagramProtocol):
        def connection_made(self, transport):
            self.transport = transport

        def datagram_received(self, data, address):
            self.transport.sendto(data.upper(), address)

    class Client(asyncio.DatagramProtocol):
        def __init__(self):
            self.answers = aio.Queue()

        def datagram_received(self, data, address):
            self.answers.put_nowait(data)

    server, _ = await loop.create_datagram_endpoint(Server, local_addr=("127.0.0.1", 0))
    try:
        address = server.get_extra_info("sockname")
        transport, client = await loop.create_datagram_endpoint(Client, remote_addr=address)
        try:
            answers = set()
            for word in (b"one", b"two", b"three"):
                while word.upper() not in answers:
                    transport.sendto(word)
                    try:
                        answers.add(await aio.wait_for(client.answers.get(), 0.3))
                    except TimeoutError:
                        if transport.is_closing() or server.is_closing():
                            raise ConnectionAbortedError("an endpoint has ended") from None
            return sorted(answers)
        finally:
            transport.close()
    finally:
        server.close()


async def pipes(aio):
    """Both ends of a pipe."""
    loop = aio.get_running_loop()
    read, write = os.pipe()
    with open(read, "rb", 0) as incoming, open(write, "wb", 0) as outgoing:
        reader = aio.StreamReader()
        source, _ = await loop.connect_read_pipe(lambda: aio.StreamReaderProtocol(reader), incoming)
        try:
            target, _ = await loop.connect_write_pipe(asyncio.Protocol, outgoing)
            target.write(DATA[:5000])
            target.writelines([DATA[5000:]])
            target.write_eof()
            return complete(await reader.read())
        finally:
            source.close()


async def child(aio):
    """A child that sends back what it is given."""
    pipe = subprocess.PIPE
    process = await aio.create_subprocess_exec("cat", stdin=pipe, stdout=pipe)
    try:
        output, _ = await process.communicate(DATA)
        return complete(output), await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def short_child(aio):
    """A child that a shell starts, and whose status is all that is wanted."""
    process = await aio.create_subprocess_shell("exit 3")
    return await process.wait()


async def threads(aio):
    """Calls in threads."""
    return await aio.gather(*[aio.to_thread(str, number) for number in range(3)])


async def files(aio):
    """Files, if the implementation has any."""
    if aio is asyncio:
        return True
    with tempfile.TemporaryDirectory() as folder:
        async with aio.open(folder + "/file", "wb") as file:
            await file.write(DATA)
        async with aio.open(folder + "/file", "rb") as file:
            whole = await file.read()
        async with aio.open(folder + "/lines", "w") as file:
            await file.write("a line\n" * 5)
        async with aio.open(folder + "/lines") as file:
            lines = [line async for line in file]
        return whole == DATA, lines


async def sockets(aio):
    """The loop's own methods for sockets."""
    loop = aio.get_running_loop()
    listening = socket.create_server(("127.0.0.1", 0))
    listening.setblocking(False)
    with listening, socket.socket() as ours:
        ours.setblocking(False)
        accepting = aio.create_task(loop.sock_accept(listening))
        await loop.sock_connect(ours, listening.getsockname())
        theirs, _ = await accepting
        with theirs:

            async def send():
                await loop.sock_sendall(ours, DATA)
                with tempfile.TemporaryFile() as file:
                    file.write(DATA)
                    file.seek(0)
                    await loop.sock_sendfile(ours, file)
                ours.shutdown(socket.SHUT_WR)

            async def receive():
                received, room = b"", bytearray(4096)
                while True:
                    received += await loop.sock_recv(theirs, 1 << 16)
                    count = await loop.sock_recv_into(theirs, room)
                    received += room[:count]
                    if not count:
                        return complete(received, DATA * 2)

            sending, receiving = aio.ensure_future(send()), aio.ensure_future(receive())
            try:
                await aio.wait([sending, receiving], return_when=aio.FIRST_EXCEPTION)
            finally:
                sending.cancel()
                receiving.cancel()
                await aio.wait([sending, receiving])
            if not sending.cancelled():
                sending.result()
            return receiving.result()


async def times(aio):
    """Timers, long and short, and a wake-up from a thread."""
    loop, event = aio.get_running_loop(), aio.Event()
    await aio.gather(*[aio.sleep(delay) for delay in (0, 0.00002, 0.0003, 0.002)])
    await aio.to_thread(loop.call_soon_threadsafe, event.set)
    await event.wait()
    return True


SCENES = [tcp, unix, encrypted, udp, pipes, child, short_child, threads, files, sockets, times]

#: What a part may raise when a call failed for good.
EXPECTED = (OSError, EOFError, ssl.SSLError, RuntimeError, MemoryError, subprocess.SubprocessError)
