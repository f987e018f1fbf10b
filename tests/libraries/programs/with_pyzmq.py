"""pyzmq: `zmq.asyncio`: requests, publishing, pushing 20,000 messages, multipart, polling, a proxy between threads,
monitoring, time-outs, cancellation, CURVE encryption.

ZeroMQ's descriptor only signals changes: a loop that misses one waits for ever.
"""

import asyncio
import tempfile
import threading

import zmq
import zmq.asyncio
from common import report_loop
from zmq.utils.monitor import recv_monitor_message


async def requests(context: zmq.asyncio.Context) -> None:
    with context.socket(zmq.REP) as server, context.socket(zmq.REQ) as client:
        port = server.bind_to_random_port("tcp://127.0.0.1")
        client.connect(f"tcp://127.0.0.1:{port}")

        async def serve() -> None:
            while (request := await server.recv_json())["n"] is not None:
                await server.send_json({"twice": request["n"] * 2})
            await server.send_multipart([b"good", b"bye"])

        serving = asyncio.create_task(serve())
        total = 0
        for number in range(500):
            await client.send_json({"n": number})
            total += (await client.recv_json())["twice"]
        await client.send_json({"n": None})
        print("requests", total, await client.recv_multipart())
        await serving


async def many_messages(context: zmq.asyncio.Context, address: str) -> None:
    with context.socket(zmq.PULL) as pull, context.socket(zmq.PUSH) as push:
        pull.bind(address)
        push.connect(pull.last_endpoint)

        async def produce() -> None:
            for number in range(20_000):
                await push.send(b"%d" % number)

        producing = asyncio.create_task(produce())
        total = sum([int(await pull.recv()) for _ in range(20_000)])
        await producing
        print(address.partition(":")[0], total)


async def many_waiters(context: zmq.asyncio.Context) -> None:
    """Tasks that wait in line at one socket, some of which leave the line."""
    with context.socket(zmq.PULL) as pull, context.socket(zmq.PUSH) as push:
        pull.bind("inproc://waiters")
        push.connect("inproc://waiters")
        waiters = [asyncio.ensure_future(pull.recv()) for _ in range(10)]
        await asyncio.sleep(0)
        for waiter in waiters[::3]:
            waiter.cancel()
        for number in range(6):
            await push.send(b"to %d" % number)
        got = await asyncio.gather(*waiters, return_exceptions=True)
        print([type(one).__name__ if isinstance(one, BaseException) else one for one in got])
        try:
            await asyncio.wait_for(pull.recv(), 0.01)
        except TimeoutError:
            print("nothing more")
        pull.rcvtimeo = 10
        try:
            await pull.recv()
        except zmq.Again as error:
            print(type(error).__name__)
        pull.rcvtimeo = -1
        print("poll", await pull.poll(10))
        await push.send(b"late")
        print("poll", await pull.poll(10_000), await pull.recv())


async def publish(context: zmq.asyncio.Context) -> None:
    with context.socket(zmq.XPUB) as publisher, context.socket(zmq.SUB) as first, context.socket(zmq.SUB) as second:
        publisher.bind("inproc://news")
        for subscriber, topic in ((first, b"a"), (second, b"")):
            subscriber.connect("inproc://news")
            subscriber.subscribe(topic)
            print("subscribed", await publisher.recv())
        for word in (b"apple", b"bread", b"avocado"):
            await publisher.send(word)
        print([await first.recv() for _ in range(2)], [await second.recv() for _ in range(3)])
        poller = zmq.asyncio.Poller()
        poller.register(first, zmq.POLLIN)
        poller.register(second, zmq.POLLIN)
        await publisher.send(b"bananas")
        ready = await poller.poll(10_000)
        print([(socket is second, event) for socket, event in ready], await second.recv())


async def threads(context: zmq.asyncio.Context) -> None:
    """One thread that blocks in ZeroMQ's own way and one with its own loop, on the same context."""
    plain = zmq.Context.shadow(context)

    def echo() -> None:
        with plain.socket(zmq.REP) as socket:
            socket.bind("inproc://thread")
            for _ in range(100):
                socket.send(socket.recv().upper())

    def loop_of_its_own() -> None:
        async def ask() -> None:
            report_loop()
            with context.socket(zmq.REQ) as socket:
                socket.connect("inproc://thread")
                for _ in range(100):
                    await socket.send(b"hello")
                    answers.append(await socket.recv())

        asyncio.run(ask())

    answers: list[bytes] = []
    running = [threading.Thread(target=target) for target in (echo, loop_of_its_own)]
    for thread in running:
        thread.start()
    for thread in running:
        await asyncio.to_thread(thread.join)
    print("threads", len(answers), set(answers))


async def monitored(context: zmq.asyncio.Context) -> None:
    public, secret = zmq.curve_keypair()
    with context.socket(zmq.PULL) as server, context.socket(zmq.PUSH) as client:
        server.curve_server, server.curve_secretkey, server.curve_publickey = True, secret, public
        port = server.bind_to_random_port("tcp://127.0.0.1")
        client.curve_serverkey = public
        client.curve_publickey, client.curve_secretkey = zmq.curve_keypair()
        with client.get_monitor_socket() as monitor:
            client.connect(f"tcp://127.0.0.1:{port}")
            await client.send(b"encrypted")
            print(await server.recv())
            seen = []
            while zmq.Event.HANDSHAKE_SUCCEEDED not in seen:
                seen.append((await recv_monitor_message(monitor))["event"])
            print("connected:", zmq.Event.CONNECTED in seen)
            client.disable_monitor()


async def main() -> None:
    report_loop()
    with zmq.asyncio.Context() as context:
        await requests(context)
        with tempfile.TemporaryDirectory() as directory:
            for address in ("tcp://127.0.0.1:*", f"ipc://{directory}/socket", "inproc://many"):
                await many_messages(context, address)
        await many_waiters(context)
        await publish(context)
        await threads(context)
        await monitored(context)


if __name__ == "__main__":
    asyncio.run(main())
