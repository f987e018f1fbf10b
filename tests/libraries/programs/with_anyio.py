"""anyio: task groups, cancel scopes, time limits, threads both ways, TCP with TLS, UDP, UNIX sockets with a passed
descriptor, processes, worker processes, files, memory streams, locks, signals.
"""

import asyncio
import math
import os
import signal
import socket
import sys
import tempfile
import threading

import anyio
import anyio.abc
import anyio.from_thread
import anyio.lowlevel
import anyio.to_process
import anyio.to_thread
from anyio.streams.buffered import BufferedByteReceiveStream
from anyio.streams.tls import TLSListener, TLSStream
from common import report_loop, tls_contexts


async def fail(after: int) -> None:
    for _ in range(after):
        await anyio.lowlevel.checkpoint()
    raise ValueError(f"after {after}")


async def groups_and_scopes() -> None:
    try:
        async with anyio.create_task_group() as group:
            group.start_soon(fail, 1)
            group.start_soon(anyio.sleep, math.inf)
    except* ValueError as errors:
        print("group:", [str(error) for error in errors.exceptions])
    async with anyio.create_task_group() as group:

        async def service(*, task_status: anyio.abc.TaskStatus[str]):
            task_status.started("ready")
            try:
                await anyio.sleep_forever()
            except anyio.get_cancelled_exc_class():
                with anyio.CancelScope(shield=True):
                    await anyio.sleep(0)
                    print("cleaned up behind a shield")
                raise

        print("service is", await group.start(service))
        group.cancel_scope.cancel()
    with anyio.move_on_after(0.01) as scope:
        await anyio.sleep_forever()
    print("moved on:", scope.cancelled_caught)
    try:
        with anyio.fail_after(0.01):
            await anyio.sleep_forever()
    except TimeoutError:
        print("failed after its time")
    with anyio.CancelScope() as outer:
        with anyio.CancelScope() as inner:
            outer.cancel()
            try:
                await anyio.sleep_forever()
            finally:
                # Level cancellation: every wait in a cancelled scope raises again.
                try:
                    await anyio.sleep_forever()
                except anyio.get_cancelled_exc_class():
                    print("cancelled twice")
                    raise
    print("outer caught:", outer.cancelled_caught, "inner caught:", inner.cancelled_caught)


async def eager_tasks() -> None:
    """Even with asyncio's eager factory, the tasks of a group begin later."""
    if sys.version_info < (3, 12):
        return
    loop = asyncio.get_running_loop()
    loop.set_task_factory(asyncio.eager_task_factory)
    order = []
    async with anyio.create_task_group() as group:

        async def child():
            order.append("child")

        group.start_soon(child)
        order.append("parent")
    loop.set_task_factory(None)
    print(order)


async def threads() -> None:
    def blocking(number: int) -> int:
        assert threading.current_thread() is not threading.main_thread()
        anyio.from_thread.check_cancelled()
        return anyio.from_thread.run(double, number) + anyio.from_thread.run_sync(int, "1")

    async def double(number: int) -> int:
        await anyio.sleep(0)
        return 2 * number

    results = []
    async with anyio.create_task_group() as group:
        for number in range(60):

            async def call(number=number):
                results.append(await anyio.to_thread.run_sync(blocking, number))

            group.start_soon(call)
    print("threads:", sum(results))

    def own_loop() -> str:
        with anyio.from_thread.start_blocking_portal() as portal:

            async def inside() -> str:
                report_loop()
                await anyio.sleep(0)
                return "from a loop in a thread"

            future = portal.start_task_soon(inside)
            return future.result()

    print(await anyio.to_thread.run_sync(own_loop))
    print("in a worker process:", await anyio.to_process.run_sync(math.factorial, 10))
    try:
        await anyio.to_process.run_sync(math.factorial, -1)
    except ValueError as error:
        print("in a worker process:", error)


async def echo(stream: anyio.abc.ByteStream) -> None:
    async with stream:
        try:
            async for data in stream:
                await stream.send(data)
        except anyio.BrokenResourceError:
            pass


async def tcp() -> None:
    async with anyio.create_task_group() as group:
        listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
        group.start_soon(listener.serve, echo)
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        async with await anyio.connect_tcp("localhost", port) as stream:
            await stream.send(b"line\r\nrest")
            buffered = BufferedByteReceiveStream(stream)
            print(await buffered.receive_until(b"\r\n", 100), await buffered.receive_exactly(4))
            await stream.send_eof()
            try:
                await stream.receive()
            except anyio.EndOfStream:
                print("end of the stream")
        server_context, client_context = tls_contexts()
        below = await anyio.create_tcp_listener(local_host="127.0.0.1")
        port = below.extra(anyio.abc.SocketAttribute.local_port)
        secure = TLSListener(below, server_context)
        group.start_soon(secure.serve, echo)
        async with await anyio.connect_tcp("localhost", port, ssl_context=client_context) as stream:
            async with anyio.create_task_group() as sending:
                sending.start_soon(stream.send, b"z" * 1_000_000)
                print("TLS:", len(await BufferedByteReceiveStream(stream).receive_exactly(1_000_000)))
            print(isinstance(stream, TLSStream), stream.extra(anyio.streams.tls.TLSAttribute.tls_version))
        try:
            await anyio.connect_tcp("127.0.0.1", 1)
        except OSError as error:
            print("refused:", type(error).__name__)
        group.cancel_scope.cancel()
    await listener.aclose()
    await secure.aclose()


async def udp_and_unix() -> None:
    async with await anyio.create_udp_socket(local_host="127.0.0.1") as server:
        port = server.extra(anyio.abc.SocketAttribute.local_port)
        async with await anyio.create_connected_udp_socket("127.0.0.1", port) as client:
            await client.send(b"datagram")
            data, address = await server.receive()
            await server.sendto(data[::-1], *address)
            print("UDP:", await client.receive())
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "socket")
        listener = await anyio.create_unix_listener(path)
        async with listener, anyio.create_task_group() as group:

            async def pass_a_file(stream):
                async with stream:
                    with open(__file__, "rb") as file:
                        await stream.send_fds(b"file", [file])

            group.start_soon(listener.serve, pass_a_file)
            async with await anyio.connect_unix(path) as stream:
                message, descriptors = await stream.receive_fds(10, 1)
                with open(descriptors[0], "rb") as file:
                    print("UNIX:", message, file.read(9))
            group.cancel_scope.cancel()
    one, other = socket.socketpair()
    one.setblocking(False)
    async with anyio.create_task_group() as group:
        group.start_soon(anyio.wait_readable, one)
        await anyio.wait_writable(other)
        other.send(b"x")
    one.close()
    other.close()
    print("a socket became readable")


async def processes() -> None:
    done = await anyio.run_process([sys.executable, "-c", "print(input()[::-1])"], input=b"abc\n")
    print("process:", done.stdout, done.returncode)
    sleeper = "import time; print('up', flush=True); time.sleep(60)"
    async with await anyio.open_process([sys.executable, "-c", sleeper]) as process:
        print(await BufferedByteReceiveStream(process.stdout).receive_until(b"\n", 10))
        process.terminate()
        print("process:", await process.wait())


async def the_rest() -> None:
    send, receive = anyio.create_memory_object_stream[int](2)
    async with anyio.create_task_group() as group, send:

        async def consume():
            async with receive:
                print("items:", [item async for item in receive])

        group.start_soon(consume)
        for number in range(5):
            await send.send(number)
        send.close()
    limiter, lock, condition = anyio.CapacityLimiter(2), anyio.Lock(), anyio.Condition()
    async with limiter, lock, condition:
        print(limiter.statistics().borrowed_tokens, lock.locked())
    async with await anyio.open_file(__file__) as file:
        print("file:", (await file.readline())[:8])
    print([entry.name async for entry in anyio.Path(__file__).parent.glob("with_anyio.py")])
    with anyio.open_signal_receiver(signal.SIGUSR1) as signals:
        os.kill(os.getpid(), signal.SIGUSR1)
        async for number in signals:
            print("signal:", number.name)
            break
    print("this task is listed:", anyio.get_current_task() in anyio.get_running_tasks())


async def main() -> None:
    report_loop()
    await groups_and_scopes()
    await eager_tasks()
    await threads()
    await tcp()
    await udp_and_unix()
    await processes()
    await the_rest()


if __name__ == "__main__":
    asyncio.run(main())
