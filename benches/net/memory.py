"""The memory that an idle connection takes in a server, for each implementation.

This file holds the command; the servers are in `servers.py`, their processes in `processes.py`. The client is this
process: it opens connections one after the other, sends one message on each, reads its echo, and keeps it open.

Invariant: each figure comes from its own server process. It is the growth of that process's resident memory, whoever
allocated it, after garbage collection. The first hundred connections aren't counted, so one-time costs aren't either.
"""

import json
import resource
import socket
import ssl
import sys
import tempfile
from pathlib import Path

import beside  # noqa: F401 - makes the modules of benches/ importable
import cells
import console
import processes
import workers

DESCRIPTION = "Measure the bytes that an idle connection takes in a server, on each implementation."
EPILOG = """\
figures   bytes of resident memory of the server process for each open connection that echoed one message of
          1 KiB and has been idle since; the kernel's own memory for sockets isn't included
Target for ferrio: fewer bytes than uvloop, in TLS also fewer than asyncio.
"""
KINDS = (
    ("protocol", cells.Server("protocol"), 1),
    ("streams", cells.Server("streams"), 1),
    ("TLS protocol", cells.Server("protocol", tls=True), 4),
    ("TLS streams", cells.Server("streams", tls=True), 4),
)
"""What is measured: title, server, and a divisor for the number of connections (handshakes take long)."""
WARM = 100
MESSAGE = b"m" * 1024
OTHER_FILES = 64


def main() -> int:
    """Run the command; returns the exit status."""
    parser = workers.common_options(DESCRIPTION, EPILOG)
    parser.add_argument("--connections", type=int, metavar="N", default=4000, help="connections (default: 4000)")
    parser.add_argument("--json", metavar="F", type=Path, help="write every figure to F")
    options = parser.parse_args()
    if options.connections < len(KINDS):
        parser.error(f"--connections: {options.connections} measure nothing; give {len(KINDS)} or more")
    raise_descriptor_limit(options.connections + WARM + OTHER_FILES)
    names = workers.chosen_names(parser, options.impls, workers.python_version(options.python))
    tls = processes.build()
    kinds = [kind for kind in KINDS if tls or not kind[1].tls]
    figures: dict[str, dict[str, float | None]] = {}
    errors = []
    print(f"{'bytes per connection':<20}" + "".join(f"{title:>16}" for title, _, _ in kinds))
    with tempfile.TemporaryDirectory() as folder:
        if tls:
            processes.make_certificate(Path(folder))
        for name in names:
            print(f"{name:<20}", end="", flush=True)
            figures[name] = {}
            for title, server, divisor in kinds:
                try:
                    figure = measure(options, name, server, options.connections // divisor, Path(folder))
                except (processes.CannotMeasure, OSError) as error:
                    errors.append(f"{name}, {title}: {error}")
                    figure = None
                figures[name][title] = figure
                print(f"{'failed' if figure is None else f'{figure:.0f}':>16}", end="", flush=True)
            print()
    if errors:
        print("\nFailed:\n  " + "\n  ".join(errors))
    if options.json:
        console.save(options.json, json.dumps({"connections": options.connections, "bytes": figures}, indent=1) + "\n")
    return 0


def measure(options, name: str, server: cells.Server, count: int, folder: Path) -> float:
    """Return the bytes that each of `count` connections takes in a new process of `server` on `name`.

    Raises CannotMeasure if the server doesn't start, OSError if a connection fails.
    """
    process = processes.Server(options.python, name, server, options.cpus.split(",")[0], folder, control=True)
    context = client_context() if server.tls else None
    opened: list[socket.socket] = []
    try:
        opened += [converse(process.port, context) for _ in range(WARM)]
        process.collect_garbage()
        before = process.resident()
        opened += [converse(process.port, context) for _ in range(count)]
        process.collect_garbage()
        return (process.resident() - before) / count
    finally:
        for sock in opened:
            sock.close()
        process.stop()


def converse(port: int, context: ssl.SSLContext | None) -> socket.socket:
    """Return a new connection that has echoed one message."""
    sock = socket.create_connection((cells.HOST, port), 10)
    if context:
        sock = context.wrap_socket(sock, server_hostname="localhost")
    sock.sendall(MESSAGE)
    missing = len(MESSAGE)
    while missing:
        part = sock.recv(missing)
        if not part:
            raise ConnectionError("the server closed the connection")
        missing -= len(part)
    return sock


def client_context() -> ssl.SSLContext:
    """Return a context that takes the certificate made for this run."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def raise_descriptor_limit(needed: int) -> None:
    """Let this process open `needed` files; if it can't, exit and say how to allow that."""
    soft, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= needed:
        return
    if most != resource.RLIM_INFINITY and most < needed:
        sys.exit(f"{needed} open files are needed and the limit is {most}: raise it (ulimit -Hn) or give --connections")
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, most))


if __name__ == "__main__":
    sys.exit(main())
