"""Awaits of Rust's timers and sockets of every kind, begun and cancelled at random (`storm`)."""

import asyncio


async def echo(reader, writer):
    try:
        while data := await reader.read(1000):
            writer.write(data)
    except ConnectionError:
        pass
    finally:
        writer.close()


def one_of(chance, reactor, port):
    """Returns an awaitable of any kind."""
    duration = chance.random() / 100
    kinds = [
        lambda: reactor.sleep(duration),
        lambda: reactor.sleep_goes_on_elsewhere(duration),
        lambda: reactor.sleep_dropped_elsewhere(),
        lambda: reactor.limited(duration, lambda: asyncio.sleep(chance.random() / 100)),
        lambda: reactor.tick(0.001, 3, lambda: asyncio.sleep(0)),
        lambda: reactor.ask("127.0.0.1", port, bytes(chance.randrange(100_000))),
        lambda: reactor.flood(chance.randrange(1_000_000)),
        lambda: reactor.datagrams(3),
        lambda: reactor.read_goes_on_elsewhere(port),
        lambda: reactor.connection_dropped_elsewhere(port),
    ]
    return chance.choice(kinds)()


async def storm(chance, reactor, number):
    """Begins so many, cancels some, and returns their tasks, of which some are pending."""
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    tasks = []
    for _ in range(number):
        tasks.append(asyncio.create_task(one_of(chance, reactor, port)))
        if chance.random() < 0.3:
            await asyncio.sleep(chance.choice([0, 0, 0.001]))
        if chance.random() < 0.4:
            chance.choice(tasks).cancel()
    await asyncio.sleep(chance.random() / 50)
    server.close()
    return tasks
