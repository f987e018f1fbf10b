"""What the programs of this directory share: how they say which loop they run on, which way they were started,
certificates for loopback, free ports. Nothing here knows a library.

A program's standard output is compared between the ways; its standard error may hold nothing but lines of
`report_loop`.
"""

import asyncio
import os
import socket
import ssl
import sys
import tempfile

import trustme

# How this process was started: "asyncio", "loop" or "install". For programs that start others, which take a loop as
# an option.
WAY = os.environ["FERRIO_LIBRARIES_WAY"]


def report_loop() -> None:
    """Writes to standard error whose loop runs here.

    To be called at least once in every process and every thread that has a loop.
    """
    family = type(asyncio.get_running_loop()).__module__.partition(".")[0]
    # One write: lines of several processes must not mix.
    sys.stderr.write(f"running on {family}\n")
    sys.stderr.flush()


def python_command(*expected_warnings: str) -> list[str]:
    """The command that starts Python, or under `install()` ferrio, with the interpreter's options of this process.

    To be followed by a file or by "-m" and a module. "loop" is the same as "asyncio" here: the loop is an option of
    what is started. `expected_warnings` are beginnings of warnings that the library itself gives on every loop.
    """
    command = [sys.executable, "-W", "always"]
    for warning in expected_warnings:
        command += ["-W", f"ignore:{warning}"]
    return [*command, "-m", "ferrio"] if WAY == "install" else command


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on now, for servers that can't be told to choose one themselves."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def tls_contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """The contexts of a server for "localhost" and of a client that trusts it."""
    authority = trustme.CA()
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    return server, client


def tls_files() -> tuple[str, str, ssl.SSLContext]:
    """The names of a key's and a certificate's file, for servers that want files, and a client's context."""
    authority = trustme.CA()
    issued = authority.issue_cert("localhost")
    directory = tempfile.mkdtemp()
    key, certificate = os.path.join(directory, "key.pem"), os.path.join(directory, "certificate.pem")
    issued.private_key_pem.write_to_path(key)
    issued.cert_chain_pems[0].write_to_path(certificate)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    return key, certificate, client
