"""A program for test_loops.py: makes, uses and closes loops, and prints what a loop leaves behind, as JSON.

    python -m tests.leaks.loops IMPLEMENTATION

It runs in its own process, because memory that the test runner frees and reuses would hide or fake a leak.
"""

import gc
import importlib
import itertools
import json
import sys
import threading

from tests.leaks.measure import open_descriptors, own_bytes

# What allocators and interned objects take at first isn't a leak.
WARM_UP = 200
LOOPS = 1000
ROUNDS = 3


def use_one_loop(aio) -> None:
    """A whole loop's life: tasks, timers, a queue, a lock, a thread, a failure and a cancellation."""

    async def produce(queue):
        for item in range(5):
            await queue.put(item)

    async def fail():
        raise ValueError("expected")

    async def main():
        loop = aio.get_running_loop()
        queue = aio.Queue(2)
        producer = aio.create_task(produce(queue))
        assert [await queue.get() for _ in range(5)] == list(range(5))
        await producer
        loop.call_later(3600, print)
        loop.call_later(3600, print).cancel()
        async with aio.Lock(), aio.timeout(3600):
            await aio.sleep(0)
        results = await aio.gather(fail(), aio.to_thread(len, "four"), return_exceptions=True)
        assert results[1] == 4
        sleeper = aio.create_task(aio.sleep(3600))
        await aio.sleep(0)
        sleeper.cancel()
        await aio.wait([sleeper])

    aio.run(main())


def main(implementation: str) -> None:
    aio = importlib.import_module(implementation)
    for _ in range(WARM_UP):
        use_one_loop(aio)
    gc.collect()
    memory = [own_bytes()]
    before = open_descriptors(), threading.active_count(), len(gc.get_objects())
    for _ in range(ROUNDS):
        for _ in range(LOOPS):
            use_one_loop(aio)
        gc.collect()
        memory.append(own_bytes())
    after = open_descriptors(), threading.active_count(), len(gc.get_objects())
    report = {
        # A leak shows in every round; an allocator that takes one more arena shows in one.
        "bytes_per_loop": min(end - start for start, end in itertools.pairwise(memory)) / LOOPS,
        "new_descriptors": sorted(after[0] - before[0]),
        "new_threads": after[1] - before[1],
        "objects_per_loop": (after[2] - before[2]) / (ROUNDS * LOOPS),
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main(sys.argv[1])
