"""A bot that stalls in all the ways that bots do, for ferrio to say why: the case of docs/guide/stalling.md.

python -m ferrio --watch=0.1 examples/stalling_bot.py blocks        a library that knows nothing of asyncio
python -m ferrio --watch examples/stalling_bot.py deadlocks         two tasks that want each other's lock
python -m ferrio --dump-signal=USR1 examples/stalling_bot.py waits  a name server that doesn't answer
python -m ferrio examples/stalling_bot.py lingers                   a task that doesn't heed its cancellation
python -m ferrio examples/stalling_bot.py works                     nothing stalls
"""

import os
import socket
import sys
import time

import ferrio as asyncio


class Bot:
    """Answers questions, each in a task of its own."""

    def __init__(self):
        self.questions = asyncio.Queue()
        self.calendar = asyncio.Lock()
        self.contacts = asyncio.Lock()

    async def run(self):
        async with asyncio.TaskGroup() as answers:
            while True:
                question, asker = await self.questions.get()
                answers.create_task(self.answer(question, asker), name=question)

    async def answer(self, question, asker):
        asker.set_result(await getattr(self, question)())

    async def ask(self, question):
        asker = asyncio.get_running_loop().create_future()
        await self.questions.put((question, asker))
        print(f"{question}: {await asker}")

    async def hello(self):
        return "hello!"

    async def weather(self):
        return ask_the_weather_station()  # the cure: await asyncio.to_thread(ask_the_weather_station)

    async def meet(self):
        async with self.calendar:
            await asyncio.sleep(0.01)
            async with self.contacts:
                return "tomorrow at ten"

    async def invite(self):
        async with self.contacts:  # the cure: everybody takes the calendar first
            await asyncio.sleep(0.01)
            async with self.calendar:
                return "they will come"

    async def news(self):
        try:
            _, writer = await asyncio.open_connection("news.example.org", 80)
        except OSError as error:
            return f"no news: {error}"
        writer.close()
        return "no news is good news"

    async def remind(self):
        while True:
            try:
                await asyncio.sleep(3600)
            except BaseException:  # the cure: no `except` that takes a CancelledError
                await asyncio.sleep(1.5)
                return


def ask_the_weather_station():
    time.sleep(0.35)
    return "rain"


def look_up(host, *rest, **keywords):
    """Takes the place of `socket.getaddrinfo`, as if the name server were out of reach."""
    time.sleep(5)
    raise socket.gaierror(socket.EAI_AGAIN, "the name server doesn't answer")


async def main(trouble):
    bot = Bot()
    running = asyncio.create_task(bot.run(), name="bot")
    if trouble == "blocks":
        await asyncio.gather(bot.ask("weather"), bot.ask("hello"))
    elif trouble == "deadlocks":
        await asyncio.gather(bot.ask("meet"), bot.ask("invite"))
    elif trouble == "waits":
        socket.getaddrinfo = look_up
        hint = f"Still no news. What am I doing? kill -USR1 {os.getpid()}"
        asyncio.get_running_loop().call_later(0.5, print, hint)
        await bot.ask("news")
    elif trouble == "lingers":
        asyncio.create_task(bot.remind(), name="reminder")
        await bot.ask("hello")
    else:
        await asyncio.gather(*(bot.ask("hello") for _ in range(3)))
        running.cancel()


TROUBLES = ("blocks", "deadlocks", "waits", "lingers", "works")

if len(sys.argv) != 2 or sys.argv[1] not in TROUBLES:
    sys.exit(f"usage: {os.path.basename(sys.argv[0])} {' | '.join(TROUBLES)}")
asyncio.run(main(sys.argv[1]))
