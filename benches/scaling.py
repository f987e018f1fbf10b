"""How much more do several loops on as many threads do than one? For free-threaded Pythons: `make bench-scaling`.

    PYTHON benches/scaling.py [--loops 2] [--rounds 7] [--impls asyncio,ferrio] [--only echo] [--quick]

Each scenario is a fixed amount of work for one loop, which shares nothing with other loops:

- task switching: `sleep(0)` in ten tasks;
- tasks: made and awaited;
- echo: a client and its own server, 1 KiB messages over a loopback connection;
- streams: the same with `StreamReader` and `StreamWriter`;
- queue: a producer and a consumer.

A round measures one loop on one thread, then N loops on N threads that begin together. Each does the same work, so the
ratio is `N * time of one / time of the slowest of N`. There are two clocks. Wall time needs N free cores. The CPU time
of the threads shows what they cost each other (locks, shared cache lines), even on a machine that does other things.
The best of the rounds counts, as in `run.py`.
"""

import argparse
import asyncio
import gc
import os
import statistics
import sys
import sysconfig
import threading
import time

import ferrio

TASKS = 10
MESSAGE = b"x" * 1024


async def switching(aio, count):
    """`count` switches between ten tasks by `sleep(0)`."""

    async def spin():
        for _ in range(count // TASKS):
            await aio.sleep(0)

    await aio.gather(*(spin() for _ in range(TASKS)))


async def tasks(aio, count):
    """`count` tasks, each made and awaited."""

    async def work():
        pass

    for _ in range(count):
        await aio.create_task(work())


async def queue(aio, count):
    """`count` items from a producer to a consumer."""
    items = aio.Queue(1)

    async def produce():
        for item in range(count):
            await items.put(item)

    async def consume():
        for _ in range(count):
            await items.get()

    await aio.gather(produce(), consume())


async def echo(aio, count):
    """`count` messages of 1 KiB to a protocol that sends them back, one after the other."""
    loop = asyncio.get_running_loop()
    finished = loop.create_future()
    # Each loop needs its own. One object for all loops would have a reference count that all cores change.
    message = bytes(bytearray(MESSAGE))

    class Server(asyncio.Protocol):
        def connection_made(self, transport):
            self.transport = transport

        def data_received(self, data):
            self.transport.write(data)

    class Client(asyncio.Protocol):
        left = count
        size = 0

        def connection_made(self, transport):
            self.transport = transport
            transport.write(message)

        def data_received(self, data):
            self.size += len(data)
            if self.size < len(message):
                return
            self.size = 0
            self.left -= 1
            if self.left:
                self.transport.write(message)
            else:
                self.transport.close()

        def connection_lost(self, exception):
            finished.set_result(exception)

    server = await loop.create_server(Server, "127.0.0.1", 0)
    await loop.create_connection(Client, *server.sockets[0].getsockname())
    assert await finished is None
    server.close()


async def streams(aio, count):
    """`count` lines of 1 KiB to a stream server that sends them back, one after the other."""
    line = MESSAGE[:-1] + b"\n"

    async def serve(reader, writer):
        while got := await reader.readline():
            writer.write(got)
            await writer.drain()
        writer.close()

    server = await aio.start_server(serve, "127.0.0.1", 0)
    reader, writer = await aio.open_connection(*server.sockets[0].getsockname())
    for _ in range(count):
        writer.write(line)
        await reader.readline()
    writer.close()
    await writer.wait_closed()
    server.close()


SCENARIOS = {
    switching: 200_000,
    tasks: 60_000,
    queue: 60_000,
    echo: 8_000,
    streams: 8_000,
}


def measure(aio, scenario, count, loops):
    """Runs the scenario on that many loops at once; returns wall seconds of the slowest, CPU seconds of all threads."""
    new_loop = ferrio.new_event_loop if aio is ferrio else asyncio.SelectorEventLoop
    begin, walls, cpus, errors = threading.Barrier(loops), [], [], []

    def body():
        try:
            with asyncio.Runner(loop_factory=new_loop) as runner:
                runner.run(scenario(aio, count // 20))
                begin.wait()
                wall, cpu = time.perf_counter(), time.thread_time()
                runner.run(scenario(aio, count))
                walls.append(time.perf_counter() - wall)
                cpus.append(time.thread_time() - cpu)
        except BaseException as error:
            begin.abort()
            errors.append(error)

    gc.collect()
    threads = [threading.Thread(target=body) for _ in range(loops)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return max(walls), sum(cpus)


def ratios(aio, scenario, count, options):
    """The figures of one row: nanoseconds per operation on one loop, and how much more all loops do by each clock."""
    alone, together = [], []
    for _ in range(options.rounds):
        alone.append(measure(aio, scenario, count, 1))
        together.append(measure(aio, scenario, count, options.loops))
    wall, wall_all = min(one[0] for one in alone), min(many[0] for many in together)
    cpu, cpu_all = min(one[1] for one in alone), min(many[1] for many in together)
    median = statistics.median(options.loops * one[0] / many[0] for one, many in zip(alone, together, strict=True))
    return wall / count * 1e9, options.loops * wall / wall_all, median, options.loops * options.loops * cpu / cpu_all


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--loops", type=int, default=2, help="number of loops, each on its own thread (2)")
    parser.add_argument("--rounds", type=int, default=7, help="number of rounds; the best counts (7)")
    parser.add_argument("--impls", default="asyncio,ferrio", help="implementations, in the order of the table")
    parser.add_argument("--only", help="scenarios whose name contains this")
    parser.add_argument("--quick", action="store_true", help="a tenth of the work, one round: does everything run?")
    options = parser.parse_args()
    divisor = 10 if options.quick else 1
    if options.quick:
        options.rounds = 1

    free = bool(sysconfig.get_config_var("Py_GIL_DISABLED")) and not sys._is_gil_enabled()
    print(f"Python {sys.version.split()[0]}, {'free-threaded' if free else 'with a GIL'}, {os.cpu_count()} CPUs")
    if not free:
        print("With a GIL threads take turns: expect a ratio of one.")
    print(
        f"{'':12}{'':10}{'ns/op, 1 loop':>14}{'wall, best':>12}{'median':>8}{'CPU, best':>11}   ({options.loops} loops)"
    )
    for scenario, count in SCENARIOS.items():
        if options.only and options.only not in scenario.__name__:
            continue
        for name in options.impls.split(","):
            aio = {"asyncio": asyncio, "ferrio": ferrio}[name]
            figures = ratios(aio, scenario, count // divisor, options)
            nanos, wall, median, cpu = figures
            print(f"{scenario.__name__:12}{name:10}{nanos:14.0f}{wall:12.2f}{median:8.2f}{cpu:11.2f}", flush=True)


if __name__ == "__main__":
    main()
