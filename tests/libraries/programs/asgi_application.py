"""An ASGI application without a framework, for servers that run as commands. Each process reports its loop.

`/pid` returns the process id, `/slow` answers once its client has sent the whole body, anything else is echoed.
"""

import asyncio
import os

from common import report_loop


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        report_loop()
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        if directory := os.environ.get("ENDED_DIRECTORY"):
            # One file for each process that ended properly.
            open(os.path.join(directory, str(os.getpid())), "w").close()
        await send({"type": "lifespan.shutdown.complete"})
    elif scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": message["text"].upper()})
    else:
        body = b""
        more = True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        if scope["path"] == "/pid":
            body = str(os.getpid()).encode()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
        for start in range(0, len(body), 1000):
            await send({"type": "http.response.body", "body": body[start : start + 1000], "more_body": True})
            await asyncio.sleep(0)
        await send({"type": "http.response.body"})
