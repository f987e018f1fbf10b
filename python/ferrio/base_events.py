"""The loop's base class and the server, under the names of asyncio's module (`asyncio.base_events`)."""

from asyncio.base_events import BaseEventLoop  # for programs that write their own loop; ferrio's tasks run on it
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    # For type checkers a server is asyncio's, like futures and tasks, because a loop's methods return it.
    from asyncio.base_events import Server
else:
    from ferrio._server import Server

__all__ = ("BaseEventLoop", "Server")
