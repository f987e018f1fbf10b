"""janus: queues between threads and the loop, both directions, with priorities, joins, limits and a shutdown."""

import asyncio
import threading

import janus
from common import report_loop


async def from_a_thread() -> None:
    queue: janus.Queue[int] = janus.Queue(maxsize=3)

    def produce() -> None:
        for number in range(500):
            queue.sync_q.put(number)
        queue.sync_q.join()

    thread = threading.Thread(target=produce)
    thread.start()
    total = 0
    for _ in range(500):
        total += await queue.async_q.get()
        queue.async_q.task_done()
    await asyncio.to_thread(thread.join)
    print("from a thread:", total)
    await queue.aclose()


async def to_a_thread() -> None:
    queue: janus.Queue[int | None] = janus.Queue(maxsize=1)
    seen = []

    def consume() -> None:
        while (number := queue.sync_q.get()) is not None:
            seen.append(number)
            queue.sync_q.task_done()

    consumer = asyncio.create_task(asyncio.to_thread(consume))
    for number in range(500):
        await queue.async_q.put(number)
    await queue.async_q.join()
    await queue.async_q.put(None)
    await consumer
    print("to a thread, in order:", seen == list(range(500)))
    await queue.aclose()


async def many_threads() -> None:
    queue: janus.Queue[int] = janus.Queue(maxsize=2)

    def produce() -> None:
        for number in range(100):
            queue.sync_q.put(number)

    threads = [threading.Thread(target=produce) for _ in range(8)]
    for thread in threads:
        thread.start()

    async def consume() -> int:
        return sum([await queue.async_q.get() for _ in range(100)])

    print("eight threads, eight tasks:", sum(await asyncio.gather(*(consume() for _ in range(8)))))
    for thread in threads:
        await asyncio.to_thread(thread.join)
    await queue.aclose()


async def the_rest() -> None:
    priorities: janus.PriorityQueue[int] = janus.PriorityQueue()
    for number in (3, 1, 2):
        priorities.sync_q.put_nowait(number)
    print("by priority:", [await priorities.async_q.get() for _ in range(3)])
    await priorities.aclose()
    queue: janus.Queue[int] = janus.Queue()
    waiting = asyncio.create_task(queue.async_q.get())
    await asyncio.sleep(0)
    waiting.cancel()
    print(await asyncio.gather(waiting, return_exceptions=True))
    waiting = asyncio.create_task(queue.async_q.get())
    await asyncio.sleep(0)
    queue.shutdown()
    print([type(error).__name__ for error in await asyncio.gather(waiting, return_exceptions=True)])
    await queue.wait_closed()


async def main() -> None:
    report_loop()
    await from_a_thread()
    await to_a_thread()
    await many_threads()
    await the_rest()


if __name__ == "__main__":
    asyncio.run(main())
