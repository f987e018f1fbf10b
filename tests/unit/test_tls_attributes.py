"""The private attributes of asyncio's TLS protocol and transport that libraries read: asyncio's values, on both ends.

aiohttp looks at `_sslcontext` and `_sslobj`, uvicorn and hypercorn at `_ssl_protocol`; tools print the rest when a
connection stands still.
"""

import asyncio
import asyncio.sslproto
import collections
import enum

import pytest
from tests.unit import tls

ATTRIBUTES = (
    *("_state", "_app_state", "_server_side", "_server_hostname", "_waiter", "_conn_lost", "_eof_received"),
    *("_ssl_handshake_timeout", "_ssl_shutdown_timeout", "_write_backlog", "_write_buffer_size", "max_size"),
    *("_ssl_writing_paused", "_ssl_reading_paused", "_app_reading_paused", "_app_writing_paused"),
    *("_incoming_high_water", "_incoming_low_water", "_outgoing_high_water", "_outgoing_low_water"),
    *("_app_transport_created", "_app_protocol_is_buffer", "_extra", "_loop", "_transport", "_sslcontext", "_sslobj"),
    *("_incoming", "_outgoing", "_app_protocol", "_app_transport"),
)


def seen(owner):
    """The attributes' values, as far as they can be compared: plain ones, and how many things others hold."""
    values = {name: getattr(owner, name) for name in ATTRIBUTES}
    return {name: shown(value) for name, value in values.items()}


def shown(value):
    if value is None or isinstance(value, (bool, int, float, str, enum.Enum)):
        return value
    return sorted(value) if isinstance(value, dict) else list(value) if isinstance(value, collections.deque) else ...


async def fresh(aio, loop):
    protocol = aio.sslproto.SSLProtocol(
        loop, tls.Recorder(loop), tls.client_context(), loop.create_future(), server_hostname="localhost"
    )
    values = seen(protocol)
    protocol._app_transport.close()
    return values


async def open_and_closed(loop, recorder):
    pair = await tls.connected(loop, recorder, recorder, ssl_handshake_timeout=50)
    ends = [end.transport._ssl_protocol for end in (pair.client, pair.server)]
    stages = [seen(end) for end in ends]
    pair.client.transport.pause_reading()
    pair.client.transport.set_write_buffer_limits(100, 10)
    stages.append(seen(ends[0]))
    pair.client.transport.resume_reading()
    transports = [pair.client.transport, pair.server.transport]
    flags = [transport._closed for transport in transports]
    await tls.closed(pair)
    flags += [transport._closed for transport in transports]
    return [*stages, *(seen(end) for end in ends), flags]


@pytest.mark.parametrize("recorder", [tls.Recorder, tls.BufferedRecorder])
def test_values_are_asyncios(recorder):
    import ferrio

    found = []
    for aio in (asyncio, ferrio):

        async def main(aio=aio):
            loop = aio.get_running_loop()
            return [await fresh(aio, loop), *await open_and_closed(loop, recorder)]

        found.append(aio.run(main()))
    theirs, ours = found
    assert ours == theirs
