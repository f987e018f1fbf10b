"""Hosts, services, paths and programs with odd names: ferrio refuses what asyncio refuses, with the same class.

Each name goes to each function that takes one. The outcomes are compared: success, or an exception's class and number.
"""

import asyncio
import os
import socket
import ssl
import subprocess
import warnings

import pytest

import ferrio

#: Lookups never ask a name server.
NUMERIC = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV


class Text(str):
    """A string of its own class."""

    __slots__ = ()


HOSTS = {
    "an address": "127.0.0.1",
    "an address of a class of its own": Text("127.0.0.1"),
    "bytes": b"127.0.0.1",
    "a bytearray": bytearray(b"127.0.0.1"),
    "IPv6": "::1",
    "IPv6 in bytes": b"::1",
    "IPv6 with a zone": "::1%lo",
    "IPv6 with no zone": "::1%",
    "IPv6 in brackets": "[::1]",
    "IPv4 in IPv6": "::ffff:127.0.0.1",
    "an address of three numbers": "127.0.1",
    "one number": "2130706433",
    "leading zeros": "127.000.000.001",
    "hexadecimal": "0x7f.0.0.1",
    "a newline at its end": "127.0.0.1\n",
    "a space at its end": "127.0.0.1 ",
    "other digits": "١٢٧.0.0.1",
    "a NUL in the middle": "127.0.0.1\0.trusted.example",
    "a NUL at its end": "127.0.0.1\0",
    "a NUL at its beginning": "\x00127.0.0.1",
    "a NUL alone": "\0",
    "a NUL in IPv6": "::1\0",
    "a NUL in bytes": b"127.0.0.1\0",
    "a NUL and a zone": "::1\0%lo",
    "a lone surrogate": "127.0.0.1\udc80",
    "bytes that aren't ASCII": b"\xff\xfe",
    "very long": "a" * 300,
    "a long label": "a" * 64 + ".example",
    "an empty label": "a..b",
    "empty": "",
    "empty bytes": b"",
    "none": None,
    "a number": 7,
    "a fraction": 7.0,
    "a list": ["127.0.0.1"],
    "a pair": ("127.0.0.1", "127.0.0.1\0"),
    "a truth value": True,
    "an object": object,
}

PORTS = {
    "text": "80",
    "bytes": b"80",
    "none": None,
    "empty": "",
    "a NUL": "80\0",
    "a NUL in bytes": b"80\0",
    "a NUL and a name": "ht\0tp",
    "no service": "no such service",
    "a lone surrogate": "\udc80",
    "a fraction": 80.5,
    "a space": " 80 ",
    "an underscore": "8_0",
    "negative": -1,
    "too large": 65536,
    "huge": 1 << 80,
    "a truth value": True,
    "an object": object,
}

ADDRESSES = {
    "text of one letter": "x",
    "text": "ab",
    "bytes": b"ab",
    "a list": ["127.0.0.1", 9],
    "one part": ("127.0.0.1",),
    "no part": (),
    "three parts": ("127.0.0.1", 9, 0),
    "four parts": ("127.0.0.1", 9, 0, 0),
    "five parts": ("127.0.0.1", 9, 0, 0, 0),
    "IPv6 with a scope": ("::1", 9, 0, 0),
    "IPv6 with a scope that is text": ("::1", 9, 0, "lo"),
    "IPv6 with a huge flow": ("::1", 9, 1 << 20, 0),
    "none": None,
    "a number": 7,
    "a mapping": {0: "127.0.0.1", 1: 9},
}

PATHS = {
    "a NUL in the middle": "/tmp/a\0b",
    "a NUL at its end": "/nowhere/a\0",
    "a NUL in bytes": b"/nowhere/a\0b",
    "too long": "/" + "a" * 107,
    "much too long": "/" + "a" * 300,
    "an abstract name that is too long": "\0" + "a" * 108,
    "an abstract name with a NUL": "\0ferrio\0no such name",
    "a lone surrogate": "/nowhere/\udc80",
    "a surrogate that isn't an escaped byte": "/nowhere/\ud800",
    "empty": "",
    "a number": 7,
    "a list": ["/nowhere"],
    "no directory": "/nowhere/a",
}


async def outcome(function):
    """Returns the outcome of a call: the exception's class and number, or nothing. Closes whatever was opened."""
    try:
        async with asyncio.timeout(10):
            made = await function()
    except OSError as failure:
        return type(failure).__name__, failure.errno
    except Exception as failure:
        return (type(failure).__name__,)
    if isinstance(made, tuple) and hasattr(made[0], "abort"):
        made[0].abort()
    elif hasattr(made, "close"):
        made.close()
    await asyncio.sleep(0)
    return "went through"


def compare(aio, table, functions):
    """Compares the outcomes of each function with each value of the table, by both their names."""

    async def main():
        with open_socket() as listener:
            port = listener.getsockname()[1]
            found = {}
            for name, value in table.items():
                for function in functions:
                    found[function.__name__, name] = await outcome(lambda f=function, v=value: f(aio, v, port))
            return found

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # asyncio leaves a socket open here and there
        return aio.run(main())


def open_socket():
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    return listener


def needs_name_server(host):
    """Whether a function without flags would ask a name server for the host, which a test must not wait for."""
    try:
        socket.getaddrinfo(host, 9, type=socket.SOCK_STREAM, flags=NUMERIC)
    except socket.gaierror as failure:
        return failure.errno == socket.EAI_NONAME and host != ""
    except Exception:
        return False
    return False


async def create_connection(aio, host, port):
    return await aio.get_running_loop().create_connection(aio.Protocol, host, port, flags=NUMERIC)


async def create_connection_by_happy_eyeballs(aio, host, port):
    create = aio.get_running_loop().create_connection
    return await create(aio.Protocol, host, port, flags=NUMERIC, happy_eyeballs_delay=1)


async def create_connection_from(aio, host, port):
    create = aio.get_running_loop().create_connection
    return await create(aio.Protocol, "127.0.0.1", port, flags=NUMERIC, local_addr=(host, 0))


async def open_connection(aio, host, port):
    _, writer = await aio.open_connection(host, port, flags=NUMERIC)
    return writer.transport, None


async def create_server(aio, host, port):
    return with_sockets(await aio.get_running_loop().create_server(aio.Protocol, host, 0, flags=NUMERIC))


def with_sockets(server):
    """Raises for a server without sockets, as asyncio itself does in later versions."""
    if not server.sockets:
        raise OSError("could not bind on any address")
    return server


async def start_server(aio, host, port):
    return with_sockets(await aio.start_server(print, host, 0, flags=NUMERIC))


async def endpoint_to(aio, host, port):
    create = aio.get_running_loop().create_datagram_endpoint
    return await create(aio.DatagramProtocol, remote_addr=(host, port), flags=NUMERIC)


async def endpoint_at(aio, host, port):
    create = aio.get_running_loop().create_datagram_endpoint
    return await create(aio.DatagramProtocol, local_addr=(host, 0), flags=NUMERIC)


async def sock_connect(aio, host, port):
    with socket.socket() as sock:
        sock.setblocking(False)
        if needs_name_server(host):
            return
        await aio.get_running_loop().sock_connect(sock, (host, port))


async def getaddrinfo(aio, host, port):
    return tuple(await aio.get_running_loop().getaddrinfo(host, port, flags=NUMERIC))


async def getaddrinfo_of_a_stream(aio, host, port):
    getaddrinfo = aio.get_running_loop().getaddrinfo
    return tuple(await getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=NUMERIC))


async def getnameinfo(aio, host, port):
    return await aio.get_running_loop().getnameinfo((host, port), socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)


async def sendto(aio, host, port):
    """Sends with a datagram transport, and reports errors that its protocol gets."""
    failures = []

    class Protocol(asyncio.DatagramProtocol):
        def error_received(self, exc):
            failures.append(exc)

        def connection_lost(self, exc):
            if exc is not None:
                failures.append(exc)

    loop = aio.get_running_loop()
    loop.set_exception_handler(lambda loop, context: None)
    transport, _ = await loop.create_datagram_endpoint(Protocol, local_addr=("127.0.0.1", 0))
    if not needs_name_server(host):
        transport.sendto(b"data", (host, port))
    await asyncio.sleep(0)
    transport.abort()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    if failures:
        raise failures[0]


async def sock_sendto(aio, host, port):
    if needs_name_server(host):
        return
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        await aio.get_running_loop().sock_sendto(sock, b"data", (host, port))


async def tls_server_hostname(aio, host, port):
    """Starts a handshake that nobody answers."""
    left, right = socket.socketpair()
    right.close()
    with left:
        left.setblocking(False)
        create = aio.get_running_loop().create_connection
        context = ssl.create_default_context()
        await create(aio.Protocol, sock=left, ssl=context, server_hostname=host, ssl_handshake_timeout=0.2)


HOST_FUNCTIONS = [
    create_connection,
    create_connection_by_happy_eyeballs,
    create_connection_from,
    open_connection,
    create_server,
    start_server,
    endpoint_to,
    endpoint_at,
    sock_connect,
    getaddrinfo,
    getaddrinfo_of_a_stream,
    getnameinfo,
    sendto,
    sock_sendto,
    tls_server_hostname,
]


@pytest.mark.parametrize("function", HOST_FUNCTIONS)
def test_hosts(function):
    assert compare(ferrio, HOSTS, [function]) == compare(asyncio, HOSTS, [function])


async def connect_to_port(aio, port, _):
    return await aio.get_running_loop().create_connection(aio.Protocol, "127.0.0.1", port, flags=NUMERIC)


async def serve_at_port(aio, port, _):
    return await aio.get_running_loop().create_server(aio.Protocol, "127.0.0.1", port, flags=NUMERIC)


async def getaddrinfo_of_port(aio, port, _):
    return tuple(await aio.get_running_loop().getaddrinfo("127.0.0.1", port, flags=NUMERIC))


async def getnameinfo_of_port(aio, port, _):
    numbers = socket.NI_NUMERICHOST | socket.NI_NUMERICSERV
    return await aio.get_running_loop().getnameinfo(("127.0.0.1", port), numbers)


async def endpoint_to_port(aio, port, _):
    create = aio.get_running_loop().create_datagram_endpoint
    return await create(aio.DatagramProtocol, remote_addr=("127.0.0.1", port), flags=NUMERIC)


async def sock_connect_to_port(aio, port, _):
    with socket.socket() as sock:
        sock.setblocking(False)
        await aio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))


@pytest.mark.parametrize(
    "function",
    [
        connect_to_port,
        serve_at_port,
        getaddrinfo_of_port,
        getnameinfo_of_port,
        endpoint_to_port,
        sock_connect_to_port,
    ],
)
def test_ports(function):
    assert compare(ferrio, PORTS, [function]) == compare(asyncio, PORTS, [function])


async def sock_connect_to_address(aio, address, _):
    with socket.socket() as sock:
        sock.setblocking(False)
        await aio.get_running_loop().sock_connect(sock, address)


async def sock_connect_to_address_of_ipv6(aio, address, _):
    with socket.socket(socket.AF_INET6) as sock:
        sock.setblocking(False)
        await aio.get_running_loop().sock_connect(sock, address)


async def connect_from_address(aio, address, port):
    create = aio.get_running_loop().create_connection
    return await create(aio.Protocol, "127.0.0.1", port, flags=NUMERIC, local_addr=address)


async def endpoint_to_address(aio, address, _):
    create = aio.get_running_loop().create_datagram_endpoint
    return await create(aio.DatagramProtocol, remote_addr=address, flags=NUMERIC)


async def getnameinfo_of_address(aio, address, _):
    numbers = socket.NI_NUMERICHOST | socket.NI_NUMERICSERV
    return await aio.get_running_loop().getnameinfo(address, numbers)


@pytest.mark.parametrize(
    "function",
    [
        sock_connect_to_address,
        sock_connect_to_address_of_ipv6,
        connect_from_address,
        endpoint_to_address,
        getnameinfo_of_address,
    ],
)
def test_addresses(function):
    assert compare(ferrio, ADDRESSES, [function]) == compare(asyncio, ADDRESSES, [function])


async def unix_connection(aio, path, _):
    return await aio.get_running_loop().create_unix_connection(aio.Protocol, path)


async def open_unix_connection(aio, path, _):
    _, writer = await aio.open_unix_connection(path)
    return writer.transport, None


async def unix_server(aio, path, _):
    return await aio.get_running_loop().create_unix_server(aio.Protocol, path)


async def unix_endpoint_to(aio, path, _):
    create = aio.get_running_loop().create_datagram_endpoint
    return await create(aio.DatagramProtocol, remote_addr=path, family=socket.AF_UNIX)


async def unix_endpoint_at(aio, path, _):
    create = aio.get_running_loop().create_datagram_endpoint
    return await create(aio.DatagramProtocol, local_addr=path, family=socket.AF_UNIX)


async def unix_sock_connect(aio, path, _):
    with socket.socket(socket.AF_UNIX) as sock:
        sock.setblocking(False)
        await aio.get_running_loop().sock_connect(sock, path)


@pytest.mark.parametrize(
    "function",
    [unix_connection, open_unix_connection, unix_server, unix_endpoint_to, unix_endpoint_at, unix_sock_connect],
)
def test_paths(function):
    assert compare(ferrio, PATHS, [function]) == compare(asyncio, PATHS, [function])


PROGRAMS = {
    "a NUL in the program": (["/bin/true\0", "x"], {}),
    "a NUL in the program's bytes": ([b"/bin/true\0x"], {}),
    "a NUL in an argument": (["/bin/true", "x\0y"], {}),
    "a NUL in an argument's bytes": (["/bin/true", b"x\0y"], {}),
    "a NUL in the directory": (["/bin/true"], {"cwd": "/tmp\0"}),
    "a NUL in a variable": (["/bin/true"], {"env": {"A": "x\0y"}}),
    "a NUL in a variable's name": (["/bin/true"], {"env": {"A\0B": "x"}}),
    "an equals sign in a variable's name": (["/bin/true"], {"env": {"A=B": "x"}}),
    "a variable without a name": (["/bin/true"], {"env": {"": "x"}}),
    "a variable that is a number": (["/bin/true"], {"env": {"A": 7}}),
    "a NUL in the executable": (["/bin/true"], {"executable": "/bin/true\0"}),
    "an argument that is a number": (["/bin/true", 7], {}),
    "a program that is a number": ([7], {}),
    "an empty program": ([""], {}),
    "a surrogate": (["/bin/true", "\udc80"], {}),
    "a surrogate that isn't an escaped byte": (["/bin/true", "\ud800"], {}),
    "a directory that is a number": (["/bin/true"], {"cwd": object()}),
    "no directory": (["/bin/true"], {"cwd": "/nowhere"}),
    "no program": (["/nowhere/program"], {}),
    "a NUL in a program on the path": (["true\0"], {}),
    "a user with a NUL": (["/bin/true"], {"user": "root\0"}),
    "a group with a NUL": (["/bin/true"], {"group": "root\0"}),
}


async def start_program(aio, given, _):
    words, keywords = given
    process = await aio.create_subprocess_exec(*words, stdin=subprocess.DEVNULL, **keywords)
    assert await process.wait() == 0


async def start_command(aio, given, _):
    words, keywords = given
    command = words[0] if len(words) == 1 else "".join(map(str, words))
    process = await aio.create_subprocess_shell(
        command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **keywords
    )
    await process.wait()


@pytest.mark.parametrize("function", [start_program, start_command])
def test_programs(function):
    assert compare(ferrio, PROGRAMS, [function]) == compare(asyncio, PROGRAMS, [function])


FILES = {
    "a NUL": "/tmp/a\0b",
    "a NUL in bytes": b"/tmp/a\0b",
    "a lone surrogate": "/nowhere/\udc80",
    "a surrogate that isn't an escaped byte": "/nowhere/\ud800",
    "empty": "",
    "none": None,
    "a fraction": 7.5,
    "a list": [],
    "too long": "/" + "a" * 5000,
}


@pytest.mark.parametrize("name", ["open", "stat", "mkdir", "listdir", "remove", "readlink"])
def test_files(name):
    """Compares ferrio's file functions with the built-in ones."""
    plain = open if name == "open" else getattr(os, name)
    ours = ferrio.open if name == "open" else getattr(ferrio.os, name)

    async def built_in(_, path, __):
        return plain(path)

    async def asynchronous(_, path, __):
        return await ours(path)

    files = {key: path for key, path in FILES.items() if not (name == "listdir" and path is None)}
    expected = {key[1]: found for key, found in compare(ferrio, files, [built_in]).items()}
    assert {key[1]: found for key, found in compare(ferrio, files, [asynchronous]).items()} == expected


def test_abstract_names_may_contain_nuls(aio):
    """A name without a file begins with a NUL, and may contain more of them."""
    name = f"\0ferrio\0{os.getpid()}"

    async def main():
        served = asyncio.get_running_loop().create_future()
        server = await aio.start_unix_server(lambda reader, writer: served.set_result(writer.close()), name)
        _, writer = await aio.open_unix_connection(name)
        assert writer.get_extra_info("peername") == name.encode()
        await served
        writer.close()
        server.close()

    aio.run(main())
