"""The rows of the table: which server, which load, and the target of the figure.

Nothing here runs. A cell names a server of `servers.py` (or the program of `echo.c`) and says how many connections send
what. It also has the targets, as ratios of the server process's CPU time per operation.

Invariant: cells of one server are next to each other, so that one process serves them all in a round.
"""

from dataclasses import dataclass

HOST = "127.0.0.1"
KIB = 1024
SIZES = (1 * KIB, 10 * KIB, 100 * KIB)
COUNTS = (1, 50, 500)
# echo.c has the same figures.
BATCH = 100
"""Lines or records that get one answer."""
RECORD = 16
LINE = b"x" * 99 + b"\n"
ANSWER = b"100\n"
REQUEST = 64
"""Bytes of a request of the servers that respond in one or two writes."""
HEADER, BODY = b"h" * 100, b"b" * 900
HELLO = b"Hello, world!"
HTTP_REQUEST = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: load\r\nAccept: */*\r\n\r\n"


@dataclass(frozen=True)
class Server:
    """The server that a cell needs."""

    name: str
    """A key of `servers.SERVERS`."""
    limit: str | None = "echo"
    """The program of `echo.c` that does the same; None if there is none."""
    unix: bool = False
    tls: bool = False


@dataclass(frozen=True)
class Cell:
    """One row."""

    name: str
    server: Server
    connections: int
    size: int = KIB
    """Size of a message that is echoed, if there is no `request`."""
    request: bytes | None = None
    """The message, if the server doesn't echo."""
    reply: int | None = None
    """Size of a reply; None: as long as the message, or, for HTTP, as long as the first reply."""
    begins: str | None = None
    """How a reply begins."""
    operations: int = 1
    """Operations in one message."""
    churn: bool = False
    """A new connection for each message."""
    datagrams: bool = False
    to_limit: float | None = None
    """The limit as a multiple of the C server's CPU time."""
    to_peer: float = 1.0
    """The limit as a multiple of the best peer's CPU time."""
    to_peer_named: str | None = None
    """The peer that `to_peer` means; None: the best."""
    to_row: tuple[str, float] | None = None
    """The limit as a multiple of the same implementation's CPU time in the row of that name."""


def amount(size: int) -> str:
    """Return a size as the rows show it."""
    return f"{size // KIB} KiB"


def echoes():
    """The main part: each way to write a server, in three sizes, with one, fifty and five hundred connections."""
    for name, limit in (("protocol", 1.3), ("buffered", 1.3), ("streams", 1.7), ("sockets", 2.0)):
        title = "sock_*" if name == "sockets" else name
        for size in SIZES:
            for count in COUNTS:
                yield Cell(f"{title}, {amount(size)} x {count}", Server(name), count, size, to_limit=limit)


def tls():
    """TLS with a protocol and with streams."""
    for name in ("protocol", "streams"):
        for size in (1 * KIB, 100 * KIB):
            for count in (1, 50):
                title = f"TLS {name}, {amount(size)} x {count}"
                yield Cell(title, Server(name, tls=True), count, size, to_peer=0.8, to_peer_named="uvloop")


def others():
    """Unix sockets, datagrams, short-lived connections, small reads, split writes, HTTP."""
    better = 1 / 1.3
    for name in ("protocol", "streams", "sockets"):
        title = "sock_*" if name == "sockets" else name
        for count in (1, 50):
            yield Cell(f"Unix {title}, 1 KiB x {count}", Server(name, unix=True), count, to_peer=better)
    # By default the server's socket holds 208 KiB, including the kernel's own bytes: fifty datagrams of 8 KiB don't
    # fit.
    for size, count in ((KIB, 1), (KIB, 50), (8 * KIB, 8)):
        title = f"UDP, {amount(size)} x {count}"
        yield Cell(title, Server("datagrams"), count, size, datagrams=True, to_peer=better)
    for name in ("protocol", "streams"):
        yield Cell(f"connect, {name} x 50", Server(name), 50, 100, churn=True, to_peer=better)
    batches = (
        ("readline, 100 bytes", "lines", LINE * BATCH),
        ("readexactly(16)", "exactly", LINE[:RECORD] * BATCH),
    )
    for title, name, request in batches:
        for count in (1, 50):
            yield Cell(
                f"{title} x {count}",
                Server(name, limit=name),
                count,
                request=request,
                reply=len(ANSWER),
                begins=ANSWER.decode().strip(),
                operations=BATCH,
                to_peer=better,
            )
    reply = len(HEADER) + len(BODY)
    for prefix, title in (("", "protocol"), ("streams-", "streams")):
        for name in ("one write", "two writes"):
            program = name.replace(" ", "-")
            yield Cell(
                f"{title}, {name} x 50",
                Server(prefix + program, limit=program),
                50,
                request=b"r" * REQUEST,
                reply=reply,
                to_row=(f"{title}, one write x 50", 1.03) if name == "two writes" else None,
            )
    for name in ("uvicorn", "aiohttp"):
        yield Cell(f"HTTP {name} x 50", Server(name, limit=None), 50, request=HTTP_REQUEST, begins="HTTP/1.1 200 OK")


CELLS = [*echoes(), *tls(), *others()]
