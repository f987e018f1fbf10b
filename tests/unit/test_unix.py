"""`create_unix_server` and `create_unix_connection`: paths, leftover files, abstract names, refused arguments."""

import errno
import os
import pathlib
import socket

import pytest
from tests.unit.connections import Echo, Noting, echoed, open_sockets
from tests.unit.implementations import since

import ferrio

pytestmark = pytest.mark.usefixtures("settled")


@pytest.fixture
def path(tmp_path):
    """A path for a socket file; short, because it may have at most 107 bytes."""
    return os.path.relpath(tmp_path / "socket") if len(str(tmp_path)) > 90 else str(tmp_path / "socket")


async def answers(loop, path):
    """Whether something echoes at `path`."""
    transport, protocol = await loop.create_unix_connection(Noting, path)
    answer = await echoed(transport, protocol)
    await protocol.lost
    return answer == b"some words"


@pytest.mark.parametrize("kind", [str, os.fsencode, pathlib.Path])
def test_paths(loop, run, path, kind):
    async def main():
        server = await loop.create_unix_server(Echo, kind(path))
        assert server.sockets[0].getsockname() == path
        assert await answers(loop, kind(path))
        server.close()
        await server.wait_closed()

    run(main())


@pytest.mark.parametrize("kind", [str, str.encode])
def test_abstract_names(loop, run, kind):
    name = kind(f"\0ferrio's test {os.getpid()}")

    async def main():
        server = await loop.create_unix_server(Echo, name)
        assert await answers(loop, name)
        server.close()
        with pytest.raises(ConnectionRefusedError):
            await loop.create_unix_connection(Noting, name)

    run(main())


def test_sockets_of_the_program_are_used(loop, run, path):
    async def main():
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        server = await loop.create_unix_server(Echo, sock=listener)
        client = socket.socket(socket.AF_UNIX)
        client.connect(path)
        transport, protocol = await loop.create_unix_connection(Noting, sock=client)
        assert client.gettimeout() == 0
        assert await echoed(transport, protocol) == b"some words"
        assert transport.get_extra_info("peername") == path
        await protocol.lost
        server.close()
        assert listener.fileno() == -1

    run(main())


def test_file_of_an_earlier_server_is_replaced(loop, run, path):
    with socket.socket(socket.AF_UNIX) as earlier:
        earlier.bind(path)

    async def main():
        server = await loop.create_unix_server(Echo, path)
        assert await answers(loop, path)
        server.close()

    run(main())


def test_other_files_are_left_alone(loop, run, path):
    pathlib.Path(path).write_text("precious")

    async def main():
        before = open_sockets()
        with pytest.raises(OSError, match=r"Address .*socket' is already in use") as caught:
            await loop.create_unix_server(Echo, path)
        assert caught.value.errno == errno.EADDRINUSE
        assert open_sockets() <= before

    run(main())
    assert pathlib.Path(path).read_text() == "precious"


@since(3, 13)
def test_file_is_removed_with_its_server(loop, run, path):
    async def main():
        server = await loop.create_unix_server(Echo, path)
        assert os.path.exists(path)
        server.close()
        assert not os.path.exists(path)
        server = await loop.create_unix_server(Echo, path, cleanup_socket=False)
        server.close()
        assert os.path.exists(path)
        # Another server's, by its inode.
        first = await loop.create_unix_server(Echo, path)
        second = await loop.create_unix_server(Echo, path)
        first.close()
        assert os.path.exists(path)
        assert await answers(loop, path)
        # Removed by somebody else.
        os.unlink(path)
        second.close()

    run(main())


def test_nobody_listens(loop, run, path):
    async def main():
        before = open_sockets()
        with pytest.raises(FileNotFoundError):
            await loop.create_unix_connection(Noting, path)
        with socket.socket(socket.AF_UNIX) as earlier:
            earlier.bind(path)
        with pytest.raises(ConnectionRefusedError):
            await loop.create_unix_connection(Noting, path)
        assert open_sockets() <= before

    run(main())


@pytest.mark.parametrize("aio", [ferrio])  # before 3.15 asyncio leaves it to the collector
def test_failing_protocol_factory_closes_the_socket(loop, run, path):
    async def main():
        server = await loop.create_unix_server(Echo, path)
        before = open_sockets()
        with pytest.raises(ZeroDivisionError):
            await loop.create_unix_connection(lambda: 1 / 0, path)
        assert open_sockets() <= before
        server.close()

    run(main())


def bad_calls():
    """Returns refused calls: method, arguments, exception, message."""
    connect, serve = "create_unix_connection", "create_unix_server"
    wrong = "A UNIX Domain Stream Socket was expected, got <socket.socket"
    return [
        (connect, {}, ValueError, "no path and sock were specified"),
        (serve, {}, ValueError, "path was not specified, and no sock specified"),
        (connect, {"path": "x", "sock": 1}, ValueError, "path and sock can not be specified at the same time"),
        (serve, {"path": "x", "sock": 1}, ValueError, "path and sock can not be specified at the same time"),
        (connect, {"sock": (socket.AF_INET, socket.SOCK_STREAM)}, ValueError, wrong),
        (serve, {"sock": (socket.AF_INET, socket.SOCK_STREAM)}, ValueError, wrong),
        (connect, {"sock": (socket.AF_UNIX, socket.SOCK_DGRAM)}, ValueError, wrong),
        (serve, {"sock": (socket.AF_UNIX, socket.SOCK_DGRAM)}, ValueError, wrong),
        (connect, {"path": "x", "ssl": True}, ValueError, "you have to pass server_hostname when using ssl"),
        (connect, {"path": "x", "server_hostname": "y"}, ValueError, "server_hostname is only meaningful with ssl"),
        (serve, {"path": "x", "ssl": True}, TypeError, "ssl argument must be an SSLContext or None"),
        *(
            (method, {"path": "x", name: 1}, ValueError, f"{name} is only meaningful with ssl")
            for method in (connect, serve)
            for name in ("ssl_handshake_timeout", "ssl_shutdown_timeout")
        ),
        (connect, {"path": 3.5}, TypeError, "expected str, bytes or os.PathLike object, not float"),
        (serve, {"path": 3.5}, TypeError, "expected str, bytes or os.PathLike object, not float"),
        (connect, {"path": "x" * 200}, OSError, "AF_UNIX path too long"),
        (serve, {"path": "x" * 200}, OSError, "AF_UNIX path too long"),
        (connect, {"path": "x", "unknown": 1}, TypeError, "unexpected keyword argument 'unknown'"),
    ]


@pytest.mark.parametrize(("method", "keywords", "exception", "text"), bad_calls())
def test_refused(loop, run, method, keywords, exception, text):
    async def main():
        before = open_sockets()
        sock = None
        if isinstance(keywords.get("sock"), tuple):
            sock = socket.socket(*keywords["sock"])
        given = keywords | ({"sock": sock} if sock else {})
        with pytest.raises(exception) as caught:
            await getattr(loop, method)(Noting, **given)
        assert text in str(caught.value)
        if sock:
            sock.close()
        assert open_sockets() <= before

    run(main())
