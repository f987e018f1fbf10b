"""Runs a program on a simulated network: python on_network.py FILE SEED [resets | real-time]

It has latency and jitter, and cuts what is sent at random places. With `resets` all its connections break again and
again. Time is virtual, except with `real-time`. With "real" in place of the seed, the program runs on the machine's
own network. On standard error, this says how many connections and resets the simulated network has seen.
"""

import asyncio
import contextlib
import importlib
import pathlib
import sys

import ferrio
from ferrio import testing


async def disturbed(program, network: testing.Network) -> None:
    """Runs the program, and breaks all connections every 0.1 to 0.4 seconds."""

    async def reset():
        while True:
            await asyncio.sleep(network.random.uniform(0.1, 0.4))
            for connection in network.connections:
                connection.reset()

    resetting = asyncio.create_task(reset())
    await program.main()
    resetting.cancel()


def run(path: pathlib.Path, seed: str, *options: str) -> None:
    """Imports the program at `path` and runs its `main()`."""
    sys.path[0] = str(path.parent)
    program = importlib.import_module(path.stem)
    with contextlib.ExitStack() as stack:
        if seed == "real":
            runner = stack.enter_context(asyncio.Runner(loop_factory=ferrio.new_event_loop))
            runner.run(program.main())
            return
        late = 0.02
        if "real-time" in options:
            stack.enter_context(testing.Bench(testing.Settings()))
            late = 0.0005
        else:
            stack.enter_context(testing.virtual_time())
        network = stack.enter_context(testing.Network(seed, latency=late, jitter=late, segment="random"))
        asyncio.run(disturbed(program, network) if "resets" in options else program.main())
    counts = [sum(event.what == what for event in network.events) for what in ("established", "reset")]
    sys.stderr.write(f"the simulated network has seen {counts[0]} connections and {counts[1]} resets\n")


if __name__ == "__main__":
    run(pathlib.Path(sys.argv[1]), *sys.argv[2:])
