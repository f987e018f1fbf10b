"""An encrypted echo: a server with its own certificate, and a client that trusts only that one.

Shows `ssl=` of `start_server` and `open_connection`: both take an `ssl.SSLContext`, and the rest is the same as without
TLS. The `openssl` program, running in a thread, makes the certificate on the fly. A client that doesn't trust the
certificate gives up before it can send a byte.
"""

import pathlib
import ssl
import subprocess
import tempfile

import ferrio as asyncio


def make_certificate(folder):
    """Make a key and a certificate for the name "localhost"; returns the files."""
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    command = "openssl req -x509 -nodes -days 1 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -subj /CN=localhost"
    names = ["-addext", "subjectAltName=DNS:localhost"]
    files = ["-keyout", key, "-out", certificate]
    subprocess.run([*command.split(), *names, *files], check=True, capture_output=True)
    return certificate, key


async def echo(reader, writer):
    while line := await reader.readline():
        writer.write(line.upper())
        await writer.drain()
    writer.close()


async def talk(port, context):
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="localhost")
    subject = writer.get_extra_info("peercert")["subject"]
    print(f"connected by {writer.get_extra_info('ssl_object').version()} to {subject[0][0][1]}")
    for word in ("one", "two", "three"):
        writer.write(f"{word}\n".encode())
        print(f"{word} -> {(await reader.readline()).decode().strip()}")
    writer.close()
    await writer.wait_closed()


async def main():
    with tempfile.TemporaryDirectory() as folder:
        certificate, key = await asyncio.to_thread(make_certificate, pathlib.Path(folder))
        server_side = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        server_side.load_cert_chain(certificate, key)
        trusting = ssl.create_default_context(cafile=certificate)

    server = await asyncio.start_server(echo, "127.0.0.1", 0, ssl=server_side)
    port = server.sockets[0].getsockname()[1]
    async with server:
        await talk(port, trusting)
        try:
            await talk(port, ssl.create_default_context())
        except ssl.SSLCertVerificationError as error:
            print(f"a stranger: {error.verify_message}")


if __name__ == "__main__":
    asyncio.run(main())
