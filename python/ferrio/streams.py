"""Streams, under asyncio's module name (`asyncio.streams`): the classes, and the functions that make connections.

The functions run once per connection or server; reading and writing is native.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ferrio import events
from ferrio._ferrio import FlowControlMixin as FlowControlMixin  # for the protocols of child processes
from ferrio._ferrio import StreamReader, StreamReaderProtocol, StreamWriter, _stream_protocol

if TYPE_CHECKING:
    from asyncio import Server

__all__ = (
    "StreamReader",
    "StreamReaderProtocol",
    "StreamWriter",
    "open_connection",
    "open_unix_connection",
    "start_server",
    "start_unix_server",
)

_DEFAULT_LIMIT = 2**16


async def open_connection(
    host: Any = None, port: Any = None, *, limit: int = _DEFAULT_LIMIT, **kwds: Any
) -> tuple[StreamReader, StreamWriter]:
    """Connect to `host` and `port`; return the reader and the writer.

    `limit` is the reader's, in bytes; further keywords are those of `loop.create_connection()`. Raises `OSError` if the
    connection can't be made.
    """
    loop = events.get_running_loop()
    reader = StreamReader(limit=limit, loop=loop)
    protocol = StreamReaderProtocol(reader, loop=loop)
    transport, _ = await loop.create_connection(lambda: protocol, host, port, **kwds)
    return reader, StreamWriter(transport, protocol, reader, loop)


async def start_server(
    client_connected_cb: Callable[[StreamReader, StreamWriter], Any],
    host: Any = None,
    port: Any = None,
    *,
    limit: int = _DEFAULT_LIMIT,
    **kwds: Any,
) -> Server:
    """Listen on `host` and `port`, and call `client_connected_cb(reader, writer)` for each connection; return the
    `Server`.

    A coroutine function runs as a task. `limit` is the readers', in bytes; further keywords are those of
    `loop.create_server()`. Raises `OSError` if the address can't be used.
    """
    loop = events.get_running_loop()
    # A Python function here would cost more per connection than the object that it makes.
    factory = functools.partial(_stream_protocol, limit, client_connected_cb, loop)
    return await loop.create_server(factory, host, port, **kwds)


async def open_unix_connection(
    path: Any = None, *, limit: int = _DEFAULT_LIMIT, **kwds: Any
) -> tuple[StreamReader, StreamWriter]:
    """Connect to the Unix socket `path`; return the reader and the writer.

    `limit` is the reader's, in bytes; further keywords are those of `loop.create_unix_connection()`. Raises `OSError`
    if the connection can't be made.
    """
    loop = events.get_running_loop()
    reader = StreamReader(limit=limit, loop=loop)
    protocol = StreamReaderProtocol(reader, loop=loop)
    transport, _ = await loop.create_unix_connection(lambda: protocol, path, **kwds)
    return reader, StreamWriter(transport, protocol, reader, loop)


async def start_unix_server(
    client_connected_cb: Callable[[StreamReader, StreamWriter], Any],
    path: Any = None,
    *,
    limit: int = _DEFAULT_LIMIT,
    **kwds: Any,
) -> Server:
    """Listen on the Unix socket `path`, and call `client_connected_cb(reader, writer)` for each connection; return the
    `Server`.

    A coroutine function runs as a task. `limit` is the readers', in bytes; further keywords are those of
    `loop.create_unix_server()`. Raises `OSError` if the path can't be used.
    """
    loop = events.get_running_loop()
    factory = functools.partial(_stream_protocol, limit, client_connected_cb, loop)
    return await loop.create_unix_server(factory, path, **kwds)


async def _start_tls(writer: Any, sslcontext: Any, options: dict[str, Any]) -> None:
    """Switch the connection of `writer` to TLS; the body of `StreamWriter.start_tls()`."""
    protocol = writer._protocol
    server_side = protocol._client_connected_cb is not None
    await writer.drain()
    transport = await writer._loop.start_tls(
        writer._transport, protocol, sslcontext, server_side=server_side, **options
    )
    if transport is None:
        raise ConnectionAbortedError("the connection was closed during the TLS handshake")
    writer._transport = transport
    protocol._replace_transport(transport)
