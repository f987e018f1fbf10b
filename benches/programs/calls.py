"""Both ends of gRPC on one loop, over TCP on loopback: the client and the server of grpc.aio.

The library has a thread of its own that reads and writes the sockets. It wakes the loop through a descriptor.
"""

import asyncio
from contextlib import asynccontextmanager

import grpc

TASKS = 10


async def double(request, _context):
    """Answer with the request, twice."""
    return request + request


async def count(request, _context):
    """Answer with as many messages as the request says."""
    for number in range(int(request)):
        yield b"%d" % number


HANDLERS = {
    "Double": grpc.unary_unary_rpc_method_handler(double),
    "Count": grpc.unary_stream_rpc_method_handler(count),
}


@asynccontextmanager
async def connected():
    """A server of these handlers, and a channel to it."""
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("Bench", HANDLERS),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield channel
    finally:
        await server.stop(None)


@asynccontextmanager
async def grpc_calls(_place):
    """Tasks that each make one call after the other."""
    async with connected() as channel:
        call = channel.unary_unary("/Bench/Double")

        async def work(rounds):
            for number in range(rounds):
                request = b"%0100d" % number
                answer = await call(request)
                if answer != request + request:
                    raise AssertionError(f"sent {request!r} and received {answer!r}")

        async def operate(n):
            await asyncio.gather(*(work(n // TASKS) for _ in range(TASKS)))

        yield operate


@asynccontextmanager
async def grpc_stream(_place):
    """One call whose answer is a stream of messages."""
    async with connected() as channel:
        call = channel.unary_stream("/Bench/Count")

        async def operate(n):
            expected = 0
            async for answer in call(b"%d" % n):
                if int(answer) != expected:
                    raise AssertionError(f"received {answer!r} after {expected} messages")
                expected += 1
            if expected != n:
                raise AssertionError(f"received {expected} messages, not {n}")

        yield operate
