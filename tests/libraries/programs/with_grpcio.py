"""grpcio: server and client of its aio: unary calls, streams in each direction, cancellation from both sides,
deadlines, errors, metadata, interceptors, a server that ends with calls open, TLS, synchronous handlers, a second
loop in a thread.

grpcio polls in its own thread and wakes the loop through a socket that it passes to `add_reader`. Services are
registered without generated code.
"""

import asyncio
import concurrent.futures

import grpc
import trustme
from common import report_loop

cancelled: asyncio.Queue[str] = asyncio.Queue()
started = asyncio.Event()


async def double(request: bytes, context: grpc.aio.ServicerContext) -> bytes:
    await asyncio.sleep(0)
    metadata = dict(context.invocation_metadata())
    context.set_trailing_metadata((("said", metadata.get("say", "nothing")),))
    return request * 2


async def count(request: bytes, context: grpc.aio.ServicerContext):
    for number in range(int(request)):
        yield str(number).encode()


async def total(requests, context: grpc.aio.ServicerContext) -> bytes:
    return str(sum([int(request) async for request in requests])).encode()


async def chat(requests, context: grpc.aio.ServicerContext):
    async for request in requests:
        yield request.upper()


async def never(request: bytes, context: grpc.aio.ServicerContext) -> bytes:
    if request != b"a late call":
        started.set()
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        if request == b"a late call":  # it may or may not have begun
            raise
        cancelled.put_nowait(f"the handler of {request.decode()} was cancelled")
        raise


async def fail(request: bytes, context: grpc.aio.ServicerContext) -> bytes:
    await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "not this")


def synchronous(request: bytes, context: grpc.ServicerContext) -> bytes:
    return b"from a thread: " + request


HANDLERS = grpc.method_handlers_generic_handler(
    "Test",
    {
        "Double": grpc.unary_unary_rpc_method_handler(double),
        "Count": grpc.unary_stream_rpc_method_handler(count),
        "Total": grpc.stream_unary_rpc_method_handler(total),
        "Chat": grpc.stream_stream_rpc_method_handler(chat),
        "Never": grpc.unary_unary_rpc_method_handler(never),
        "Fail": grpc.unary_unary_rpc_method_handler(fail),
        "Synchronous": grpc.unary_unary_rpc_method_handler(synchronous),
    },
)


class Counting(grpc.aio.UnaryUnaryClientInterceptor):
    """Counts outgoing calls."""

    calls = 0

    async def intercept_unary_unary(self, continuation, details, request):
        Counting.calls += 1
        return await continuation(details, request)


async def calls(channel: grpc.aio.Channel) -> None:
    unary = channel.unary_unary("/Test/Double")
    call = unary(b"ab", metadata=(("say", "hello"),))
    print(await call, dict(await call.trailing_metadata()), await call.code())
    print("large:", len(await unary(b"x" * 1_500_000)))
    print("at once:", sum(map(len, await asyncio.gather(*(unary(b"x" * number) for number in range(200))))))
    print("streamed:", sum([int(number) async for number in channel.unary_stream("/Test/Count")(b"2000")]))

    async def numbers():
        for number in range(500):
            yield str(number).encode()
            await asyncio.sleep(0)

    print("uploaded:", await channel.stream_unary("/Test/Total")(numbers()))
    chat = channel.stream_stream("/Test/Chat")()
    answers = []
    for word in (b"one", b"two"):
        await chat.write(word)
        answers.append(await chat.read())
    await chat.done_writing()
    print(answers, await chat.read() is grpc.aio.EOF, await chat.code())
    print(await channel.unary_unary("/Test/Synchronous")(b"hello"))


async def failures(channel: grpc.aio.Channel) -> None:
    for method in ("Fail", "Missing"):
        try:
            await channel.unary_unary(f"/Test/{method}")(b"")
        except grpc.aio.AioRpcError as error:
            print(method, error.code(), error.details())
    never = channel.unary_unary("/Test/Never")
    call = asyncio.ensure_future(never(b"a cancelled task"))
    await started.wait()
    call.cancel()
    print(await asyncio.gather(call, return_exceptions=True), await cancelled.get())
    started.clear()
    call = never(b"a cancelled call")
    await started.wait()
    call.cancel()
    print(await asyncio.gather(call, return_exceptions=True), await cancelled.get())
    try:
        await never(b"a late call", timeout=0.5)
    except grpc.aio.AioRpcError as error:
        print(error.code())
    stream = channel.unary_stream("/Test/Count")(b"1000000")
    print("first of many:", await stream.read())
    stream.cancel()
    print("cancelled:", stream.cancelled())


async def main() -> None:
    report_loop()
    with concurrent.futures.ThreadPoolExecutor() as pool:
        server = grpc.aio.server(migration_thread_pool=pool)
        server.add_generic_rpc_handlers((HANDLERS,))
        port = server.add_insecure_port("127.0.0.1:0")
        authority = trustme.CA()
        issued = authority.issue_cert("localhost")
        certificate = issued.cert_chain_pems[0].bytes()
        credentials = grpc.ssl_server_credentials([(issued.private_key_pem.bytes(), certificate)])
        secure = server.add_secure_port("127.0.0.1:0", credentials)
        await server.start()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", interceptors=[Counting()]) as channel:
            await calls(channel)
            await failures(channel)
        print("calls out:", Counting.calls)
        trusting = grpc.ssl_channel_credentials(authority.cert_pem.bytes())
        async with grpc.aio.secure_channel(f"localhost:{secure}", trusting) as channel:
            await calls(channel)

        def own_loop() -> bytes:
            async def call() -> bytes:
                report_loop()
                async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
                    return await channel.unary_unary("/Test/Double")(b"thread")

            return asyncio.run(call())

        print(await asyncio.to_thread(own_loop))
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            started.clear()
            call = asyncio.ensure_future(channel.unary_unary("/Test/Never")(b"the server's end"))
            await started.wait()
            await server.stop(grace=0.05)
            try:
                await call
            except grpc.aio.AioRpcError as error:
                print("the server ended:", error.code())
            print(await cancelled.get())
        await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(main())
