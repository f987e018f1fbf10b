"""A short program of everything: tasks, timers, threads, an executor, streams, TLS, datagrams, children, files.

`tools/sanitize` runs it under Valgrind, which takes a minute for a second. It checks what it gets, and prints what it
did.
"""

import asyncio
import os
import socket
import ssl
import sys
import tempfile
import threading

import trustme

import ferrio

DONE = []


def did(what):
    """Notes a part that is complete."""
    DONE.append(what)


async def tasks():
    """Tasks, groups, timeouts, cancellations, locks and queues."""
    queue, lock = ferrio.Queue(2), ferrio.Lock()

    async def produce():
        for number in range(20):
            await queue.put(number)

    async def consume():
        total = 0
        for _ in range(20):
            async with lock:
                total += await queue.get()
        return total

    async with ferrio.TaskGroup() as group:
        group.create_task(produce())
        total = group.create_task(consume())
    assert total.result() == 190
    assert await ferrio.gather(*(ferrio.sleep(0.001 * n, n) for n in range(10))) == list(range(10))
    try:
        async with ferrio.timeout(0.01):
            await ferrio.Event().wait()
    except TimeoutError:
        did("tasks")
    assert await ferrio.wait_for(ferrio.shield(ferrio.sleep(0, 7)), 1) == 7
    waiting = ferrio.create_task(queue.get())
    await ferrio.sleep(0)
    waiting.cancel()
    await ferrio.wait([waiting])
    assert waiting.cancelled()


async def timers():
    """Timers that fire, and timers that are cancelled."""
    loop, fired = ferrio.get_running_loop(), []
    handles = [loop.call_later(0.001 * (n % 5), fired.append, n) for n in range(200)]
    for handle in handles[::2]:
        handle.cancel()
    await ferrio.sleep(0.05)
    assert sorted(fired) == list(range(1, 200, 2))
    did("timers")


async def threads():
    """Calls from another thread, and a context that comes along."""
    loop, future = ferrio.get_running_loop(), ferrio.get_running_loop().create_future()
    thread = threading.Thread(target=lambda: loop.call_soon_threadsafe(future.set_result, "from a thread"))
    thread.start()
    assert await future == "from a thread"
    thread.join()
    assert await ferrio.to_thread(sum, range(100)) == 4950
    assert await loop.run_in_executor(None, os.getpid) == os.getpid()
    future = ferrio.run_coroutine_threadsafe
    assert await ferrio.to_thread(lambda: future(ferrio.sleep(0, 3), loop).result()) == 3
    did("threads")


async def echo(reader, writer):
    """A server's answer: the same lines."""
    while line := await reader.readline():
        writer.write(line)
        await writer.drain()
    writer.close()
    await writer.wait_closed()


async def talk(**keywords):
    """Sends lines of several sizes to a server of `echo`; `keywords` are those of `open_connection`."""
    reader, writer = await ferrio.open_connection("127.0.0.1", **keywords)
    for size in (1, 1000, 60_000):
        writer.write(b"x" * size + b"\n")
        assert len(await reader.readuntil(b"\n")) == size + 1
    writer.write_eof() if writer.can_write_eof() else writer.close()
    if not writer.is_closing():
        assert await reader.read() == b""
        writer.close()
    await writer.wait_closed()


async def streams():
    """Streams over TCP and TLS."""
    authority = trustme.CA()
    server_side, client_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.issue_cert("localhost").configure_cert(server_side)
    authority.configure_trust(client_side)
    for name, server_options, client_options in (
        ("TCP", {}, {}),
        ("TLS", {"ssl": server_side}, {"ssl": client_side, "server_hostname": "localhost"}),
    ):
        server = await ferrio.start_server(echo, "127.0.0.1", 0, limit=2**17, **server_options)
        async with server:
            port = server.sockets[0].getsockname()[1]
            await ferrio.gather(*(talk(port=port, limit=2**17, **client_options) for _ in range(3)))
        did(name)


async def sockets():
    """Sockets by hand, readers, and datagrams."""
    loop = ferrio.get_running_loop()
    one, other = socket.socketpair()
    with one, other:
        one.setblocking(False)
        other.setblocking(False)
        await loop.sock_sendall(one, b"hello")
        assert await loop.sock_recv(other, 10) == b"hello"
        readable = ferrio.Event()
        loop.add_reader(other, readable.set)
        one.send(b"!")
        await readable.wait()
        assert loop.remove_reader(other)

    class Receiver(asyncio.DatagramProtocol):
        def datagram_received(self, data, address):
            received.set_result((data, address))

    received = loop.create_future()
    receiver, _ = await loop.create_datagram_endpoint(Receiver, local_addr=("127.0.0.1", 0))
    address = receiver.get_extra_info("sockname")
    sender, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, remote_addr=address)
    sender.sendto(b"datagram")
    data, source = await received
    assert (data, source) == (b"datagram", sender.get_extra_info("sockname"))
    sender.close()
    receiver.close()
    await ferrio.sleep(0)
    did("sockets")


async def children():
    """A child with pipes, and one that is killed."""
    pipe = asyncio.subprocess.PIPE
    child = await ferrio.create_subprocess_exec("cat", stdin=pipe, stdout=pipe)
    output, _ = await child.communicate(b"through a child")
    assert (output, child.returncode) == (b"through a child", 0)
    child = await ferrio.create_subprocess_shell("exec sleep 1000")
    child.kill()
    assert await child.wait() == -9
    did("children")


async def files():
    """A file that is written and read."""
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "file")
        async with ferrio.open(path, "w") as file:
            await file.write("one\ntwo\n")
        async with ferrio.open(path) as file:
            assert [line async for line in file] == ["one\n", "two\n"]
    did("files")


async def main():
    """All of it, one after the other."""
    for part in (tasks, timers, threads, streams, sockets, children, files):
        await part()


if __name__ == "__main__":
    ferrio.run(main(), debug=bool(sys.argv[1:]))
    print(", ".join(DONE))
