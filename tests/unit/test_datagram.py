"""The transport of a datagram socket: sending, receiving, errors, flow control, closing."""

import asyncio
import contextvars
import errno
import gc
import logging
import os
import socket
import sys
import warnings

import pytest
from tests.unit.connections import refusing_address
from tests.unit.implementations import since

import ferrio


class Recorder(asyncio.DatagramProtocol):
    """Records what it is told."""

    def __init__(self, loop):
        self.calls = []
        self.received = []
        self.errors = []
        self.transport = None
        self.lost = loop.create_future()
        self._waiters = []
        self._loop = loop

    def connection_made(self, transport):
        self.calls.append("made")
        self.transport = transport

    def datagram_received(self, data, addr):
        self.received.append((data, addr))
        self._tell()

    def error_received(self, exc):
        self.errors.append(exc)
        self._tell()

    def pause_writing(self):
        self.calls.append("pause")

    def resume_writing(self):
        self.calls.append("resume")

    def connection_lost(self, exc):
        self.calls.append(("lost", exc))
        self.lost.set_result(exc)

    def _tell(self):
        for condition, waiter in self._waiters:
            if condition() and not waiter.done():
                waiter.set_result(None)

    async def until(self, condition):
        """Waits until the condition holds after something arrived."""
        if not condition():
            waiter = self._loop.create_future()
            self._waiters.append((condition, waiter))
            await waiter


LOCAL = ("127.0.0.1", 0)


@pytest.fixture
def endpoint(loop):
    """Returns a function that makes an endpoint; all endpoints are closed after the test."""
    made = []

    async def make(protocol=None, **keywords):
        factory = (lambda: Recorder(loop)) if protocol is None else lambda: protocol
        transport, protocol = await loop.create_datagram_endpoint(factory, **keywords)
        made.append((transport, protocol))
        return transport, protocol

    yield make
    for transport, protocol in made:
        # Not closed at its end: asyncio's own transports forget their loop there, and some need it later.
        if not (isinstance(protocol, Recorder) and protocol.lost.done()):
            transport.abort()
    loop.run_until_complete(asyncio.sleep(0) if isinstance(loop, asyncio.SelectorEventLoop) else ferrio.sleep(0))


def name_of(transport):
    return transport.get_extra_info("sockname")


class FullSocket(socket.socket):
    """A datagram socket that takes nothing while `full`."""

    full = True

    def sendto(self, *args):
        if self.full:
            raise BlockingIOError
        return super().sendto(*args)


def test_echo_between_unconnected_endpoints(run, endpoint):
    async def main():
        (ours, us), (theirs, them) = [await endpoint(local_addr=LOCAL) for _ in range(2)]
        ours.sendto(b"question", name_of(theirs))
        await them.until(lambda: them.received)
        assert them.received == [(b"question", name_of(ours))]
        theirs.sendto(b"answer", them.received[0][1])
        await us.until(lambda: us.received)
        assert us.received == [(b"answer", name_of(theirs))]
        assert us.calls == ["made"]
        assert us.transport is ours

    run(main())


@pytest.mark.parametrize("data", [b"bytes", bytearray(b"array"), memoryview(b"view")[1:], b"x" * 60000], ids=type)
def test_every_kind_of_data_reaches_a_connected_peer(run, endpoint, data):
    async def main():
        theirs, them = await endpoint(local_addr=LOCAL)
        ours, _ = await endpoint(remote_addr=name_of(theirs))
        assert ours.get_extra_info("peername") == name_of(theirs)
        ours.sendto(data)
        ours.sendto(data, None)
        ours.sendto(data, name_of(theirs))
        await them.until(lambda: len(them.received) == 3)
        assert them.received == [(bytes(data), name_of(ours))] * 3

    run(main())


@since(3, 13)
def test_datagram_may_be_empty(run, endpoint):
    async def main():
        theirs, them = await endpoint(local_addr=LOCAL)
        ours, _ = await endpoint(local_addr=LOCAL)
        ours.sendto(b"", name_of(theirs))
        await them.until(lambda: them.received)
        assert them.received == [(b"", name_of(ours))]

    run(main())


def test_datagrams_of_many_senders_keep_addresses_and_order(run, endpoint):
    async def main():
        theirs, them = await endpoint(local_addr=LOCAL)
        theirs.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        senders = [(await endpoint(remote_addr=name_of(theirs)))[0] for _ in range(5)]
        expected = {name_of(sender): [] for sender in senders}
        for number in range(20):
            for sender in senders:
                data = b"%d" % number
                sender.sendto(data)
                expected[name_of(sender)].append(data)
        await them.until(lambda: len(them.received) == 100)
        got = {address: [] for address in expected}
        for data, address in them.received:
            got[address].append(data)
        assert got == expected

    run(main())


def test_ipv6_addresses_have_four_parts(run, endpoint):
    async def main():
        (ours, us), (theirs, them) = [await endpoint(local_addr=("::1", 0)) for _ in range(2)]
        host, port, flow, scope = name_of(theirs)
        assert (host, flow, scope) == ("::1", 0, 0)
        for address in [(host, port), (host, port, 0), (host, port, 0, 0)]:
            ours.sendto(b"six", address)
        await them.until(lambda: len(them.received) == 3)
        assert them.received == [(b"six", name_of(ours))] * 3
        theirs.sendto(b"back", them.received[0][1])
        await us.until(lambda: us.received)
        assert us.received == [(b"back", name_of(theirs))]

    run(main())


@pytest.mark.parametrize("name", ["path", b"\0ferrio-datagram-test"], ids=["path", "abstract"])
def test_unix_addresses(run, endpoint, tmp_path, name, aio):
    if name == "path":
        name = str(tmp_path / "socket")
    elif isinstance(name, bytes):
        name += b"-%d-" % os.getpid() + aio.__name__.encode()

    async def main():
        server = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        server.bind(name)
        _, them = await endpoint(sock=server)
        ours, us = await endpoint(family=socket.AF_UNIX)
        ours.sendto(b"from nobody", name)
        await them.until(lambda: them.received)
        assert them.received == [(b"from nobody", None)]
        bound = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        bound.bind(str(tmp_path / "other é"))
        other, others = await endpoint(sock=bound)
        other.sendto(b"named", name)
        await them.until(lambda: len(them.received) == 2)
        assert them.received[1] == (b"named", str(tmp_path / "other é"))
        them.transport.sendto(b"reply", them.received[1][1])
        await others.until(lambda: others.received)
        assert others.received == [(b"reply", name)]
        assert us.errors == []

    run(main())


def test_system_looks_up_names(run, endpoint):
    async def main():
        theirs, them = await endpoint(local_addr=LOCAL)
        ours, _ = await endpoint(local_addr=LOCAL)
        ours.sendto(b"by name", ("localhost", name_of(theirs)[1]))
        await them.until(lambda: them.received)
        assert them.received == [(b"by name", name_of(ours))]

    run(main())


def test_refused_datagram_is_an_error_received(run, endpoint):
    async def main():
        ours, us = await endpoint(remote_addr=refusing_address())
        ours.sendto(b"anybody?")
        await us.until(lambda: us.errors)
        assert [type(error) for error in us.errors] == [ConnectionRefusedError]
        assert not ours.is_closing()

    run(main())


def test_overlong_datagram_is_an_error_received(run, endpoint):
    async def main():
        theirs, them = await endpoint(local_addr=LOCAL)
        ours, us = await endpoint(local_addr=LOCAL)
        ours.sendto(b"x" * 70000, name_of(theirs))
        assert [error.errno for error in us.errors] == [errno.EMSGSIZE]
        assert us.errors[0].strerror == os.strerror(errno.EMSGSIZE)
        ours.sendto(b"short", name_of(theirs))
        await them.until(lambda: them.received)
        assert [data for data, _ in them.received] == [b"short"]

    run(main())


def test_broadcast_must_be_allowed(run, endpoint):
    async def main():
        plain, us = await endpoint(local_addr=("0.0.0.0", 0))
        plain.sendto(b"all", ("255.255.255.255", 9))
        assert [type(error) for error in us.errors] in ([PermissionError], [OSError])
        allowed, _ = await endpoint(local_addr=("0.0.0.0", 0), allow_broadcast=True)
        assert allowed.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST)

    run(main())


def test_invalid_arguments_are_refused(run, endpoint):
    async def main():
        theirs, _ = await endpoint(local_addr=LOCAL)
        ours, us = await endpoint(remote_addr=name_of(theirs))
        with pytest.raises(TypeError, match="data argument must be a bytes-like object, not 'str'"):
            ours.sendto("text")
        with pytest.raises(ValueError, match=r"Invalid address: must be None or \('127.0.0.1', \d+\)"):
            ours.sendto(b"data", ("127.0.0.1", 1))
        for limits in [(1, 2), (-1, None), (None, -1)]:
            with pytest.raises(ValueError, match=r"high \(.*\) must be >= low \(.*\) must be >= 0"):
                ours.set_write_buffer_limits(*limits)
        assert us.errors == []

    run(main())


@pytest.mark.parametrize("address", [("127.0.0.1", 70000), ("127.0.0.1",), "127.0.0.1", 7, None], ids=repr)
def test_invalid_address_ends_the_transport_unless_the_system_rejects_it(run, endpoint, loop, address):
    reports = []
    loop.set_exception_handler(lambda loop, context: reports.append(context))

    async def main():
        ours, us = await endpoint(local_addr=LOCAL)
        ours.sendto(b"data", address)
        assert len(reports) == 1
        assert reports[0]["message"] == "Fatal write error on datagram transport"
        assert reports[0]["transport"] is ours
        assert reports[0]["protocol"] is us
        failure = await us.lost
        assert failure is reports[0]["exception"]
        assert isinstance(failure, (TypeError, OverflowError))

    run(main())


@since(3, 15)
def test_full_socket_queues_datagrams_and_pauses_the_protocol(run, endpoint):
    async def main():
        theirs, them = await endpoint(local_addr=LOCAL)
        full = FullSocket(socket.AF_INET, socket.SOCK_DGRAM)
        full.bind(LOCAL)
        ours, us = await endpoint(sock=full)
        ours.set_write_buffer_limits(high=30, low=10)
        assert ours.get_write_buffer_limits() == (10, 30)
        changing = bytearray(b"one")
        ours.sendto(changing, name_of(theirs))
        changing[:] = b"two"
        assert ours.get_write_buffer_size() == 3 + 8
        ours.sendto(b"", name_of(theirs))
        assert ours.get_write_buffer_size() == 3 + 8 + 8
        assert us.calls == ["made"]
        ours.sendto(b"three", name_of(theirs))
        assert us.calls == ["made", "pause"]
        ours.close()
        assert ours.is_closing()
        assert "closing" in repr(ours)
        full.full = False
        assert await us.lost is None
        assert us.calls == ["made", "pause", "resume", ("lost", None)]
        await them.until(lambda: len(them.received) == 3)
        assert [data for data, _ in them.received] == [b"one", b"", b"three"]

    run(main())


@since(3, 15)
def test_abort_drops_queued_data(run, endpoint):
    async def main():
        full = FullSocket(socket.AF_INET, socket.SOCK_DGRAM)
        full.bind(LOCAL)
        ours, us = await endpoint(sock=full)
        ours.sendto(b"never sent", LOCAL)
        ours.close()
        ours.abort()
        ours.abort()
        assert ours.get_write_buffer_size() == 0
        assert await us.lost is None
        assert us.calls == ["made", ("lost", None)]
        assert full.fileno() == -1

    run(main())


@since(3, 15)
def test_slow_reader_of_a_unix_socket_gets_everything_in_order(run, endpoint, tmp_path):
    async def main():
        path = str(tmp_path / "socket")
        receiver, them = await endpoint(family=socket.AF_UNIX, local_addr=path)
        sender, _ = await endpoint(family=socket.AF_UNIX, remote_addr=path)
        receiver.pause_reading()
        assert not receiver.is_reading()
        expected = [b"%d" % number + b"." * 1000 for number in range(1000)]
        for data in expected:
            sender.sendto(data)
        assert sender.get_write_buffer_size() > 0
        receiver.resume_reading()
        assert receiver.is_reading()
        await them.until(lambda: len(them.received) == 1000)
        assert [data for data, _ in them.received] == expected
        assert sender.get_write_buffer_size() == 0

    run(main())


def test_sending_after_the_end_is_dropped_with_a_warning(run, endpoint, caplog):
    async def main():
        theirs, _ = await endpoint(local_addr=LOCAL)
        ours, us = await endpoint(remote_addr=name_of(theirs))
        ours.close()
        ours.close()
        for _ in range(7):
            ours.sendto(b"too late")
        await us.lost
        assert ours.get_protocol() is None
        assert "closed" in repr(ours)
        assert [record.getMessage() for record in caplog.records] == ["socket.send() raised exception."] * 3

    with caplog.at_level(logging.WARNING, "asyncio"):
        run(main())


def test_protocol_may_close_and_change_while_it_is_called(run, endpoint):
    async def main():
        theirs, them = await endpoint(local_addr=LOCAL)
        ours, _ = await endpoint(local_addr=LOCAL)
        heir = Recorder(asyncio.get_running_loop())

        class First(Recorder):
            def datagram_received(self, data, addr):
                super().datagram_received(data, addr)
                self.transport.set_protocol(heir)

        first = First(asyncio.get_running_loop())
        first.transport = theirs
        theirs.set_protocol(first)
        assert theirs.get_protocol() is first
        theirs.pause_reading()
        for number in range(4):
            ours.sendto(b"%d" % number, name_of(theirs))
        theirs.resume_reading()
        await heir.until(lambda: len(heir.received) == 3)
        assert [data for data, _ in first.received + heir.received] == [b"0", b"1", b"2", b"3"]
        assert them.received == []

        class Last(Recorder):
            def datagram_received(self, data, addr):
                super().datagram_received(data, addr)
                theirs.close()

        last = Last(asyncio.get_running_loop())
        theirs.set_protocol(last)
        theirs.pause_reading()
        for number in range(4):
            ours.sendto(b"%d" % number, name_of(theirs))
        theirs.resume_reading()
        await last.lost
        assert len(last.received) == 1

    run(main())


def test_exception_of_a_protocol_is_reported_and_the_transport_goes_on(run, endpoint, loop):
    reports = []
    loop.set_exception_handler(lambda loop, context: reports.append(context["exception"]))

    class Clumsy(Recorder):
        def connection_made(self, transport):
            raise RuntimeError("made")

        def datagram_received(self, data, addr):
            super().datagram_received(data, addr)
            raise RuntimeError(data.decode())

        def connection_lost(self, exc):
            super().connection_lost(exc)
            raise RuntimeError("lost")

    async def main():
        theirs, them = await endpoint(Clumsy(loop), local_addr=LOCAL)
        ours, _ = await endpoint(local_addr=LOCAL)
        for text in (b"first", b"second"):
            ours.sendto(text, name_of(theirs))
        await them.until(lambda: len(them.received) == 2)
        theirs.close()
        await them.lost

    run(main())
    assert [str(report) for report in reports] == ["made", "first", "second", "lost"]


def test_exception_of_error_received_is_reported(run, endpoint, loop):
    reports = []
    loop.set_exception_handler(lambda loop, context: reports.append(context["exception"]))

    class Clumsy(Recorder):
        def error_received(self, exc):
            super().error_received(exc)
            raise RuntimeError("error")

    async def main():
        ours, us = await endpoint(Clumsy(loop), remote_addr=refusing_address())
        ours.sendto(b"anybody?")
        await us.until(lambda: us.errors)

    run(main())
    assert [str(report) for report in reports] == ["error"]


def test_extra_info_of_an_endpoint(run, endpoint, aio):
    async def main():
        ours, us = await endpoint(local_addr=LOCAL)
        assert isinstance(ours, asyncio.Transport)
        # asyncio's own class isn't a DatagramTransport on Python 3.11, and ferrio's passes for it.
        assert isinstance(ours, asyncio.DatagramTransport) or sys.version_info < (3, 12)
        assert ours.get_protocol() is us
        assert ours.get_extra_info("peername") is None
        assert ours.get_extra_info("nothing") is None
        assert ours.get_extra_info("nothing", 7) == 7
        sock = ours.get_extra_info("socket")
        assert sock.getsockname() == name_of(ours)
        assert sock is ours.get_extra_info("socket")
        assert f"fd={sock.fileno()}" in repr(ours)
        assert "read=polling write=<idle, bufsize=0>" in repr(ours)
        assert ours.get_write_buffer_limits() == (16384, 65536)
        ours.close()
        await us.lost
        assert isinstance(name_of(ours), tuple)
        assert ours.get_extra_info("socket") is sock

    run(main())


def test_callbacks_run_in_the_creators_context(run, endpoint, loop):
    variable = contextvars.ContextVar("variable", default="outside")
    seen = []

    class Looking(Recorder):
        def connection_made(self, transport):
            seen.append(variable.get())
            super().connection_made(transport)

        def datagram_received(self, data, addr):
            seen.append(variable.get())
            super().datagram_received(data, addr)

        def connection_lost(self, exc):
            seen.append(variable.get())
            super().connection_lost(exc)

    async def main():
        variable.set("inside")
        theirs, them = await endpoint(Looking(loop), local_addr=LOCAL)
        variable.set("later")
        theirs.sendto(b"to myself", name_of(theirs))
        await them.until(lambda: them.received)
        theirs.close()
        await them.lost

    run(main())
    # What asyncio calls from `close()` runs in the context of the caller of `close()`.
    assert seen[:2] == ["inside", "inside"]


def test_unclosed_endpoint_warns(aio):
    loop = aio.new_event_loop()
    transport, protocol = loop.run_until_complete(
        loop.create_datagram_endpoint(lambda: Recorder(loop), local_addr=LOCAL)
    )
    sock = transport.get_extra_info("socket")
    look = repr(transport)
    loop.close()
    protocol.transport = None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        del transport
        gc.collect()
    unclosed = [warning for warning in caught if "unclosed transport" in str(warning.message)]
    assert [warning.category for warning in unclosed] == [ResourceWarning]
    assert look.split()[0] in str(unclosed[0].message)
    assert sock.fileno() == -1


def test_descriptor_in_use_is_refused_to_others(run, endpoint, loop):
    async def main():
        ours, us = await endpoint(local_addr=LOCAL)
        sock = ours.get_extra_info("socket")
        with pytest.raises(RuntimeError, match="is used by transport"):
            loop.add_reader(sock.fileno(), print)
        ours.pause_reading()
        with pytest.raises(RuntimeError, match="is used by transport"):
            loop.add_writer(sock.fileno(), print)
        ours.abort()
        await us.lost

    run(main())


def test_numeric_hosts_are_formatted_as_by_the_c_library(run, endpoint):
    async def main():
        (ours, _), (theirs, them) = [await endpoint(local_addr=("::", 0)) for _ in range(2)]
        port = name_of(theirs)[1]
        for host in ("::1", "::ffff:127.0.0.1"):
            ours.sendto(host.encode(), (host, port))
        await them.until(lambda: len(them.received) == 2)
        for data, address in them.received:
            assert (
                address[0]
                == data.decode()
                == socket.inet_ntop(socket.AF_INET6, socket.inet_pton(socket.AF_INET6, address[0]))
            )

    run(main())
