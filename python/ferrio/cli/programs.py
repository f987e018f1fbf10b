"""The programs that `ferrio top`, `ferrio ps` and `ferrio tree` look at: finding them, and asking them.

Each has an agent (`ferrio.sight.agent`), or gets one (`attach`). Whatever keeps a program from being seen is an
`Unseen`, whose text is for the user.
"""

from __future__ import annotations

import glob
import json
import os
import pwd
import socket
import time
from collections.abc import Mapping, Sequence
from typing import Any

from ferrio.sight import meeting

__all__ = ("Program", "Unseen", "open_program", "roots", "running", "title")

# How many seconds a program may take for a reply. It may be in C code that keeps the interpreter's lock.
_PATIENCE = 5.0

# A reply is shorter.
_LONGEST = 1 << 28

# The versions of the protocol that this side understands.
_VERSIONS = (1,)


class Unseen(Exception):
    """A program can't be seen. The text says why, and what to do."""


class Program:
    """A connection to the agent of a program."""

    def __init__(self, connection: socket.socket, pid: int) -> None:
        self.pid = pid
        self._connection = connection
        self._received = b""
        self.about: dict[str, Any] = self.ask({"do": "hello"})

    def ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the reply to a request; waits if the agent must rest first.

        Raises `Unseen` if there is none.
        """
        while True:
            reply = self.ask_once(request)
            if "again_in" not in reply:
                return reply
            time.sleep(reply["again_in"] + 0.001)

    def ask_once(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the reply to a request, which may be `{"again_in": seconds}`."""
        try:
            return self._exchange(request)
        except Unseen:
            self.close()
            raise

    def _exchange(self, request: Mapping[str, Any]) -> dict[str, Any]:
        try:
            self._connection.settimeout(_PATIENCE)
            self._connection.sendall(json.dumps({"v": max(_VERSIONS), **request}).encode() + b"\n")
            reply = json.loads(self._line())
        except TimeoutError:
            raise Unseen(
                f"Process {self.pid} doesn't answer. It may be stopped, or in C code that holds the interpreter's lock."
            ) from None
        except (OSError, EOFError):
            raise Unseen(f"Process {self.pid} has ended.") from None
        except ValueError as error:
            raise Unseen(f"Process {self.pid} answers with something else: {error}.") from None
        if not isinstance(reply, dict) or reply.get("v") not in _VERSIONS:
            raise Unseen(f"Process {self.pid} has another version of ferrio. Use `ferrio` of its own environment.")
        if "error" in reply:
            raise Unseen(f"Process {self.pid} refuses: {reply['error']}")
        del reply["v"]
        return dict(reply)

    def close(self) -> None:
        """Ends the connection."""
        self._connection.close()

    def _line(self) -> bytes:
        while b"\n" not in self._received:
            data = self._connection.recv(1 << 18)
            if not data:
                raise EOFError
            self._received += data
            if len(self._received) > _LONGEST:
                raise ValueError("its reply has no end")
        line, _, self._received = self._received.partition(b"\n")
        return line


def running() -> list[Program]:
    """Returns all programs that can be seen, in the order of their process numbers. Root sees everybody's."""
    found: dict[int, Program] = {}
    for uid in _users():
        for path, pid in meeting.sockets(uid):
            if pid == os.getpid() or pid in found:
                continue
            try:
                connection = meeting.connect(path, uid, pid, _PATIENCE)
                if connection is not None:
                    found[pid] = Program(connection, pid)
            except (OSError, meeting.PlaceError, Unseen):
                continue
    return [found[pid] for pid in sorted(found)]


def open_program(pid: int) -> Program:
    """Returns the program with this process number; attaches to it if it didn't ask to be seen.

    Raises `Unseen` if it can't be seen.
    """
    try:
        uid = os.stat(f"/proc/{pid}").st_uid
    except OSError:
        raise Unseen(f"There is no process {pid}.") from None
    if uid != os.geteuid() and os.geteuid() != 0:
        raise Unseen(f"Process {pid} belongs to the user {_user(uid)}. Only that user, or root, can look at it.")
    program = connected(pid, uid)
    if program is None:
        from ferrio.cli import attach

        attach.attach(pid, uid)
        program = connected(pid, uid)
    if program is None:
        raise Unseen(f"Process {pid} listens in a place that can't be reached from here, as in a container.")
    return program


def connected(pid: int, uid: int) -> Program | None:
    """Returns the program if its agent listens."""
    # The program may have other places than this process.
    for path in dict.fromkeys([*meeting.directories(uid, _runtime_directory(pid)), *meeting.directories(uid)]):
        try:
            connection = meeting.connect(path, uid, pid, _PATIENCE)
        except FileNotFoundError:
            continue
        except meeting.PlaceError as error:
            raise Unseen(f"Process {pid} can't be trusted: {error}.") from None
        except OSError as error:
            raise Unseen(f"Process {pid} can't be reached: {error.strerror}.") from None
        if connection is not None:
            return Program(connection, pid)
    return None


def roots(programs: Sequence[Program]) -> dict[int, int]:
    """Returns for each program, by process number, the first of the processes that it belongs together with.

    Processes belong together if one started the other, or both were started by the same one, and that runs the same
    Python.
    """
    return {program.pid: _ancestor(program.pid) for program in programs}


def title(about: Mapping[str, Any]) -> str:
    """Returns a program's command line without the interpreter."""
    words = _without_options(list(about["process"]["argv"])[1:])
    if words[:1] == ["-c"] and "spawn_main" in " ".join(words[1:2]):
        return "a process of multiprocessing"
    if words[:2] == ["-m", "ferrio"]:
        words = _without_options(words[2:])
    return " ".join(words).replace("\n", " ") or "python"


def _without_options(words: list[str]) -> list[str]:
    """Leaves out the options before a program, of Python or ferrio."""
    at = 0
    while at < len(words) and words[at].startswith("-") and words[at][:2] not in ("-c", "-m", "-"):
        at += 2 if words[at] in ("-X", "-W") else 1
    return words[at:]


def _ancestor(pid: int) -> int:
    executable = _executable(pid)
    while True:
        parent = _parent(pid)
        if executable is None or parent <= 1 or _executable(parent) != executable:
            return pid
        pid = parent


def _executable(pid: int) -> str | None:
    try:
        return os.readlink(f"/proc/{pid}/exe")
    except OSError:
        return None


def _parent(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        return 0


def _users() -> list[int]:
    """The users whose programs this one may see."""
    own = os.geteuid()
    if own != 0:
        return [own]
    names = [path.rpartition("-")[2] for path in glob.glob("/tmp/ferrio-*")]
    names += [path.split("/")[3] for path in glob.glob("/run/user/*/ferrio")]
    return sorted({own, *(int(name) for name in names if name.isdecimal())})


def _runtime_directory(pid: int) -> str | None:
    """The program's own `XDG_RUNTIME_DIR`; `None` if it can't be read, for ours."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            entries = file.read().split(b"\0")
    except OSError:
        return None
    return next((os.fsdecode(entry[16:]) for entry in entries if entry.startswith(b"XDG_RUNTIME_DIR=")), "")


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
