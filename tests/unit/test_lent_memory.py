"""Memory that TLS lends to `ssl`'s functions: whoever keeps a view of it can neither read nor change what isn't his.

OpenSSL's message callback runs Python code while the view exists, and finds it in `gc.get_objects()`.
"""

import gc
import subprocess
import sys
import textwrap

import pytest
from tests.unit import tls


@pytest.fixture(autouse=True)
def few_objects():
    """Keeps what other tests left out of `gc.get_objects()`, which is searched for each TLS record."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


def keep_views(context, kept):
    """Has the context's message callback keep slices of all views that it finds, with what they show."""

    def spy(connection, direction, version, content_type, message_type, data):
        for found in gc.get_objects():
            if type(found) is memoryview and len(kept) < 50:
                kept.append((found[:], bytes(found[:32])))

    context._msg_callback = spy


async def echo(aio, client, count=10, size=100_000):
    """Sends as many messages to and fro, each of one letter; returns what came back."""

    async def serve(reader, writer):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()

    server = await aio.start_server(serve, "127.0.0.1", 0, ssl=tls.server_context())
    address = server.sockets[0].getsockname()
    reader, writer = await aio.open_connection(*address, ssl=client, server_hostname="localhost")
    received = []
    for number in range(count):
        writer.write(bytes([number]) * size)
        received.append(await reader.readexactly(size))
    writer.close()
    await writer.wait_closed()
    server.close()
    return received


def test_what_a_kept_view_shows_stays(aio):
    kept = []
    client = tls.client_context()
    keep_views(client, kept)
    aio.run(echo(aio, client))
    gc.collect()
    others = [bytes([0xEE]) * 100_000 for _ in range(100)]
    read_only = [(view, before) for view, before in kept if view.readonly]
    assert all(bytes(view[:32]) == before for view, before in read_only)
    del others


def test_writing_to_a_kept_view_changes_nobodys_bytes(aio):
    kept = []
    client = tls.client_context()
    keep_views(client, kept)
    received = aio.run(echo(aio, client))
    for view, _ in kept:
        if not view.readonly and len(view):
            view[:1] = b"!"
    assert received == [bytes([number]) * 100_000 for number in range(10)]


def test_a_memory_bio_of_the_programs_own_may_keep_what_it_gets(tmp_path):
    program = textwrap.dedent(
        """
        import pickle, ssl, sys

        native, kept = ssl.MemoryBIO, []

        class MemoryBIO:
            def __init__(self):
                self.native = native()

            def write(self, data):
                kept.append((pickle.PickleBuffer(data), bytes(memoryview(data)[:32])))
                return self.native.write(data)

            def __getattr__(self, name):
                return getattr(self.native, name)

        wrap_bio = ssl.SSLContext.wrap_bio

        def unwrapping(context, incoming, outgoing, **keywords):
            return wrap_bio(context, incoming.native, outgoing.native, **keywords)

        ssl.SSLContext.wrap_bio = unwrapping
        ssl.MemoryBIO = MemoryBIO
        import ferrio
        from tests.unit import test_lent_memory, tls

        ferrio.run(test_lent_memory.echo(ferrio, tls.client_context()))
        others = [bytes([0xEE]) * 100_000 for _ in range(100)]
        assert kept
        print(all(bytes(memoryview(buffer)[:32]) == before for buffer, before in kept))
        """
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert ended.stdout == "True\n", ended.stderr
