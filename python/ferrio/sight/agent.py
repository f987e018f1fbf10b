"""The agent: answers `ferrio top`, `ferrio ps` and `ferrio tree` in the program that they look at.

A daemon thread listens on a Unix socket that only the same user can reach (`meeting`). A request is a line of JSON, and
so is its reply; what they contain is in `snapshot`. While somebody looks, the thread also takes samples of the loops.

Invariants: nobody can change anything by a request, or run code. The agent spends at most a fiftieth of its time on
tables. It ends before the interpreter does; a forked child gets an agent of its own when a loop begins to run in it.
"""

from __future__ import annotations

import atexit
import contextlib
import errno
import json
import logging
import os
import selectors
import signal
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

from ferrio import _ferrio
from ferrio._modules import log
from ferrio.sight import announced, meeting, snapshot

__all__ = ("Agent", "follow", "serve")

# How many times as long as a table has used the CPU the agent rests after it.
_REST = 50

# How many seconds a reader may keep the agent waiting.
_PATIENCE = 2

# Errors of `accept` that last, and how many seconds the agent then waits.
_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_PAUSE = 0.5

# A request is shorter than this.
_LONGEST = 65536

_agent: Agent | None = None
_follows = False
_ending = False
_starting = False
# Reentrant: code that `sys.remote_exec` or a signal runs in a thread may find that thread inside `serve`.
_lock = threading.RLock()


class Agent:
    """Listens for `ferrio top`, `ps` and `tree`, and answers them."""

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._user = os.geteuid()
        self._directory = meeting.own_directory()
        self._sampler = _ferrio._Sampler()
        self._tables = snapshot.Tables(self._sampler)
        self._clients: list[_Client] = []
        self._stopping = threading.Event()
        self._rests_until = 0.0
        with contextlib.ExitStack() as made:
            self._woken, self._wake = map(made.enter_context, socket.socketpair())
            self._selector = made.enter_context(selectors.DefaultSelector())
            self._listener = made.enter_context(meeting.bind(self._directory, self._pid))
            made.callback(meeting.remove, self._directory, self._pid)
            self._listener.setblocking(False)
            self._selector.register(self._listener, selectors.EVENT_READ, self._accept)
            self._selector.register(self._woken, selectors.EVENT_READ, lambda: None)
            self._thread = threading.Thread(target=self._run, name=announced.AGENT_THREAD, daemon=True)
            self._thread.start()
            made.pop_all()

    @property
    def path(self) -> str:
        """The path of the socket."""
        return _path(self._directory)

    def stop(self, patience: float | None = _PATIENCE + 1) -> None:
        """Ends the agent. To its clients, the program has ended."""
        self._stopping.set()
        with contextlib.suppress(OSError):
            self._wake.send(b"x")
        if self._thread is not threading.current_thread():
            self._thread.join(patience)

    def close_in_child(self) -> None:
        """Closes what a forked child has inherited; the parent's agent goes on."""
        for each in (self._listener, self._woken, self._wake, *(client.connection for client in self._clients)):
            each.close()
        self._selector.close()

    def loop_begins(self, loop: Any) -> None:
        """Called in the thread of each loop that begins to run."""
        self._sampler.add(loop)
        if any(client.samples for client in self._clients):
            self._sampler.attach(True)

    def _run(self) -> None:
        with contextlib.suppress(ValueError):  # a signal that can't be blocked
            signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            self._sampler.attach(False)
            while not self._stopping.is_set():
                self._sampler.wait(self._selector.fileno())
                for key, _events in self._selector.select(0):
                    key.data()
        except Exception:
            log.logger.exception("ferrio's agent has failed; `ferrio top` no longer sees this program")
        finally:
            self._close()

    def _close(self) -> None:
        for client in list(self._clients):
            self._forget(client)
        meeting.remove(self._directory, self._pid)
        for each in (self._listener, self._woken, self._wake):
            each.close()
        self._selector.close()

    def _accept(self) -> None:
        try:
            connection, _address = self._listener.accept()
        except OSError as error:
            if error.errno in _EXHAUSTED:
                # A reader that comes stays in the queue, and would wake this thread again at once.
                self._stopping.wait(_PAUSE)
            return
        if meeting.peer(connection)[1] not in (self._user, 0):
            connection.close()
            return
        connection.settimeout(_PATIENCE)
        client = _Client(connection, self._answer)
        self._clients.append(client)
        self._selector.register(connection, selectors.EVENT_READ, lambda: self._serve(client))

    def _serve(self, client: _Client) -> None:
        if not client.serve():
            self._forget(client)

    def _forget(self, client: _Client) -> None:
        self._clients.remove(client)
        self._selector.unregister(client.connection)
        client.connection.close()
        self._sample(client, False)

    def _sample(self, client: _Client, wanted: bool) -> None:
        """Takes samples as long as any client wants them."""
        client.samples = wanted
        self._sampler.attach(any(known.samples for known in self._clients))

    def _answer(self, client: _Client, request: dict[str, Any]) -> dict[str, Any]:
        what = request.get("do")
        if what == "hello":
            return self._tables.process()
        if what == "stack":
            return self._tables.stack(request)
        if what != "tasks":
            return {"error": f"this version of ferrio doesn't know the request {what!r}"}
        self._sample(client, bool(request.get("sample")))
        rest = self._rests_until - time.monotonic()
        if rest > 0:
            return {"again_in": rest}
        began = time.thread_time()
        try:
            return self._tables.tasks(request)
        finally:
            self._rests_until = time.monotonic() + _REST * (time.thread_time() - began)


class _Client:
    """A connection of `ferrio top`, `ps` or `tree`."""

    def __init__(self, connection: socket.socket, answer: Callable[[_Client, dict[str, Any]], dict[str, Any]]) -> None:
        self.connection = connection
        self.samples = False
        self._answer = answer
        self._received = b""

    def serve(self) -> bool:
        """Reads what has come and answers each whole request; returns whether to go on."""
        try:
            data = self.connection.recv(_LONGEST)
            self._received += data
            *lines, self._received = self._received.split(b"\n")
            for line in lines:
                self.connection.sendall(self._reply(line) + b"\n")
        except OSError:
            return False
        return bool(data) and len(self._received) < _LONGEST

    def _reply(self, line: bytes) -> bytes:
        try:
            request = json.loads(line)
            if not isinstance(request, dict):
                raise TypeError(f"an object is needed, not {type(request).__name__}")
            return json.dumps({"v": snapshot.VERSION, **self._answer(self, request)}).encode()
        except BaseException as error:  # the program's objects may raise anything, and nobody sends this thread Ctrl-C
            logging.getLogger("asyncio").debug("a request to ferrio's agent failed", exc_info=True)
            return json.dumps({"v": snapshot.VERSION, "error": f"{type(error).__name__}: {error}"}).encode()


def serve() -> str:
    """Starts the agent, as `ferrio.sight.serve` says."""
    follow()
    with _lock:
        try:
            # If this thread is starting it further up, this is where it will be.
            return _path(meeting.own_directory()) if _starting else _the_agent().path
        except meeting.PlaceError as error:
            raise OSError(str(error)) from None


def _the_agent() -> Agent:
    """Returns the agent, which it starts if need be."""
    global _agent, _starting
    if _agent is None:
        _starting = True
        try:
            _agent = Agent()
        finally:
            _starting = False
    return _agent


def _path(directory: str) -> str:
    return f"{directory}/{os.getpid()}.sock"


def follow() -> None:
    """Starts the agent when a loop begins to run, here and in forked children."""
    global _follows
    if not _follows:
        _follows = True
        announced.listen(_loop_begins)
        atexit.register(_stop)


def _loop_begins(loop: Any) -> None:
    if _ending:
        return
    try:
        serve()
    except (OSError, RuntimeError) as error:  # the latter at the interpreter's end
        announced.unlisten(_loop_begins)
        log.logger.warning("`ferrio top` can't see this program: %s", error)
    if _agent is not None:
        _agent.loop_begins(loop)


def _stop() -> None:
    global _agent, _ending
    _ending = True
    agent, _agent = _agent, None
    if agent is not None:
        agent.stop()


def _forget_after_fork() -> None:
    global _agent, _lock, _starting
    # The thread is the parent's, and another thread of the parent may have held the lock.
    _lock, _starting = threading.RLock(), False
    agent, _agent = _agent, None
    if agent is not None:
        agent.close_in_child()


os.register_at_fork(after_in_child=_forget_after_fork)
