"""One producer, two consumers, and a queue that holds at most two items.

Shows back pressure (`put` waits while the queue is full) and a clean end. `shutdown` lets the consumers empty the
queue; then their `get` raises `QueueShutDown`. So no item is lost and nobody waits for ever.
"""

import ferrio as asyncio


async def produce(queue):
    for number in range(1, 7):
        await queue.put(number)
        print(f"put {number} (queue holds {queue.qsize()})")
    queue.shutdown()
    print("producer done")


async def consume(name, seconds, queue):
    handled = []
    try:
        while True:
            number = await queue.get()
            await asyncio.sleep(seconds)
            handled.append(number)
            print(f"  {name} handled {number}")
    except asyncio.QueueShutDown:
        print(f"  {name} leaves")
    return handled


async def main():
    queue = asyncio.Queue(maxsize=2)
    async with asyncio.TaskGroup() as group:
        quick = group.create_task(consume("quick", 0.2, queue))
        slow = group.create_task(consume("slow", 0.5, queue))
        group.create_task(produce(queue))
    print(f"quick: {quick.result()}, slow: {slow.result()}")
    print(f"all handled: {sorted(quick.result() + slow.result()) == list(range(1, 7))}")


if __name__ == "__main__":
    asyncio.run(main())
