"""A blocking read in a thread, while a worker keeps ticking on the loop.

Shows `to_thread`: `os.read` blocks its thread until somebody writes, and the loop stays free. Here the worker itself
writes after its third tick, so the read can't have blocked it.
"""

import os

import ferrio as asyncio


async def work(write_end):
    for count in range(1, 4):
        await asyncio.sleep(0.1)
        print(f"tick {count}")
    os.write(write_end, b"hello from the worker\n")
    os.close(write_end)


async def main():
    read_end, write_end = os.pipe()
    worker = asyncio.create_task(work(write_end))
    print("reading")
    data = await asyncio.to_thread(os.read, read_end, 1024)
    os.close(read_end)
    await worker
    print(f"read: {data.decode().strip()}")


if __name__ == "__main__":
    asyncio.run(main())
