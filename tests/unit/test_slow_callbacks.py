"""Debug mode's reports of what blocked the loop: they name it so that its author recognises it.

With a limit of zero seconds everything is reported, so nothing here depends on the machine's speed.
"""

import asyncio
import functools
import logging
import math

import pytest
from tests.unit import tls

import ferrio


class Bot:
    def on_message(self, text):
        pass

    async def answer(self):
        pass


class Echo(asyncio.Protocol):
    """Sends back what arrives, and closes."""

    transport = None

    def __repr__(self):
        return "<the Echo>"

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.transport.write(data)
        self.transport.close()


@pytest.fixture
def reports(caplog):
    """Returns a function that runs a coroutine function in debug mode and returns all reports of slow callbacks."""

    def run(aio, main, limit=0):
        async def everything_is_slow():
            asyncio.get_running_loop().slow_callback_duration = limit
            await main()

        with caplog.at_level(logging.WARNING, "asyncio"):
            aio.run(everything_is_slow(), debug=True)
        said = [record.getMessage() for record in caplog.records]
        assert all(text.startswith("Executing ") and text.endswith(" seconds") for text in said), said
        return said

    return run


async def a_turn_later(aio):
    for _ in range(3):
        await aio.sleep(0)


def test_callbacks_and_tasks_are_named(aio, reports):
    async def main():
        loop, bot = aio.get_running_loop(), Bot()
        loop.call_soon(bot.on_message, "hello")
        loop.call_soon(functools.partial(bot.on_message, "partly"))
        await aio.create_task(bot.answer(), name="the answer")
        timer = loop.create_future()
        loop.call_later(0, timer.set_result, None)
        await timer

    said = "\n".join(reports(aio, main))
    for text in (
        r"Executing <Handle Bot.on_message('hello') created at ",
        r"Executing <Handle Bot.on_message('partly')",
        r"Executing <Task finished name='the answer' coro=<Bot.answer() done",
        r"Executing <TimerHandle when=",
    ):
        assert text in said, said
    assert "test_slow_callbacks.py" in said


def test_nothing_is_slow_below_the_limit(aio, reports):
    assert reports(aio, lambda: a_turn_later(aio), limit=math.inf) == []


@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "TLS"])
def test_protocols_are_named_with_their_transport(encrypted, reports):
    server_context, client_context = (tls.server_context(), tls.client_context()) if encrypted else (None, None)

    async def main():
        loop = ferrio.get_running_loop()
        server = await loop.create_server(Echo, "127.0.0.1", 0, ssl=server_context)
        async with server:
            name = "localhost" if encrypted else None
            reader, writer = await ferrio.open_connection(
                *server.sockets[0].getsockname(), ssl=client_context, server_hostname=name
            )
            writer.write(b"hello")
            assert await reader.read() == b"hello"
            writer.close()
            await writer.wait_closed()

    said = reports(ferrio, main)
    assert any(
        text.startswith("Executing <SocketTransport fd=") and " with protocol <the Echo> took " in text for text in said
    )
    # Accepting calls the protocol factory and, without TLS, connection_made.
    assert any(text.startswith("Executing <Server ") for text in said), said
    assert not any(text.startswith("Executing None") for text in said), said
