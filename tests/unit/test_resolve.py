"""`getaddrinfo` and `getnameinfo`: numeric addresses need no thread; names are looked up in one."""

import asyncio
import socket
import threading

import pytest

import ferrio


@pytest.fixture
def threads_of_lookups(monkeypatch):
    """Records the threads in which `socket.getaddrinfo` and `getnameinfo` ran; "main" for the loop's."""
    seen = []

    def noting(function):
        def noted(*args, **kwargs):
            seen.append("main" if threading.current_thread() is threading.main_thread() else "other")
            return function(*args, **kwargs)

        return noted

    for name in ("getaddrinfo", "getnameinfo"):
        monkeypatch.setattr(socket, name, noting(getattr(socket, name)))
    return seen


@pytest.fixture
def finished(loop, run):
    """Ends the default executor's threads after the test."""
    yield
    run(loop.shutdown_default_executor())


@pytest.mark.parametrize(
    ("host", "port", "keywords"),
    [
        ("127.0.0.1", 80, {}),
        ("127.0.0.1", "80", {"type": socket.SOCK_STREAM}),
        ("::1", 80, {"family": socket.AF_INET6, "type": socket.SOCK_DGRAM}),
        (b"127.0.0.1", b"80", {}),
        ("127.0.0.1", None, {"proto": socket.IPPROTO_TCP}),
        (None, 80, {"flags": socket.AI_PASSIVE, "type": socket.SOCK_STREAM}),
        ("localhost", 80, {"type": socket.SOCK_STREAM}),
    ],
)
def test_same_answer_as_the_socket_module(loop, run, finished, host, port, keywords):
    expected = socket.getaddrinfo(host, port, **keywords)
    assert run(loop.getaddrinfo(host, port, **keywords)) == expected


@pytest.mark.parametrize(
    ("host", "port", "thread"),
    [
        ("127.0.0.1", 80, "main"),
        ("::1", "8080", "main"),
        (None, 80, "main"),
        ("localhost", 80, "other"),
        ("127.0.0.1", "http", "other"),
        ("::1%lo", 80, "other"),
    ],
)
def test_only_names_go_to_a_thread(threads_of_lookups, host, port, thread):
    loop = ferrio.new_event_loop()
    try:
        loop.run_until_complete(loop.getaddrinfo(host, port))
    except socket.gaierror:
        pass  # no such service or interface here; we only check where the lookup ran
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()
    assert threads_of_lookups == [thread]


def test_failed_lookup_raises(loop, run, finished):
    with pytest.raises(socket.gaierror):
        run(loop.getaddrinfo("127.0.0.1", 80, family=socket.AF_INET6))
    with pytest.raises(socket.gaierror):
        # Fails by the host's own resolver: if the network doesn't answer, a lookup there would wait.
        run(loop.getaddrinfo("name.invalid", 80, flags=socket.AI_NUMERICHOST))


def test_names_of_an_address(loop, run, finished):
    numbers = socket.NI_NUMERICHOST | socket.NI_NUMERICSERV
    assert run(loop.getnameinfo(("127.0.0.1", 80), numbers)) == ("127.0.0.1", "80")
    assert run(loop.getnameinfo(("127.0.0.1", 80))) == socket.getnameinfo(("127.0.0.1", 80), 0)


def test_names_of_an_address_in_numbers_need_no_thread(threads_of_lookups):
    loop = ferrio.new_event_loop()
    numbers = socket.NI_NUMERICHOST | socket.NI_NUMERICSERV
    loop.run_until_complete(loop.getnameinfo(("127.0.0.1", 80), numbers))
    loop.run_until_complete(loop.getnameinfo(("127.0.0.1", 80), socket.NI_NUMERICHOST))
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()
    assert threads_of_lookups == ["main", "other"]


def test_cancelled_while_a_thread_looks_up(loop, run, finished, monkeypatch):
    begun, go_on = threading.Event(), threading.Event()

    def slow(*_):
        begun.set()
        go_on.wait()
        return []

    monkeypatch.setattr(socket, "getaddrinfo", slow)

    async def main():
        task = loop.create_task(loop.getaddrinfo("name.example", 80))
        while not begun.is_set():
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        go_on.set()

    run(main())
