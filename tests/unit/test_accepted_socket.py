"""The Python socket of a connection that a server accepted: there is one object, and it closes its descriptor once."""

import asyncio
import contextlib
import gc
import os
import socket
import sys
import threading

import pytest


@contextlib.asynccontextmanager
async def accepted(aio):
    """Returns the transport of a newly accepted connection."""
    made = aio.get_running_loop().create_future()

    class Protocol(asyncio.Protocol):
        def connection_made(self, transport):
            made.set_result(transport)

    server = await aio.get_running_loop().create_server(Protocol, "127.0.0.1", 0)
    with socket.create_connection(server.sockets[0].getsockname()):
        transport = await made
        yield transport
        transport.abort()
        for _ in range(3):
            await asyncio.sleep(0)
        server.close()


def next_descriptor():
    """Opens a file with the lowest free number, which would be a descriptor that was closed too early."""
    return open(os.devnull)


def underlying(shown):
    """Returns the socket behind a `TransportSocket`."""
    return shown._sock


def test_socket_asked_for_while_it_is_made(aio):
    """Python code that runs in between (a finalizer, a signal handler) may also ask for it."""

    async def main():
        async with accepted(aio) as transport:
            found = []

            def profile(frame, event, arg):
                if event == "call" and frame.f_code is socket.socket.__init__.__code__ and not found:
                    found.append(None)
                    found[0] = transport.get_extra_info("socket")

            sys.setprofile(profile)
            try:
                found.append(transport.get_extra_info("socket"))
            finally:
                sys.setprofile(None)
            assert len({underlying(shown) for shown in found if shown is not None}) == 1
            del found[:]
            gc.collect()
            stranger = next_descriptor()
        with stranger:
            os.fstat(stranger.fileno())

    aio.run(main())


@pytest.mark.parametrize("line", range(3))
def test_socket_interrupted_while_it_is_made(aio, line):
    """Ctrl-C raises wherever Python code runs."""

    async def main():
        async with accepted(aio) as transport:
            left = line

            def trace(frame, event, arg):
                nonlocal left
                if frame.f_code is not socket.socket.__init__.__code__:
                    return None
                if event == "return" or event == "line":
                    left -= 1
                    if left == -1:
                        raise KeyboardInterrupt
                return trace

            sys.settrace(trace)
            try:
                transport.get_extra_info("socket")
            except KeyboardInterrupt:
                pass
            finally:
                sys.settrace(None)
            gc.collect()
            stranger = next_descriptor()
            # Whatever was begun, the next caller gets a socket that works.
            assert transport.get_extra_info("socket").getsockname() == transport.get_extra_info("sockname")
        with stranger:
            os.fstat(stranger.fileno())

    aio.run(main())


def test_transport_that_ends_while_it_is_made(aio):
    async def main():
        async with accepted(aio) as transport:
            strangers = []

            def profile(frame, event, arg):
                if event == "call" and frame.f_code is socket.socket.__init__.__code__ and not strangers:
                    strangers.append(next_descriptor())
                    transport.abort()

            sys.setprofile(profile)
            try:
                transport.get_extra_info("socket")
            finally:
                sys.setprofile(None)
        for stranger in strangers:
            with stranger:
                os.fstat(stranger.fileno())

    aio.run(main())


def test_several_threads_get_the_same_socket(aio):
    async def main():
        for _ in range(20):
            async with accepted(aio) as transport:
                found = []
                barrier = threading.Barrier(4)

                def ask(transport=transport, found=found, barrier=barrier):
                    barrier.wait()
                    found.append((transport.get_extra_info("socket"), transport.get_extra_info("peername")))

                threads = [threading.Thread(target=ask) for _ in range(4)]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
                assert len({underlying(shown) for shown, _ in found}) == 1
                assert None not in [peer for _, peer in found]

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        aio.run(main())
    finally:
        sys.setswitchinterval(interval)
