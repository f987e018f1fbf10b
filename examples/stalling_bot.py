"""A bot that stalls: one of its answers blocks the loop, and everybody waits. Debug mode says which one it was.

Shows the report of a slow step, which names the task, its coroutine and where both come from. The cure is a thread for
the call that blocks. The reports go to the logger "asyncio"; here they are printed like the rest.
"""

import logging
import sys
import time

import ferrio as asyncio


def ask_the_weather_station():
    time.sleep(0.3)  # a library that knows nothing of asyncio
    return "rain"


async def stalls(question):
    return ask_the_weather_station()


async def goes_on(question):
    return await asyncio.to_thread(ask_the_weather_station)


async def chat(answer):
    beats = 0

    async def heartbeat():
        nonlocal beats
        while True:
            await asyncio.sleep(0.01)
            beats += 1

    async with asyncio.TaskGroup() as group:
        beating = group.create_task(heartbeat())
        task = group.create_task(answer("How is the weather?"), name=answer.__name__)
        print(f"{await task}, and meanwhile the heart {'beat' if beats else 'stood still'}")
        beating.cancel()


async def main():
    logging.basicConfig(stream=sys.stdout, format="%(message)s")
    asyncio.get_running_loop().slow_callback_duration = 0.2
    await chat(stalls)
    await chat(goes_on)


asyncio.run(main(), debug=True)
