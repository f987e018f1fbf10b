"""An aiohttp application that answers as `app.py` does, for gunicorn with aiohttp's worker."""

import asyncio

import aiohttp.web


async def where(request):
    """Which package the loop is of, and whose `asyncio.Task` it is."""
    slept = await asyncio.sleep(0.001, "slept")
    loop = type(asyncio.get_running_loop()).__module__.partition(".")[0]
    return aiohttp.web.json_response({"loop": loop, "names": asyncio.Task.__module__, "slept": slept})


application = aiohttp.web.Application()
application.router.add_get("/", where)
