"""The load test's server: echoes on one ferrio loop, in its own process, until the last client has gone.

It prints two lines: the port, and at the end how many connections were open at once and how many failed. Start it
with `python echo_server.py protocol` or `streams`.
"""

import resource
import sys

import ferrio as asyncio


class Tally:
    """Counts how many connections are open, were open at once, and failed."""

    def __init__(self):
        self.open = self.most = self.failed = 0
        self.all_gone = asyncio.get_running_loop().create_future()

    def opened(self):
        self.open += 1
        self.most = max(self.most, self.open)

    def closed(self, error):
        self.failed += error is not None
        self.open -= 1
        if self.open == 0:
            self.all_gone.set_result(None)


class Echo(asyncio.Protocol):
    def __init__(self, tally):
        self.tally = tally

    def connection_made(self, transport):
        self.transport = transport
        self.tally.opened()

    def data_received(self, data):
        self.transport.write(data)

    def connection_lost(self, error):
        self.tally.closed(error)


async def echo_streams(tally, reader, writer):
    tally.opened()
    error = None
    try:
        while data := await reader.read(4096):
            writer.write(data)
            await writer.drain()
    except OSError as problem:
        error = problem
    writer.close()
    tally.closed(error)


async def main(kind):
    tally = Tally()
    loop = asyncio.get_running_loop()
    if kind == "protocol":
        server = await loop.create_server(lambda: Echo(tally), "127.0.0.1", 0, backlog=1024)
    else:
        server = await asyncio.start_server(lambda *both: echo_streams(tally, *both), "127.0.0.1", 0, backlog=1024)
    async with server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await tally.all_gone
    print(tally.most, tally.failed, flush=True)


if __name__ == "__main__":
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    asyncio.run(main(sys.argv[1]))
