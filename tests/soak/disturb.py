"""The soak's hostile and unlucky clients: plain sockets in threads, without any event loop.

    python -m tests.soak.disturb PLAN SERVER_PID

They vanish in the middle of messages and handshakes, keep connections half open, read slowly or never, send nonsense,
kill the server's children, and send it signals. Nothing of theirs stays when the plan says to rest. How often each was
done goes to `disturb-end.json`.
"""

import collections
import json
import os
import random
import signal
import socket
import ssl
import struct
import sys
import threading
import time

from tests.soak import plan as plans

THREADS = 3
HERE = "127.0.0.1"
#: The most time that a disturbance takes.
LONGEST = 1.5
GET = b"GET %s HTTP/1.1\r\nHost: soak\r\n"
UPGRADE = (
    GET + b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: c29hay1zb2FrLXNvYWsxIQ==\r\n\r\n"
)


class Disturber:
    """One thread's disturbances."""

    def __init__(self, plan: plans.Plan, server: int, number: int, counts: collections.Counter):
        self.plan, self.server, self.counts = plan, server, counts
        self.random = random.Random(1000 + number)
        # Nobody checks certificates here.
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.tls.check_hostname = False
        self.tls.verify_mode = ssl.CERT_NONE
        self.all = [getattr(self, name) for name in dir(self) if name.startswith("do_")]
        self.longest = min(LONGEST, (plan.period - plan.rest) / 3)

    def run(self) -> None:
        """Disturbs until the plan is over."""
        while not self.plan.over():
            if not self.plan.working(ahead=self.longest):
                time.sleep(min(self.plan.until_work(), 0.2))
                continue
            action = self.random.choice(self.all)
            try:
                action()
                self.counts[action.__name__[3:]] += 1
            except OSError as error:  # the server may have closed first
                self.counts[f"{action.__name__[3:]}: {type(error).__name__}"] += 1
            time.sleep(self.random.uniform(0, 2 * THREADS * 2 / self.plan.rate))

    # ---- tools

    def connect(self, name: str) -> socket.socket:
        """Connects to a service."""
        if name == "unix":
            connection = socket.socket(socket.AF_UNIX)
            connection.settimeout(1)
            connection.connect(self.plan.unix_path())
            return connection
        return socket.create_connection((HERE, self.plan.ports[name]), timeout=1)

    def leave(self, connection: socket.socket) -> None:
        """Ends a connection: in order, or at once with a reset."""
        if self.random.random() < 0.5 and connection.family == socket.AF_INET:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()

    def some(self) -> bytes:
        """Returns a few bytes of anything."""
        return self.random.randbytes(self.random.randrange(1, 2000))

    def plain_service(self) -> str:
        return self.random.choice(("http", "asgi", "streams", "lines", "protocol", "buffered", "unix"))

    def tls_service(self) -> str:
        return self.random.choice(("https", "tls streams", "tls protocol"))

    def hello(self) -> bytes:
        """Returns what a TLS client sends first."""
        outgoing = ssl.MemoryBIO()
        half = self.tls.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="localhost")
        try:
            half.do_handshake()
        except ssl.SSLWantReadError:
            pass
        return outgoing.read()

    # ---- disturbances

    def do_vanish(self):
        """Ends in the middle of a message."""
        name = self.plain_service()
        connection = self.connect(name)
        whole = b"POST /echo HTTP/1.1\r\nHost: soak\r\nContent-Length: 9000\r\n\r\n" + self.some()
        connection.sendall(whole[: self.random.randrange(len(whole))] if name in ("http", "asgi") else self.some())
        self.leave(connection)

    def do_vanish_in_work(self):
        """Asks for work, and ends before the answer."""
        connection = self.connect("http")
        path = self.random.choice((b"/slow", b"/child", b"/shell", b"/file", b"/others", b"/tasks"))
        method = b"GET" if path == b"/slow" else b"POST"
        connection.sendall(
            method + b" " + path + b" HTTP/1.1\r\nHost: soak\r\nContent-Length: 500\r\n\r\n" + b"x" * 500
        )
        time.sleep(self.random.uniform(0, 0.05))
        self.leave(connection)

    def do_half_open(self):
        """Says that nothing more comes, or says nothing, and stays."""
        connection = self.connect(self.random.choice((self.plain_service(), self.tls_service())))
        if self.random.random() < 0.5:
            connection.sendall(b"GET ")
        if self.random.random() < 0.5:
            connection.shutdown(socket.SHUT_WR)
        time.sleep(self.random.uniform(0, self.longest))
        self.leave(connection)

    def do_many(self):
        """Makes many connections at once and ends them."""
        name = self.random.choice((self.plain_service(), self.tls_service()))
        connections = [self.connect(name) for _ in range(20)]
        for connection in connections:
            self.leave(connection)

    def do_read_slowly(self):
        """Asks for much, reads little of it, and leaves."""
        secure = self.random.random() < 0.5
        connection = self.connect("https" if secure else "http")
        if secure:
            connection = self.tls.wrap_socket(connection)
        path = self.random.choice((b"/give?n=4000000", b"/stream?n=100", b"/download"))
        connection.sendall(GET % path + b"\r\n")
        end = time.monotonic() + self.random.uniform(0, self.longest)
        while time.monotonic() < end:
            connection.recv(1000)
            time.sleep(0.05)
        self.leave(connection)

    def do_never_read(self):
        """Sends to an echo until nothing more fits, reads nothing, and stays."""
        connection = self.connect(self.random.choice(("streams", "protocol", "buffered", "unix")))
        connection.settimeout(0.1)
        try:
            for _ in range(40):
                connection.sendall(bytes(200_000))
        except TimeoutError:
            pass
        time.sleep(self.random.uniform(0, self.longest / 2))
        self.leave(connection)

    def do_cut_handshake(self):
        """Ends within a TLS handshake."""
        connection = self.connect(self.tls_service())
        hello = self.hello()
        kind = self.random.randrange(4)
        if kind == 0:
            connection.sendall(hello[: self.random.randrange(len(hello))])
        elif kind == 1:
            connection.sendall(hello)
        elif kind == 2:
            connection.sendall(hello)
            connection.recv(100)
        else:
            connection.sendall(hello)
            connection.recv(65536)
            connection.sendall(self.some())  # instead of the rest of the handshake
        self.leave(connection)

    def do_nonsense_for_hello(self):
        """Sends something else than TLS to a TLS service, or to STARTTLS."""
        if self.random.random() < 0.5:
            connection = self.connect(self.tls_service())
        else:
            connection = self.connect("lines")
            connection.sendall(b"starttls\n")
            connection.recv(100)
        connection.sendall(self.some())
        self.leave(connection)

    def do_cut_tls(self):
        """Ends an encrypted connection without saying so."""
        connection = self.tls.wrap_socket(self.connect(self.tls_service()))
        connection.sendall(self.some())
        raw = socket.socket(fileno=connection.detach())
        if self.random.random() < 0.5:
            raw.sendall(b"\x17\x03\x03\x00\x20" + self.random.randbytes(self.random.randrange(0x30)))  # a false record
        self.leave(raw)

    def do_cut_websocket(self):
        """Ends within a frame, or sends a frame that isn't allowed."""
        name = self.random.choice(("http", "asgi"))
        connection = self.connect(name)
        connection.sendall(UPGRADE % (b"/websocket" if name == "http" else b"/"))
        connection.recv(1000)
        frame = b"\x82\xfe\x10\x00abcd" + self.some() if self.random.random() < 0.5 else self.some()
        connection.sendall(frame)
        self.leave(connection)

    def do_bad_http(self):
        """Sends what isn't HTTP."""
        connection = self.connect(self.random.choice(("http", "asgi")))
        connection.sendall(
            self.random.choice(
                (self.some(), GET % b"/" + b"x: " + b"y" * 100_000, b"GET / HTTP/9.9\r\n\r\n", b"\r\n" * 50)
            )
        )
        try:
            connection.recv(1000)
        finally:
            self.leave(connection)

    def do_datagrams(self):
        """Sends datagrams, empty and large ones, and doesn't wait for their echoes."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for length in (0, 1, 60_000, self.random.randrange(2000)):
                sender.sendto(bytes(length), (HERE, self.plan.ports["datagrams"]))

    def do_kill_children(self):
        """Kills those of the server's children that pass data on."""
        for child in self.children():
            try:
                with open(f"/proc/{child}/comm") as file:
                    if file.read().strip() in ("cat", "sh"):
                        os.kill(child, signal.SIGKILL)
                        self.counts["children killed"] += 1
            except OSError:  # it has ended
                pass

    def children(self) -> list[int]:
        """Returns the server's children."""
        found = []
        for thread in os.listdir(f"/proc/{self.server}/task"):
            try:
                with open(f"/proc/{self.server}/task/{thread}/children") as file:
                    found += [int(each) for each in file.read().split()]
            except OSError:
                pass
        return found

    def do_signal(self):
        """Sends the server a few signals that it handles."""
        for _ in range(self.random.randrange(1, 10)):
            os.kill(self.server, self.random.choice((signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP, signal.SIGWINCH)))

    def do_stop(self):
        """Stops the server for a moment, as a debugger or a full machine would."""
        os.kill(self.server, signal.SIGSTOP)
        time.sleep(self.random.uniform(0, 0.1))
        os.kill(self.server, signal.SIGCONT)


def main(path: str, server: int) -> int:
    """Disturbs; returns the exit status."""
    plan = plans.load(path)
    counts: collections.Counter = collections.Counter()
    disturbers = [Disturber(plan, server, number, counts) for number in range(THREADS)]
    threads = [threading.Thread(target=each.run) for each in disturbers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with open(f"{plan.folder}/disturb-end.json", "w") as file:
        json.dump({"counts": dict(sorted(counts.items())), "cpu": round(sum(os.times()[:2]), 2)}, file)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2])))
