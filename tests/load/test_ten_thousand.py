"""Ten thousand connections open at once on one loop: each gets back what it sent, and none is lost.

The server is its own process (`echo_server.py`), so each side has as many descriptors as it needs. The client uses
plain sockets. It sends everything before it reads anything, so the loop has all connections ready together.
"""

import pathlib
import resource
import socket
import subprocess
import sys

import pytest

CONNECTIONS = 10_000
NEEDED = CONNECTIONS + 100
ADDRESSES = 10
"""The clients' source addresses: a closed connection keeps its port for a minute, and one address has 28,000."""


@pytest.fixture
def descriptors():
    """Raises this process's limit of open files to what the test needs."""
    soft, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most != resource.RLIM_INFINITY and most < NEEDED:
        pytest.skip(f"{CONNECTIONS} connections need {NEEDED} descriptors; the hard limit is {most} (ulimit -Hn)")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, NEEDED) if soft != resource.RLIM_INFINITY else soft, most))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, most))


@pytest.fixture
def serve():
    """Returns a function that starts the server and returns its process and port. Ends any server that is left over."""
    started = []

    def serve(kind):
        script = pathlib.Path(__file__).with_name("echo_server.py")
        command = [sys.executable, str(script), kind]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        started.append(process)
        return process, int(process.stdout.readline())

    yield serve
    for process in started:
        process.kill()
        process.communicate()


def message(number, turn):
    return f"{turn}: message of connection {number:05}".ljust(64, ".").encode()


def receive(sock, length):
    parts = []
    while length:
        part = sock.recv(length)
        assert part, "the server closed a connection"
        parts.append(part)
        length -= len(part)
    return b"".join(parts)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("kind", ["protocol", "streams"])
def test_all_connections_are_open_at_once_and_echoed(descriptors, serve, kind):
    process, port = serve(kind)
    socks = []
    try:
        for number in range(CONNECTIONS):
            source = f"127.0.0.{1 + number % ADDRESSES}"
            socks.append(socket.create_connection(("127.0.0.1", port), 30, source_address=(source, 0)))
        for turn in (1, 2):
            for number, sock in enumerate(socks):
                sock.sendall(message(number, turn))
            for number, sock in enumerate(socks):
                expected = message(number, turn)
                assert receive(sock, len(expected)) == expected
    finally:
        for sock in socks:
            sock.close()
    printed, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "")
    assert printed.split() == [str(CONNECTIONS), "0"]
