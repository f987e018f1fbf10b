"""An ASGI application that reports where it runs: the package of its loop, and the module of `asyncio.Task`."""

import asyncio
import json


async def app(scope, receive, send):
    """Serves one scope."""
    if scope["type"] == "lifespan":
        while (await receive())["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    async with asyncio.TaskGroup() as group:
        slept = group.create_task(asyncio.sleep(0.001, "slept"))
    loop = type(asyncio.get_running_loop()).__module__.partition(".")[0]
    answer = {"loop": loop, "names": asyncio.Task.__module__, "slept": slept.result()}
    body = json.dumps(answer).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
