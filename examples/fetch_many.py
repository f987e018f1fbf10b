"""Many pages fetched at once with aiohttp, from a local server that also uses aiohttp.

Shows that libraries written for asyncio run as they are: aiohttp imports `asyncio`, and `python -m ferrio` or
`ferrio.run` runs it on ferrio's loop. It needs aiohttp: `pip install aiohttp`.
"""

from aiohttp import ClientSession, TCPConnector, web

import ferrio as asyncio


class Shop:
    """A server of prices that counts how many requests it has at the same time."""

    def __init__(self):
        self.busy = self.busiest = 0

    async def price(self, request):
        self.busy += 1
        self.busiest = max(self.busiest, self.busy)
        await asyncio.sleep(0.5)  # the price is somewhere else
        self.busy -= 1
        number = int(request.match_info["number"])
        return web.json_response({"number": number, "price": 10 * number})

    async def open(self):
        """Listen on a free port; return what closes the shop, and its address."""
        application = web.Application()
        application.router.add_get("/price/{number}", self.price)
        runner = web.AppRunner(application)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0]
        return runner, f"http://{host}:{port}"


async def fetch(session, address):
    async with session.get(address) as response:
        return (await response.json())["price"]


async def main():
    shop = Shop()
    runner, address = await shop.open()
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with ClientSession(connector=TCPConnector(limit=20)) as session:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(fetch(session, f"{address}/price/{number}")) for number in range(40)]
    print(f"{len(tasks)} prices, {sum(task.result() for task in tasks)} together")
    print(f"at most {shop.busiest} at once, in {loop.time() - began:.1f} s")
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(main())
