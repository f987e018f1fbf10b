"""A shop on FastAPI and uvicorn, with background tasks, for `test_recorded`. It runs until somebody asks for /stop.

One of its answers does what it shouldn't: /report computes in the loop's thread.
"""

import asyncio
import itertools
import time

import uvicorn
from fastapi import FastAPI

app = FastAPI()


class Shop:
    def __init__(self):
        self.stock = asyncio.Lock()
        self.mails = asyncio.Queue()


@app.get("/")
async def index():
    return {"articles": ["bread", "tea"]}


@app.get("/stock")
async def stock():
    async with app.state.shop.stock:
        await asyncio.sleep(0.002)
    return {"bread": 12}


@app.get("/order")
async def order():
    await app.state.shop.mails.put("thank you")
    return {"ordered": "bread"}


@app.get("/image")
async def image():
    return {"bytes": await asyncio.to_thread(resize_image)}


@app.get("/report")
async def report():
    return {"digits": build_report()}


@app.get("/stop")
async def stop():
    app.state.server.should_exit = True
    return {}


def resize_image():
    time.sleep(0.004)
    return 4000


def build_report():
    until = time.perf_counter() + 0.15
    return next(digits for digits in itertools.count() if time.perf_counter() > until)


async def send_mails(mails):
    while True:
        await mails.get()
        await asyncio.sleep(0.001)


async def follow_prices():
    while True:
        await asyncio.sleep(0.02)


async def main():
    app.state.shop = shop = Shop()
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning", access_log=False, ws="none")
    app.state.server = server = uvicorn.Server(config)
    background = [asyncio.create_task(send_mails(shop.mails), name=f"mailer-{number}") for number in (1, 2)]
    background.append(asyncio.create_task(follow_prices(), name="price-feed"))
    serving = asyncio.create_task(server.serve(), name="uvicorn")
    while not server.started:
        await asyncio.sleep(0.01)
    print(server.servers[0].sockets[0].getsockname()[1], flush=True)
    await serving
    for task in background:
        task.cancel()


asyncio.run(main())
