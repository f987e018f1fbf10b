"""A protocol takes what comes in one piece for a whole message. TCP promises no such thing.

On one machine the pieces are nearly always those that were sent. `Network` cuts them at every byte.
"""

import asyncio

import pytest

from ferrio import testing

MESSAGES = [b"hello", b"how are you?", b"bye"]


class Receiver(asyncio.Protocol):
    """Messages are lines."""

    def __init__(self):
        self.messages = []

    def data_received(self, data):
        for line in data.splitlines():
            self.messages.append(line)


class CorrectReceiver(Receiver):
    def __init__(self):
        super().__init__()
        self.rest = b""

    def data_received(self, data):
        *lines, self.rest = (self.rest + data).split(b"\n")
        self.messages += lines


def received(make, segment):
    """Sends three messages, and returns what has come. The network hands over at most `segment` bytes at a time."""

    async def main():
        receiver = make()
        loop = asyncio.get_running_loop()
        listening = await server.run(loop.create_server(lambda: receiver, "server", 80))
        transport, _ = await loop.create_connection(asyncio.Protocol, "server", 80)
        for message in MESSAGES:
            transport.write(message + b"\n")
            await asyncio.sleep(1)
        transport.close()
        await asyncio.sleep(1)
        listening.close()
        return receiver.messages

    with testing.virtual_time(), testing.Network(segment=segment) as net:
        server = net.host("server")
        return asyncio.run(main())


def test_whole_messages_dont_show_it():
    assert received(Receiver, None) == MESSAGES


@pytest.mark.parametrize("segment", [1, 2, 3, 5, "random"])
def test_the_bench_finds_it(segment):
    assert received(Receiver, segment) != MESSAGES


@pytest.mark.parametrize("segment", [1, 2, 3, 5, "random", None])
def test_keeping_the_rest_is_correct(segment):
    assert received(CorrectReceiver, segment) == MESSAGES
