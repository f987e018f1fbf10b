"""`Server`, the result of `create_server`. Its public name is `ferrio.base_events.Server`; `_serve` makes servers.

The extension module accepts connections; the code here runs once per server.
"""

from __future__ import annotations

import asyncio.base_events
from typing import Any

from ferrio import _ferrio, _slow_end
from ferrio.exceptions import CancelledError


class Server(_ferrio.Server, asyncio.base_events.Server):
    """The result of `create_server`: listening sockets, and the connections accepted from them.

    The extension module accepts connections; the code here runs once per server.
    """

    _serving_forever_fut: Any = None

    async def start_serving(self) -> None:
        """Begin to accept connections; does nothing if the server already does."""
        self._start_serving()
        # Like asyncio, let one turn pass, so that a client that connects in it is served.
        await _ferrio.sleep(0)

    async def serve_forever(self) -> None:
        """Serve until this is cancelled; then close the server and its connections, and wait until they are closed.

        Raises `RuntimeError` if the server is closed, or if this method is already running.
        """
        if self._serving_forever_fut is not None:
            raise RuntimeError(f"server {self!r} is already being awaited on serve_forever()")
        if self._sockets is None:
            raise RuntimeError(f"server {self!r} is closed")
        self._start_serving()
        self._serving_forever_fut = self.get_loop().create_future()
        try:
            await self._serving_forever_fut
        except CancelledError:
            self.close()
            self.close_clients()
            await self.wait_closed()
            raise
        finally:
            self._serving_forever_fut = None

    def close(self) -> None:
        """Close the listening sockets and end `serve_forever()`; connections stay open."""
        super().close()
        forever = self._serving_forever_fut
        if forever is not None and not forever.done():
            forever.cancel()
            self._serving_forever_fut = None

    async def wait_closed(self) -> None:
        """Wait until the server is closed and the last of its connections has ended."""
        waiter = self._waiter_for_end()
        if waiter is None:
            return
        # An open server waits for its end on purpose, and one that closes may let its connections take their time.
        servers = (self,) if self._sockets is None and _slow_end.is_looked_at(self.get_loop()) else ()
        with _slow_end.Reporting(self.get_loop(), "connections", servers, who="Server.wait_closed()"):
            await waiter
