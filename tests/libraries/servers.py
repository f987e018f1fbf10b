"""Real servers for the programs of `programs/`: PostgreSQL, Redis and a browser, from Debian's packages. They are
fixtures whose value is the environment variables that tell a program where the server is.

As root, missing packages are installed. Otherwise the tests that need them are skipped, with the command that installs
them. Each server starts once per pytest process (each xdist worker has its own) and runs as a user without privileges.
Its data, sockets and keys are in a temporary directory that goes at the end. The system's services are neither
started nor touched.
"""

import contextlib
import os
import pathlib
import pwd
import shutil
import socket
import subprocess
import tempfile
import time

import pytest
import trustme

# How often we try to start a server, if each time its port is taken in the meantime.
ATTEMPTS = 5
# Seconds until a server must answer; on a quiet machine it takes one.
START_LIMIT = 60
PASSWORD = "ferrio"
# A package's scripts ask this program whether they may start its services; 101 means "no".
SERVICE_POLICY = pathlib.Path("/usr/sbin/policy-rc.d")


@pytest.fixture(scope="session")
def postgresql_server():
    """PostgreSQL on a Unix socket, and with TLS on loopback. The variables are libpq's, plus `POSTGRESQL_SOCKETS`: the
    directory of the Unix socket.
    """
    programs = _postgresql_programs()
    if programs is None:
        _install("postgresql")
        programs = _postgresql_programs()
    with _directory("postgres") as (directory, user):
        authority = _keys(directory, user)
        password = directory / "password"
        password.write_text(PASSWORD)
        _give(password, user)
        data = directory / "data"
        # Text is sorted by bytes, whatever the machine's language.
        options = ["--username=ferrio", f"--pwfile={password}", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"]
        _run([programs / "initdb", f"--pgdata={data}", *options, "--no-sync"], user)
        settings = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": directory,
            "ssl": "on",
            "ssl_cert_file": directory / "server.crt",
            "ssl_key_file": directory / "server.key",
            "fsync": "off",
            "max_connections": 100,
            "shared_buffers": "16MB",
            "timezone": "UTC",
        }
        arguments = [f"--{name}={value}" for name, value in settings.items()]
        command = [programs / "postgres", "-D", data, *arguments]

        with _started(command, "-p", "127.0.0.1", user, directory / "log") as port:
            variables = {
                "PGHOST": "localhost",
                "PGPORT": str(port),
                "PGUSER": "ferrio",
                "PGPASSWORD": PASSWORD,
                "PGDATABASE": "postgres",
                "PGSSLROOTCERT": str(authority),
                "POSTGRESQL_SOCKETS": str(directory),
            }
            _wait_until_ready([programs / "pg_isready", "-q"], variables, directory / "log")
            yield variables


@pytest.fixture(scope="session")
def redis_server():
    """Redis on a Unix socket, and on loopback with TLS only. The variables: `REDIS_SOCKET`, `REDIS_PORT`,
    `REDIS_PASSWORD`, `REDIS_CA` (the file with its authority's certificate).
    """
    if shutil.which("redis-server") is None:
        _install("redis-server")
    with _directory("redis") as (directory, user):
        authority = _keys(directory, user)
        settings = {
            "port": 0,
            "bind": "127.0.0.1",
            "unixsocket": directory / "redis.sock",
            "unixsocketperm": 777,
            "tls-cert-file": directory / "server.crt",
            "tls-key-file": directory / "server.key",
            "tls-ca-cert-file": authority,
            "tls-auth-clients": "no",
            "requirepass": PASSWORD,
            "dir": directory,
            "appendonly": "no",
        }
        arguments = [text for name, value in settings.items() for text in (f"--{name}", str(value))]
        command = ["redis-server", *arguments, "--save", ""]
        with _started(command, "--tls-port", "127.0.0.1", user, directory / "log") as port:
            variables = {
                "REDIS_SOCKET": str(directory / "redis.sock"),
                "REDIS_PORT": str(port),
                "REDIS_PASSWORD": PASSWORD,
                "REDIS_CA": str(authority),
            }
            ping = ["redis-cli", "-s", variables["REDIS_SOCKET"], "--no-auth-warning", "-a", PASSWORD, "-e", "ping"]
            _wait_until_ready(ping, variables, directory / "log")
            yield variables


@pytest.fixture(scope="session")
def chromium_server():
    """A headless browser, which the program starts itself. The variable: `CHROMIUM`, its path."""
    if shutil.which("chromium-headless-shell") is None:
        _install("chromium-headless-shell")
    return {"CHROMIUM": shutil.which("chromium-headless-shell")}


def _postgresql_programs() -> pathlib.Path | None:
    """Returns the directory of the newest PostgreSQL server's programs. Debian keeps them out of PATH."""
    found = [*pathlib.Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    if found:
        return max(found, key=lambda path: int(path.parts[-3])).parent
    elsewhere = shutil.which("initdb")
    return pathlib.Path(elsewhere).parent if elsewhere else None


def _install(package: str) -> None:
    """Installs a Debian package without starting its service, or skips the test."""
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        pytest.skip(f"there is no {package} on this machine. As root: apt-get install {package}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    options = ["-q", "-y", "-o", "DPkg::Lock::Timeout=300"]
    with _no_services():
        for command in (["update"], ["install", "--no-install-recommends", package]):
            done = subprocess.run(
                ["apt-get", *options, *command], env=environment, text=True, capture_output=True, timeout=600
            )
            if done.returncode:
                pytest.skip(f"apt-get {command[0]} failed, so there is no {package}:\n{done.stdout}\n{done.stderr}")


@contextlib.contextmanager
def _no_services():
    """Keeps newly installed packages from starting services, unless the machine already has a rule for that."""
    try:
        with SERVICE_POLICY.open("x") as file:
            file.write("#!/bin/sh\nexit 101\n")
    except FileExistsError:
        yield
        return
    try:
        SERVICE_POLICY.chmod(0o755)
        yield
    finally:
        SERVICE_POLICY.unlink()


@contextlib.contextmanager
def _directory(package_user: str):
    """Yields a temporary directory for a server, and the user to run it as. That is one without privileges if this
    one is root (PostgreSQL refuses root), otherwise `None` for this user.
    """
    # Not pytest's: other users can't enter that, and a Unix socket's path has 107 bytes at most.
    with tempfile.TemporaryDirectory(prefix="ferrio-", ignore_cleanup_errors=True) as name:
        directory, user = pathlib.Path(name), None
        if os.geteuid() == 0:
            known = {entry.pw_name for entry in pwd.getpwall()}
            user = package_user if package_user in known else "nobody"
            _give(directory, user)
        # Programs, which run as this user, look for the socket and the certificate.
        directory.chmod(0o755)
        yield directory, user


def _keys(directory: pathlib.Path, user: str | None) -> pathlib.Path:
    """Writes server.key and server.crt, for "localhost", and returns the file of the authority that signed them."""
    authority = trustme.CA()
    issued = authority.issue_cert("localhost")
    key, certificate, signer = (directory / name for name in ("server.key", "server.crt", "ca.crt"))
    issued.private_key_pem.write_to_path(key)
    key.chmod(0o600)
    for number, part in enumerate(issued.cert_chain_pems):
        part.write_to_path(certificate, append=number > 0)
    authority.cert_pem.write_to_path(signer)
    for path in (key, certificate):
        _give(path, user)
    return signer


def _give(path: pathlib.Path, user: str | None) -> None:
    if user is not None:
        shutil.chown(path, user)


def _run(command: list, user: str | None) -> None:
    done = subprocess.run(command, user=user, cwd="/", text=True, capture_output=True, timeout=START_LIMIT)
    assert done.returncode == 0, f"{command[0]} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"


@contextlib.contextmanager
def _started(command: list, port_option: str, host: str, user: str | None, log: pathlib.Path):
    """Runs a server until the block ends. Yields its port: a free one, or another if that was taken in the meantime."""
    for attempt in range(ATTEMPTS):
        with socket.create_server((host, 0)) as probe:
            port = probe.getsockname()[1]
        with log.open("w") as output:
            # In its own process group, so that Ctrl-C during the tests doesn't reach the server.
            process = subprocess.Popen(
                [*command, port_option, str(port)],
                user=user,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        try:
            if _listens(process, host, port):
                yield port
                return
        finally:
            # For PostgreSQL SIGINT is the "fast" shutdown, which doesn't wait for its clients; Redis takes it too.
            process.send_signal(2)
            try:
                process.wait(START_LIMIT)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if attempt == ATTEMPTS - 1:
            pytest.fail(f"{command[0]} ended with {process.returncode}\n{log.read_text()}")


def _listens(process: subprocess.Popen, host: str, port: int) -> bool:
    """Waits until the server listens at `port`. Returns false if it ended first, as when the port is taken."""
    limit = time.monotonic() + START_LIMIT
    while process.poll() is None and time.monotonic() < limit:
        with contextlib.suppress(ConnectionRefusedError), socket.create_connection((host, port), timeout=START_LIMIT):
            return True
        time.sleep(0.05)
    return False


def _wait_until_ready(command: list, variables: dict[str, str], log: pathlib.Path) -> None:
    """Runs `command`, which asks as a client whether the server is ready, until it succeeds."""
    limit = time.monotonic() + START_LIMIT
    while subprocess.run(command, env={**os.environ, **variables}, capture_output=True, timeout=START_LIMIT).returncode:
        assert time.monotonic() < limit, f"not ready after {START_LIMIT} s\n{log.read_text()}"
        time.sleep(0.05)
