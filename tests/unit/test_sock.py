"""The `sock_*` methods: operations on the program's own non-blocking sockets."""

import array
import asyncio
import io
import os
import socket
import ssl
import threading
import weakref

import pytest
from tests.unit.connections import pair_with_number, refusing_address
from tests.unit.implementations import parked

import ferrio


@pytest.fixture
def listener():
    """A listening, non-blocking TCP socket on this machine."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        yield listener


@pytest.fixture
def datagrams():
    """Two bound, non-blocking UDP sockets."""
    sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
        each.setblocking(False)
    with sockets[0], sockets[1]:
        yield sockets


def fill(sock):
    """Sends until nothing more fits; returns how much did."""
    sent = 0
    try:
        while True:
            sent += sock.send(bytes(65536))
    except BlockingIOError:
        return sent


def test_receive_present_data_later_data_and_the_end(loop, run, pair):
    ours, theirs = pair

    async def main():
        theirs.send(b"abc")
        assert await loop.sock_recv(ours, 2) == b"ab"
        assert await loop.sock_recv(ours, 99) == b"c"
        waiting = loop.create_task(loop.sock_recv(ours, 99))
        await parked(waiting)
        theirs.send(b"later")
        assert await waiting == b"later"
        assert await loop.sock_recv(ours, 0) == b""
        waiting = loop.create_task(loop.sock_recv(ours, 99))
        await parked(waiting)
        theirs.close()
        assert await waiting == b""

    run(main())


def test_receive_a_negative_number_of_bytes(loop, run, pair):
    with pytest.raises(ValueError, match="negative buffersize"):
        run(loop.sock_recv(pair[0], -1))


def test_receive_more_than_fits_in_one_go(run, pair):
    loop = ferrio.new_event_loop()
    ours, theirs = pair
    data = os.urandom(3_000_000)

    async def main():
        sending = loop.create_task(loop.sock_sendall(theirs, data))
        received = bytearray()
        while len(received) < len(data):
            received += await loop.sock_recv(ours, 2_000_000)
        await sending
        assert received == data

    loop.run_until_complete(main())
    loop.close()


@pytest.mark.parametrize(
    "make", [bytearray, lambda size: memoryview(bytearray(size)), lambda size: array.array("B", bytes(size))]
)
def test_receive_into(loop, run, pair, make):
    ours, theirs = pair

    async def main():
        buffer = make(4)
        theirs.send(b"abcdef")
        assert await loop.sock_recv_into(ours, buffer) == 4
        assert bytes(buffer) == b"abcd"
        assert await loop.sock_recv_into(ours, buffer) == 2
        assert bytes(buffer) == b"efcd"
        waiting = loop.create_task(loop.sock_recv_into(ours, buffer))
        await parked(waiting)
        theirs.send(b"z")
        assert await waiting == 1
        assert bytes(buffer) == b"zfcd"

    run(main())


def test_receive_into_an_immutable_buffer(loop, run, pair):
    with pytest.raises(TypeError):
        run(loop.sock_recv_into(pair[0], b"abc"))


@pytest.mark.parametrize(
    "wrap",
    [bytes, bytearray, memoryview, lambda data: array.array("B", data)],
    ids=["bytes", "bytearray", "memoryview", "array"],
)
@pytest.mark.parametrize("size", [0, 1, 5_000_000])
def test_send_all(loop, run, pair, wrap, size):
    ours, theirs = pair
    data = os.urandom(size)

    async def main():
        sending = loop.create_task(loop.sock_sendall(ours, wrap(data)))
        received = bytearray()
        while len(received) < size:
            received += await loop.sock_recv(theirs, 65536)
        assert await sending is None
        assert received == data

    run(main())


def test_send_refuses_what_is_not_bytes(loop, run, pair):
    with pytest.raises(TypeError):
        run(loop.sock_sendall(pair[0], "text"))


def test_send_to_a_peer_that_left(loop, run, pair):
    ours, theirs = pair

    async def main():
        sending = loop.create_task(loop.sock_sendall(ours, bytes(10_000_000)))
        await parked(sending)
        theirs.close()
        with pytest.raises(ConnectionError):
            await sending

    run(main())


def test_buffer_of_a_waiting_send_cannot_be_resized():
    loop = ferrio.new_event_loop()
    ours, theirs = socket.socketpair()
    ours.setblocking(False)

    async def main():
        fill(ours)
        data = bytearray(b"x")
        sending = loop.create_task(loop.sock_sendall(ours, data))
        await parked(sending)
        with pytest.raises(BufferError):
            data.append(1)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        data.append(1)

    with ours, theirs:
        loop.run_until_complete(main())
    loop.close()


def test_datagrams(loop, run, datagrams):
    first, second = datagrams

    async def main():
        assert await loop.sock_sendto(first, b"hello", second.getsockname()) == 5
        assert await loop.sock_recvfrom(second, 99) == (b"hello", first.getsockname())
        waiting = loop.create_task(loop.sock_recvfrom(second, 3))
        await parked(waiting)
        await loop.sock_sendto(first, b"cut off", second.getsockname())
        assert await waiting == (b"cut", first.getsockname())
        buffer = bytearray(4)
        await loop.sock_sendto(first, b"into", second.getsockname())
        assert await loop.sock_recvfrom_into(second, buffer) == (4, first.getsockname())
        assert buffer == b"into"
        await loop.sock_sendto(first, b"two", second.getsockname())
        assert await loop.sock_recvfrom_into(second, buffer, 2) == (2, first.getsockname())
        assert buffer == b"twto"
        await loop.sock_sendto(first, b"", second.getsockname())
        assert await loop.sock_recvfrom(second, 99) == (b"", first.getsockname())

    run(main())


def test_accept_and_connect(loop, run, listener):
    async def main():
        accepting = loop.create_task(loop.sock_accept(listener))
        await parked(accepting)
        with socket.socket() as client:
            client.setblocking(False)
            assert await loop.sock_connect(client, listener.getsockname()) is None
            served, address = await accepting
            with served:
                assert served.gettimeout() == 0
                assert address == client.getsockname()
                await loop.sock_sendall(served, b"welcome")
                assert await loop.sock_recv(client, 99) == b"welcome"

    run(main())


def test_connect_to_a_name(loop, run, listener, monkeypatch):
    asked = []

    def look_up(host, port, *rest):
        asked.append((host, threading.current_thread() is threading.main_thread()))
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", listener.getsockname())]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)

    async def main():
        with socket.socket() as client:
            client.setblocking(False)
            await loop.sock_connect(client, ("server.example", 80))
            assert client.getpeername() == listener.getsockname()
        await loop.shutdown_default_executor()

    run(main())
    assert asked == [("server.example", False)]


def test_connection_refused(loop, run):
    address = refusing_address()
    with socket.socket() as client:
        client.setblocking(False)
        with pytest.raises(ConnectionRefusedError, match="Connect call failed") as caught:
            run(loop.sock_connect(client, address))
    assert str(address) in str(caught.value)


def test_connect_over_a_unix_socket(loop, run, tmp_path):
    path = str(tmp_path / "socket")

    async def main():
        with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
            server.bind(path)
            server.listen()
            server.setblocking(False)
            client.setblocking(False)
            await loop.sock_connect(client, path)
            served, _ = await loop.sock_accept(server)
            with served:
                await loop.sock_sendall(client, b"x")
                assert await loop.sock_recv(served, 9) == b"x"

    run(main())


def test_connect_to_a_unix_listener_without_room_says_so(tmp_path):
    # asyncio takes this for a connection, and the first use of the socket fails.
    loop = ferrio.new_event_loop()
    path = str(tmp_path / "socket")

    async def main():
        clients = [socket.socket(socket.AF_UNIX) for _ in range(5)]
        try:
            with socket.socket(socket.AF_UNIX) as server:
                server.bind(path)
                server.listen(0)
                with pytest.raises(BlockingIOError):
                    for client in clients:
                        client.setblocking(False)
                        await loop.sock_connect(client, path)
        finally:
            for client in clients:
                client.close()

    loop.run_until_complete(main())
    loop.close()


OPERATIONS = {
    "sock_recv": lambda loop, sock: loop.sock_recv(sock, 9),
    "sock_recv_into": lambda loop, sock: loop.sock_recv_into(sock, bytearray(9)),
    "sock_recvfrom": lambda loop, sock: loop.sock_recvfrom(sock, 9),
    "sock_recvfrom_into": lambda loop, sock: loop.sock_recvfrom_into(sock, bytearray(9)),
    "sock_sendall": lambda loop, sock: loop.sock_sendall(sock, b"x"),
    "sock_sendto": lambda loop, sock: loop.sock_sendto(sock, b"x", ("127.0.0.1", 9)),
    "sock_accept": lambda loop, sock: loop.sock_accept(sock),
    "sock_connect": lambda loop, sock: loop.sock_connect(sock, ("127.0.0.1", 9)),
    "sock_sendfile": lambda loop, sock: loop.sock_sendfile(sock, io.BytesIO(b"x")),
}
every_operation = pytest.mark.parametrize("call", OPERATIONS.values(), ids=OPERATIONS.keys())


@every_operation
def test_debug_mode_refuses_a_blocking_socket(loop, run, call):
    loop.set_debug(True)
    with socket.socket() as blocking, pytest.raises(ValueError, match="must be non-blocking"):
        run(call(loop, blocking))


@every_operation
def test_tls_socket_is_refused(loop, run, call, pair):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    ours, _ = pair
    with context.wrap_socket(ours, server_hostname="x", do_handshake_on_connect=False) as wrapped:
        with pytest.raises(TypeError, match="SSLSocket"):
            run(call(loop, wrapped))


@pytest.mark.parametrize("call", [call for name, call in OPERATIONS.items() if name != "sock_sendfile"])
def test_closed_socket(loop, run, call):
    closed = socket.socket()
    closed.setblocking(False)
    closed.close()
    with pytest.raises(OSError) as caught:
        run(call(loop, closed))
    assert caught.value.errno == 9


def test_cancelled_operation_leaves_the_descriptor_alone(loop, run, pair):
    ours, theirs = pair

    async def main():
        for _ in range(3):
            receiving = loop.create_task(loop.sock_recv(ours, 9))
            await parked(receiving)
            receiving.cancel()
            with pytest.raises(asyncio.CancelledError):
                await receiving
        theirs.send(b"x")
        await asyncio.sleep(0.01)  # an operation that was left behind would take the byte now
        assert await loop.sock_recv(ours, 9) == b"x"
        fill(ours)
        sending = loop.create_task(loop.sock_sendall(ours, b"x"))
        await parked(sending)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        assert loop.remove_writer(ours) is False

    run(main())


def test_cancellation_after_the_data_came_loses_none():
    # asyncio has already taken the data from the socket by then, and drops it.
    loop = ferrio.new_event_loop()
    ours, theirs = socket.socketpair()
    ours.setblocking(False)

    async def main():
        receiving = loop.create_task(loop.sock_recv(ours, 9))
        await parked(receiving)
        loop.add_reader(ours, lambda: receiving.cancel() or loop.remove_reader(ours))
        theirs.send(b"x")
        with pytest.raises(asyncio.CancelledError):
            await receiving
        assert await loop.sock_recv(ours, 9) == b"x"

    with ours, theirs:
        loop.run_until_complete(main())
    loop.close()


def test_several_receivers_of_one_socket_are_all_served():
    # With asyncio the last one takes the descriptor from the others, which then wait for ever.
    loop = ferrio.new_event_loop()
    ours, theirs = socket.socketpair()
    ours.setblocking(False)

    async def main():
        waiting = [loop.create_task(loop.sock_recv(ours, 1)) for _ in range(5)]
        await parked(waiting[-1])
        theirs.send(b"abcde")
        assert sorted(await asyncio.gather(*waiting)) == [b"a", b"b", b"c", b"d", b"e"]

    with ours, theirs:
        loop.run_until_complete(main())
    loop.close()


def test_both_directions_wait_at_once(loop, run, pair):
    ours, theirs = pair

    async def main():
        sent = fill(ours)
        sending = loop.create_task(loop.sock_sendall(ours, b"last"))
        receiving = loop.create_task(loop.sock_recv(ours, 9))
        await parked(sending)
        await parked(receiving)
        theirs.send(b"x")
        assert await receiving == b"x"
        await parked(sending)
        received = b""
        while len(received) < sent + 4:
            received += await loop.sock_recv(theirs, 1 << 20)
        await sending
        assert received.endswith(b"last")

    run(main())


def test_operation_on_a_closed_socket_fails_when_its_number_is_reused():
    loop = ferrio.new_event_loop()

    async def main():
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        number = ours.fileno()
        stale = loop.create_task(loop.sock_recv(ours, 9))
        await parked(stale)
        ours.close()
        theirs.close()
        again, peer = pair_with_number(number)
        again.setblocking(False)
        with again, peer:
            receiving = loop.create_task(loop.sock_recv(again, 9))
            await parked(receiving)
            peer.send(b"x")
            assert await receiving == b"x", "the stale operation must not take the data"
            with pytest.raises(OSError):
                await stale

    loop.run_until_complete(main())
    loop.close()


def test_operation_never_awaited_warns_and_does_nothing(loop, pair):
    ours, theirs = pair
    theirs.send(b"x")
    with pytest.warns(RuntimeWarning, match="sock_recv.*never awaited"):
        loop.sock_recv(ours, 9)
    assert ours.recv(9) == b"x"


def test_operations_work_in_a_standard_task():
    loop = ferrio.new_event_loop()
    ours, theirs = socket.socketpair()
    ours.setblocking(False)

    async def main():
        receiving = asyncio.Task(receive(), loop=loop)
        await parked(receiving)
        theirs.send(b"x")
        assert await receiving == b"x"
        receiving = asyncio.Task(receive(), loop=loop)
        await parked(receiving)
        receiving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await receiving

    async def receive():
        return await loop.sock_recv(ours, 9)

    with ours, theirs:
        loop.run_until_complete(main())
    loop.close()


def test_waiting_operations_are_collected_with_their_loop(aio, pair, collected):
    class Witness:
        pass

    def build():
        loop = aio.new_event_loop()
        witness = Witness()

        async def receive(witness):
            await loop.sock_recv(pair[0], 9)

        task = loop.create_task(receive(witness))
        loop.run_until_complete(parked(task))
        task._log_destroy_pending = False
        loop.close()
        return weakref.ref(witness)

    gone = build()
    collected()
    assert gone() is None
