"""An aiohttp application that answers like `app.py`, for gunicorn with aiohttp's worker."""

import asyncio

import aiohttp.web


async def where(request):
    """Answers with the package of the loop and the module of `asyncio.Task`."""
    slept = await asyncio.sleep(0.001, "slept")
    loop = type(asyncio.get_running_loop()).__module__.partition(".")[0]
    return aiohttp.web.json_response({"loop": loop, "names": asyncio.Task.__module__, "slept": slept})


application = aiohttp.web.Application()
application.router.add_get("/", where)
