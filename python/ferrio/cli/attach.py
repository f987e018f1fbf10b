"""Attaching to a program that didn't ask to be seen: `sys.remote_exec`, from Python 3.14 on.

The program runs a small script at its next chance, in its main thread. The script starts the agent, and leaves a note
about how that went.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
import time

from ferrio.cli.programs import Unseen
from ferrio.sight import meeting

__all__ = ("attach",)

# How many seconds a program gets to run the script.
_PATIENCE = 5.0

# Of more characters, an answer isn't read.
_LONGEST = 1000

_OPT_IN = (
    "Start the program by `python -m ferrio --sight`, set FERRIO_SIGHT=1 for it, or let it call `ferrio.sight.serve()`."
)

_SCRIPT = """\
def _let_ferrio_see():
    import os, sys

    try:
        if "ferrio" in sys.modules:
            from ferrio.sight import agent

            agent.serve()
            answer = "seen"
        else:
            answer = "no ferrio"
    except Exception as error:
        answer = f"{type(error).__name__}: {error}"
    with open(%(path)r + ".new", "w") as file:
        file.write(answer)
    os.replace(%(path)r + ".new", %(path)r)


_let_ferrio_see()
"""


def attach(pid: int, uid: int) -> None:
    """Starts an agent in the process `pid` of the user `uid`. Raises `Unseen` if that can't be done."""
    version = _version(pid)
    here = sys.version_info[:2]
    if version is None:
        raise Unseen(f"Process {pid} ({_name(pid)}) isn't a Python program.")
    number = ".".join(map(str, version))
    if version < (3, 14):
        raise Unseen(
            f"Process {pid} runs on Python {number}, and didn't ask to be seen. {_OPT_IN} "
            "From Python 3.14 on, that isn't needed."
        )
    if not _uses_ferrio(pid):
        raise Unseen(f"Process {pid} doesn't use ferrio.")
    if version != here:
        python = os.path.realpath(f"/proc/{pid}/exe")
        raise Unseen(
            f"Process {pid} runs on Python {number}, and this is Python {'.'.join(map(str, here))}. "
            f"Use a `ferrio` of that version, such as `{python} -m ferrio`. Or: {_OPT_IN}"
        )
    _start(pid, uid)


def _start(pid: int, uid: int) -> None:
    try:
        directory = meeting.own_directory(uid)
    except meeting.PlaceError as error:
        raise Unseen(f"There is no place to meet the process: {error}.") from None
    _sweep(directory)
    script, answer = f"{directory}/{pid}.py", f"{directory}/{pid}.answer"
    # As root, this works in the directory of somebody who may put a link in its place.
    with meeting.opened(directory, uid) as place:
        for name in (f"{pid}.answer", f"{pid}.py"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{place}/{name}")
        number = os.open(f"{place}/{pid}.py", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(number, "w") as file:
            file.write(_SCRIPT % {"path": answer})
            if uid != os.geteuid():
                os.fchown(number, uid, -1)
    _execute(pid, script)
    until = time.monotonic() + _PATIENCE
    while (said := _read(answer)) is None:
        if not os.path.exists(f"/proc/{pid}"):
            raise Unseen(f"Process {pid} has ended.")
        if time.monotonic() > until:
            # The script stays there, because the program will still run it.
            raise Unseen(
                f"Process {pid} hasn't run any Python code for {_PATIENCE:.0f} seconds: it waits, or is in a long "
                "call. It can be seen as soon as it goes on; try again then."
            )
        time.sleep(0.01)
    for path in (script, answer):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
    if said == "no ferrio":
        raise Unseen(f"Process {pid} doesn't use ferrio.")
    if said != "seen":
        raise Unseen(f"Process {pid} can't be seen: {said}")


def _execute(pid: int, script: str) -> None:
    execute = getattr(sys, "remote_exec", None)
    if execute is None:
        raise Unseen(f"This Python was built without `sys.remote_exec`. {_OPT_IN}")
    try:
        execute(pid, script)
    except PermissionError:
        raise Unseen(f"The system doesn't let this process attach to {pid}. {_about_ptrace()}{_OPT_IN}") from None
    except ProcessLookupError:
        raise Unseen(f"There is no process {pid}.") from None
    except (OSError, RuntimeError) as error:
        raise Unseen(f"Python can't attach to process {pid}: {error} {_OPT_IN}") from None


def _about_ptrace() -> str:
    try:
        with open("/proc/sys/kernel/yama/ptrace_scope") as file:
            scope = file.read().strip()
    except OSError:
        return ""
    return f"`kernel.yama.ptrace_scope` is {scope}, so only root may. " if scope not in ("", "0") else ""


def _version(pid: int) -> tuple[int, int] | None:
    """The version of the Python that runs in the process; `None` if there is none."""
    text = _maps(pid) + "\n" + _link(pid)
    for pattern in (r"libpython(3)\.(\d+)", r"/python(3)\.(\d+)t?$", r"\.cpython-(3)(\d+)t?-", r"/python(3)\.(\d+)t?/"):
        found = re.search(pattern, text, re.MULTILINE)
        if found:
            return int(found[1]), int(found[2])
    return None


def _uses_ferrio(pid: int) -> bool:
    return re.search(r"/_ferrio\.[^/]*\.so", _maps(pid)) is not None


def _maps(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/maps", errors="replace") as file:
            return file.read()
    except PermissionError:
        raise Unseen(f"The system doesn't let this process look at {pid}. {_about_ptrace()}{_OPT_IN}") from None
    except OSError:
        raise Unseen(f"There is no process {pid}.") from None


def _link(pid: int) -> str:
    try:
        return os.readlink(f"/proc/{pid}/exe")
    except OSError:
        return ""


def _name(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/comm") as file:
            return file.read().strip()
    except OSError:
        return "gone"


def _read(path: str) -> str | None:
    try:
        number = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(number, errors="replace") as file:
            return file.read(_LONGEST)
    except FileNotFoundError:
        return None


def _sweep(directory: str) -> None:
    """Removes what is left of processes that ended before they could answer."""
    with contextlib.suppress(OSError):
        for name in os.listdir(directory):
            pid, _, kind = name.partition(".")
            if kind in ("py", "answer", "answer.new") and pid.isdecimal() and not os.path.exists(f"/proc/{pid}"):
                os.unlink(f"{directory}/{name}")
