"""A server restarts, and all its clients come back at once, again and again: it never gets up under the load.

Each client alone behaves well; it takes many of them to see the storm. `Network` has fifty hosts in one process, and
notes who knocks when. With delays that grow, and differ by chance, they spread.
"""

import asyncio
import collections
import random

from ferrio import testing

CLIENTS = 50
MOST_A_SECOND = 20


class Client(asyncio.Protocol):
    def __init__(self):
        self.lost = asyncio.get_running_loop().create_future()

    def connection_lost(self, error):
        if not self.lost.done():
            self.lost.set_result(None)


async def stay_connected(delays):
    loop = asyncio.get_running_loop()
    for delay in delays:
        try:
            transport, client = await loop.create_connection(Client, "server", 80)
        except OSError:
            await asyncio.sleep(delay)
            continue
        try:
            await client.lost
        finally:
            transport.close()


def every_second(_name):
    while True:
        yield 1


def with_backoff(name):
    chance, most = random.Random(name), 2.0
    while True:
        yield chance.uniform(0, most)
        most = min(2 * most, 60)


def most_attempts_a_second(delays):
    """Runs the clients while the server is down for twenty seconds."""

    async def main():
        async def start():
            loop = asyncio.get_running_loop()
            return await server.run(loop.create_server(asyncio.Protocol, "server", 80))

        listening = await start()
        clients = [host.create_task(stay_connected(delays(host.name))) for host in hosts]
        await asyncio.sleep(10)
        listening.close()
        for host in hosts:
            net.reset(server, host)
        await asyncio.sleep(20)
        listening = await start()
        await asyncio.sleep(60)
        for client in clients:
            client.cancel()
        await asyncio.gather(*clients, return_exceptions=True)
        await asyncio.sleep(1)  # until the server has seen them leave
        listening.close()

    with testing.virtual_time(), testing.Network(seed=1, latency=0.01) as net:
        server, hosts = net.host("server"), [net.host(f"client-{number}") for number in range(CLIENTS)]
        asyncio.run(main())
        # What comes in the first seconds after the server has gone can't be helped.
        knocks = [event.time for event in net.events if event.what == "connect" and event.time > 15]
        return max(collections.Counter(map(int, knocks)).values())


def test_the_bench_finds_it():
    assert most_attempts_a_second(every_second) == CLIENTS


def test_random_growing_delays_spread_them():
    assert most_attempts_a_second(with_backoff) <= MOST_A_SECOND
