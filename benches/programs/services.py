"""Servers that programs need, each started in a temporary directory: Redis on loopback, PostgreSQL on a Unix socket.

`started` yields where the server is, or says what is missing on this machine. The system's own services are neither
started nor touched.

Invariant: every server that was started has ended when its block ends.
"""

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

START_SECONDS = 60


class NotHere(Exception):
    """A server's program isn't on this machine, or it didn't start; the message says which and why."""


@contextlib.contextmanager
def started(name: str, cpu: str) -> Iterator[Any]:
    """Run the service `name` until the block ends, pinned to `cpu` ("": not pinned); yields its place.

    Raises NotHere.
    """
    with tempfile.TemporaryDirectory(prefix="ferrio-bench-", ignore_cleanup_errors=True) as folder:
        user = unprivileged_user(SERVICE_USERS[name])
        if user:
            shutil.chown(folder, user)
        os.chmod(folder, 0o755)
        with SERVICES[name](Path(folder), user, ["taskset", "-c", cpu] if cpu else []) as place:
            yield place


@contextlib.contextmanager
def redis(folder: Path, user: str | None, pinned: list[str]) -> Iterator[int]:
    """Redis without persistence; yields its port on loopback."""
    program = shutil.which("redis-server")
    if program is None:
        raise NotHere("there is no redis-server on PATH: apt install redis-server")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [program, "--port", str(port), "--bind", "127.0.0.1", "--dir", folder, "--save", "", "--appendonly", "no"]

    def answers() -> bool:
        with socket.create_connection(("127.0.0.1", port), 5) as asking:
            asking.sendall(b"PING\r\n")
            return asking.recv(100) == b"+PONG\r\n"

    with process([*pinned, *command], user, folder / "log", answers):
        yield port


@contextlib.contextmanager
def postgresql(folder: Path, user: str | None, pinned: list[str]) -> Iterator[dict]:
    """PostgreSQL without a promise about crashes; yields the arguments of `asyncpg.connect`."""
    programs = postgresql_programs()
    data = folder / "data"
    settled = ["--username=bench", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"]
    made = subprocess.run(
        [programs / "initdb", f"--pgdata={data}", *settled], user=user, cwd="/", capture_output=True, text=True
    )
    if made.returncode:
        raise NotHere(f"initdb failed: {made.stderr.strip()}")
    settings = {"listen_addresses": "", "unix_socket_directories": folder, "fsync": "off", "autovacuum": "off"}
    command = [programs / "postgres", "-D", data, *(f"--{name}={value}" for name, value in settings.items())]

    def answers() -> bool:
        asking = [programs / "pg_isready", "-q", "-h", folder, "-U", "bench", "-d", "postgres"]
        return subprocess.run(asking, capture_output=True).returncode == 0

    with process([*pinned, *command], user, folder / "log", answers):
        yield {"host": str(folder), "user": "bench", "database": "postgres"}


SERVICES: dict[str, Callable[[Path, str | None, list[str]], contextlib.AbstractContextManager[Any]]] = {
    "redis": redis,
    "postgresql": postgresql,
}
# Whom Debian's packages make for them. PostgreSQL refuses to run as root.
SERVICE_USERS = {"redis": "redis", "postgresql": "postgres"}


@contextlib.contextmanager
def process(command: list, user: str | None, log: Path, answers: Callable[[], bool]) -> Iterator[None]:
    """Run a server until the block ends; begins when it answers. Raises NotHere if it ends before."""
    with log.open("w") as output:
        running = subprocess.Popen(
            command, user=user, cwd="/", stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    try:
        limit = time.monotonic() + START_SECONDS
        while not is_ready(answers):
            if running.poll() is not None or time.monotonic() > limit:
                raise NotHere(f"{command[0]} doesn't answer: {log.read_text().strip()[-500:]}")
            time.sleep(0.05)
        yield
    finally:
        # For PostgreSQL SIGINT is the shutdown that doesn't wait for clients; Redis takes it too.
        running.send_signal(2)
        try:
            running.wait(START_SECONDS)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait()


def is_ready(answers: Callable[[], bool]) -> bool:
    """Return whether a server answers; one that doesn't listen yet doesn't."""
    try:
        return answers()
    except OSError:
        return False


def postgresql_programs() -> Path:
    """Return the directory of the newest PostgreSQL server's programs. Debian keeps them out of PATH."""
    found = [*Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    if found:
        return max(found, key=lambda path: int(path.parts[-3])).parent
    elsewhere = shutil.which("initdb")
    if elsewhere is None:
        raise NotHere("there is no initdb on PATH or in /usr/lib/postgresql: apt install postgresql")
    return Path(elsewhere).resolve().parent


def unprivileged_user(wanted: str) -> str | None:
    """Return whom a server runs as if this process is root; None: as this user."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return wanted if wanted in known else "nobody"
