"""What this directory's programs share: how they report which loop they run on and how they were started,
certificates for loopback, free ports. Nothing here knows a library.

A program's standard output is compared between the ways. Its standard error may hold nothing but lines of
`report_loop`.
"""

import asyncio
import os
import socket
import ssl
import sys
import tempfile

import trustme

# How this process was started: "asyncio", "loop" or "install". For programs that start other programs and pass them a
# loop as an option.
WAY = os.environ["FERRIO_LIBRARIES_WAY"]


def report_loop() -> None:
    """Reports on standard error whose loop runs here.

    Call it at least once in every process and every thread that has a loop.
    """
    family = type(asyncio.get_running_loop()).__module__.partition(".")[0]
    # A single write, so that lines of several processes don't mix.
    sys.stderr.write(f"running on {family}\n")
    sys.stderr.flush()


def python_command(*expected_warnings: str) -> list[str]:
    """Returns the command that starts Python, or ferrio under `install()`, with this process's interpreter options.

    Append a file, or "-m" and a module. "loop" is the same as "asyncio" here, because the started program takes the
    loop as an option. `expected_warnings` are beginnings of warnings that the library itself issues on every loop.
    """
    command = [sys.executable, "-W", "always"]
    for warning in expected_warnings:
        command += ["-W", f"ignore:{warning}"]
    return [*command, "-m", "ferrio"] if WAY == "install" else command


def free_port() -> int:
    """Returns a TCP port of 127.0.0.1 that is free now, for servers that can't choose one themselves."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def tls_contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Returns the context of a server for "localhost", and that of a client that trusts it."""
    authority = trustme.CA()
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    return server, client


def tls_files() -> tuple[str, str, ssl.SSLContext]:
    """Returns the files of a key and a certificate, for servers that want files, and a client's context."""
    authority = trustme.CA()
    issued = authority.issue_cert("localhost")
    directory = tempfile.mkdtemp()
    key, certificate = os.path.join(directory, "key.pem"), os.path.join(directory, "certificate.pem")
    issued.private_key_pem.write_to_path(key)
    issued.cert_chain_pems[0].write_to_path(certificate)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    return key, certificate, client
