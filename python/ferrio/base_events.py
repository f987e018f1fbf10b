"""The loop's base and the server under the names of asyncio's module (`asyncio.base_events`)."""

from asyncio.base_events import BaseEventLoop  # a base for loops of a program's own, on which ferrio's tasks run
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    # For type checkers a server is asyncio's, as futures and tasks are: a loop's methods return it.
    from asyncio.base_events import Server
else:
    from ferrio._server import Server

__all__ = ("BaseEventLoop", "Server")
