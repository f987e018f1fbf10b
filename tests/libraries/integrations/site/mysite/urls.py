"""The views: one asynchronous, one synchronous (Django runs it in a thread), and one that mixes both."""

import asyncio
import threading

from asgiref.sync import async_to_sync, sync_to_async
from django.http import JsonResponse, StreamingHttpResponse
from django.urls import path


async def where():
    """Returns the package of the running loop, after a turn."""
    await asyncio.sleep(0)
    return type(asyncio.get_running_loop()).__module__.partition(".")[0]


async def asynchronous(request):
    """Awaits, and calls two thread-sensitive functions, which share the one thread for such calls."""
    threads = await asyncio.gather(*(sync_to_async(threading.get_ident)() for _ in range(2)))
    here = threading.get_ident()
    return JsonResponse({"loop": await where(), "one thread": len(set(threads)) == 1, "other": here not in threads})


def synchronous(request):
    """Runs in a thread without a running loop, and calls a coroutine function from there."""
    running = asyncio._get_running_loop() is not None
    return JsonResponse({"loop": async_to_sync(where)(), "running here": running})


async def streamed(request):
    """Sends three parts, with a turn between them."""

    async def parts():
        for number in range(3):
            await asyncio.sleep(0)
            yield f"{number} {await where()}\n"

    return StreamingHttpResponse(parts(), content_type="text/plain")


urlpatterns = [
    path("asynchronous", asynchronous),
    path("synchronous", synchronous),
    path("streamed", streamed),
]
