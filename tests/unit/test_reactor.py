"""How a loop waits: `FERRIO_REACTOR` names a way, and where a sandbox forbids the best one, another serves."""

import errno
import platform

import pytest
from tests.unit.programs import run_program

import ferrio

#: Uses all that waits for descriptors, and shows which kinds of descriptors the loop itself has.
EVERYTHING = """
    import os, resource, signal, socket, sys, ferrio

    def own_kinds():
        kinds = set()
        for number in os.listdir("/proc/self/fd"):
            try:
                kinds.add(os.readlink(f"/proc/self/fd/{number}"))
            except FileNotFoundError:
                pass  # that of the folder itself
        return {kind for kind in kinds if kind.startswith("anon_inode")}

    class Echo(ferrio.DatagramProtocol):
        def connection_made(self, transport):
            self.transport = transport
        def datagram_received(self, data, address):
            self.transport.sendto(data, address)

    class Answer(ferrio.DatagramProtocol):
        def __init__(self):
            self.came = ferrio.get_running_loop().create_future()
        def datagram_received(self, data, address):
            self.came.set_result(data)

    async def serve(reader, writer):
        while line := await reader.readline():
            writer.write(line.upper())
        writer.close()

    async def connections(count):
        server = await ferrio.start_server(serve, "127.0.0.1", 0, backlog=count)
        port = server.sockets[0].getsockname()[1]
        clients = []
        while len(clients) < count:
            more = min(250, count - len(clients))
            clients += await ferrio.gather(*(ferrio.open_connection("127.0.0.1", port) for _ in range(more)))
        for reader, writer in clients:
            writer.write(b"hello\\n")
        assert {await reader.readline() for reader, writer in clients} == {b"HELLO\\n"}
        # The others are idle now.
        for reader, writer in clients[:: count // 5]:
            writer.write(b"again\\n")
            assert await reader.readline() == b"AGAIN\\n"
        for reader, writer in clients:
            writer.close()
        for reader, writer in clients:
            assert await reader.read() == b""
        server.close()
        await server.wait_closed()

    async def datagrams():
        loop = ferrio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(Echo, ("127.0.0.1", 0))
        address = transport.get_extra_info("sockname")
        client, answer = await loop.create_datagram_endpoint(Answer, remote_addr=address)
        client.sendto(b"ping")
        assert await answer.came == b"ping"
        client.close()
        transport.close()

    async def children():
        child = await ferrio.create_subprocess_exec("cat", stdin=-1, stdout=-1)
        assert await child.communicate(b"text" * 50_000) == (b"text" * 50_000, None)
        assert await child.wait() == 0
        killed = await ferrio.create_subprocess_exec("sleep", "1000")
        killed.kill()
        assert await killed.wait() == -signal.SIGKILL

    async def watchers():
        loop = ferrio.get_running_loop()
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        readable, writable = ferrio.Queue(), ferrio.Event()
        loop.add_reader(ours, lambda: readable.put_nowait(ours.recv(1)))
        loop.add_writer(ours, writable.set)
        await writable.wait()
        loop.remove_writer(ours)
        theirs.send(b"ab")
        assert await readable.get() + await readable.get() == b"ab"
        loop.remove_reader(ours)
        # A number that was closed without notice and used again: nobody watches the new socket.
        wrong = []
        loop.add_reader(ours, wrong.append, None)
        number = ours.fileno()
        ours.close()
        new, other = socket.socketpair()
        assert new.fileno() == number
        other.send(b"x")
        for _ in range(5):
            await ferrio.sleep(0)
        assert wrong == []
        loop.add_reader(new, lambda: readable.put_nowait(new.recv(1)))
        assert await readable.get() == b"x"
        loop.remove_reader(new)
        for each in (theirs, new, other):
            each.close()

    async def wakes():
        loop, came = ferrio.get_running_loop(), ferrio.Event()
        loop.add_signal_handler(signal.SIGUSR1, came.set)
        os.kill(os.getpid(), signal.SIGUSR1)
        await came.wait()
        assert await ferrio.to_thread(lambda: 7) == 7
        begin = loop.time()
        await ferrio.sleep(0.02)
        assert loop.time() - begin >= 0.02

    async def main():
        print(*sorted(own_kinds()))
        await datagrams()
        await children()
        await watchers()
        await wakes()
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        await connections(min(int(sys.argv[-1]), (hard - 100) // 2))

    ferrio.run(main())
"""
#: Before it: a sandbox that answers to one system call with an error number.
SANDBOX = """
    import ctypes, struct, sys
    number, answer = int(sys.argv[1]), int(sys.argv[2])
    # Load the call's number; if it is the one, return the error; else allow the call.
    program = struct.pack("HBBI" * 4, 0x20, 0, 0, 0, 0x15, 0, 1, number, 6, 0, 0, 0x50000 | answer, 6, 0, 0, 0x7FFF0000)
    buffer = ctypes.create_string_buffer(program)
    pointer = struct.pack("HP", 4, ctypes.addressof(buffer))
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    assert prctl(38, 1, 0, 0, 0) == 0  # PR_SET_NO_NEW_PRIVS
    if prctl(22, 2, ctypes.create_string_buffer(pointer), 0, 0):  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER
        print("no sandbox:", ctypes.get_errno())
        sys.exit()
"""
EPOLL_CREATE1 = {"x86_64": 291, "aarch64": 20}.get(platform.machine())


def test_everything_works_on_poll(monkeypatch):
    monkeypatch.setenv("FERRIO_REACTOR", "poll")
    assert run_program(EVERYTHING, "2000") == "\n", "no descriptor of Linux's own kinds"


def test_everything_works_on_epoll(monkeypatch):
    monkeypatch.setenv("FERRIO_REACTOR", "epoll")
    shown = run_program(EVERYTHING, "10")
    assert shown.split() == ["anon_inode:[eventfd]", "anon_inode:[eventpoll]", "anon_inode:[timerfd]"]


@pytest.mark.skipif(EPOLL_CREATE1 is None, reason="the number of epoll_create1 isn't known for this processor")
@pytest.mark.parametrize(("answer", "debug"), [(errno.EPERM, True), (errno.ENOSYS, False)])
def test_a_sandbox_without_epoll(answer, debug, monkeypatch):
    monkeypatch.delenv("FERRIO_REACTOR", raising=False)
    monkeypatch.setenv("PYTHONASYNCIODEBUG", "1" if debug else "")
    shown = run_program(SANDBOX + EVERYTHING, str(EPOLL_CREATE1), str(answer), "10")
    if shown.startswith("no sandbox"):
        pytest.skip(f"this system doesn't let programs make a sandbox: {shown}")
    said = [line for line in shown.splitlines() if line]
    assert len(said) == debug, "once, although a program's loop runs several times"
    assert all(line.startswith("epoll is forbidden here (Operation not permitted") for line in said)


def test_a_wrong_name_is_told_the_right_ones(monkeypatch):
    monkeypatch.setenv("FERRIO_REACTOR", "kqueue")
    with pytest.raises(ValueError, match='FERRIO_REACTOR is "kqueue"; it may be "epoll" or "poll"'):
        ferrio.new_event_loop()
    monkeypatch.setenv("FERRIO_REACTOR", "")
    ferrio.new_event_loop().close()
