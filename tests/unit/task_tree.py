"""A program whose named tasks wait in every way there is, for tests that look into it from another process.

    python task_tree.py asyncio
    python task_tree.py ferrio            with `import ferrio as asyncio`
    python -m ferrio task_tree.py asyncio

It prints "ready" when all tasks wait, and goes on until it is killed.
"""

import importlib
import socket
import sys

asyncio = importlib.import_module(sys.argv[1])


async def forever():
    await asyncio.get_running_loop().create_future()


async def gatherer():
    await asyncio.gather(forever(), asyncio.create_task(forever(), name="gathered"))


async def grouper():
    async with asyncio.TaskGroup() as group:
        group.create_task(forever(), name="grouped")
        group.create_task(forever())


async def waiter():
    await asyncio.wait([asyncio.create_task(forever(), name=f"waited_for_{number}") for number in range(2)])


async def time_limit():
    await asyncio.wait_for(forever(), 3600)


async def time_limit_of_a_task():
    await asyncio.wait_for(asyncio.create_task(forever(), name="limited"), 3600)


async def time_limit_by_block():
    async with asyncio.timeout(3600):
        await forever()


async def shielder():
    await asyncio.shield(asyncio.create_task(forever(), name="shielded"))


async def completed_in_order():
    for next_one in asyncio.as_completed([asyncio.create_task(forever(), name="completed")]):
        await next_one


async def innermost(task):
    await task


async def middle(task):
    await innermost(task)


async def outermost():
    await middle(asyncio.create_task(forever(), name="awaited_by_three_coroutines"))


async def generator(task):
    await task
    yield


async def iterating():
    async for _ in generator(asyncio.create_task(forever(), name="awaited_by_a_generator")):
        pass


async def two_for_one():
    shared = asyncio.create_task(forever(), name="shared")
    await asyncio.gather(
        asyncio.create_task(innermost(shared), name="one_of_two"),
        asyncio.create_task(middle(shared), name="other_of_two"),
    )


async def queue_get():
    await asyncio.Queue().get()


async def queue_put():
    queue = asyncio.Queue(1)
    queue.put_nowait(None)
    await queue.put(None)


async def queue_join():
    queue = asyncio.Queue()
    queue.put_nowait(None)
    await queue.join()


async def lock():
    taken = asyncio.Lock()
    await taken.acquire()
    async with taken:
        pass


async def semaphore():
    await asyncio.Semaphore(0).acquire()


async def event():
    await asyncio.Event().wait()


async def condition():
    notified = asyncio.Condition()
    async with notified:
        await notified.wait()


async def barrier():
    await asyncio.Barrier(2).wait()


async def sleeper():
    await asyncio.sleep(3600)


async def stream_reader():
    ours, _theirs = socket.socketpair()
    reader, _writer = await asyncio.open_connection(sock=ours)
    await reader.readline()


WAYS = [
    gatherer,
    grouper,
    waiter,
    time_limit,
    time_limit_of_a_task,
    time_limit_by_block,
    shielder,
    completed_in_order,
    outermost,
    iterating,
    two_for_one,
    queue_get,
    queue_put,
    queue_join,
    lock,
    semaphore,
    event,
    condition,
    barrier,
    sleeper,
    stream_reader,
]


async def main():
    tasks = [asyncio.create_task(way(), name=way.__name__) for way in WAYS]
    for _ in range(20):
        await asyncio.sleep(0)
    # A callback, so that this task waits too when it is called.
    asyncio.get_running_loop().call_soon(lambda: print("ready", flush=True))
    await asyncio.wait(tasks)


asyncio.run(main())
