"""`await` in the body of the program: no `main`, no `run`.

Runs only as `python -m ferrio examples/top_level_await.py`, which runs the whole file on one loop. Plain Python refuses
an `await` outside a function.
"""

import ferrio as asyncio

print("start")
await asyncio.sleep(1)

doubles = asyncio.Queue()
for number in (1, 2, 3):
    await doubles.put(number * 2)
print([await doubles.get() for _ in range(3)])

async with asyncio.timeout(5):
    first, second = await asyncio.gather(asyncio.sleep(1, "one"), asyncio.sleep(2, "two"))
print(first, second)
print(f"one loop: {asyncio.current_task().get_loop() is asyncio.get_running_loop()}")
