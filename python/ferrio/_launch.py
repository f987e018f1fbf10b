"""Starts a child without making the loop wait for its program, behind an ordinary `subprocess.Popen`.

`Popen` itself checks the arguments and makes the pipes; only its last step is replaced and runs in the background.
With `FERRIO_SPAWN=popen` in the environment, `Popen` does it all.
Invariant: if something about `Popen` isn't as expected, it does that step itself, as with asyncio. Examples are a
replaced class, a debugger's hooks, `preexec_fn` and a sandbox.
"""

from __future__ import annotations

import _posixsubprocess
import inspect
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Any

from ferrio import _ferrio

_Popen = subprocess.Popen
_own_step: Any = _Popen._execute_child  # type: ignore[attr-defined]

#: The parameters of the step that is replaced; the same from Python 3.11 to 3.15.
_PARAMETERS = [
    "self",
    "args",
    "executable",
    "preexec_fn",
    "close_fds",
    "pass_fds",
    "cwd",
    "env",
    "startupinfo",
    "creationflags",
    "shell",
    "p2cread",
    "p2cwrite",
    "c2pread",
    "c2pwrite",
    "errread",
    "errwrite",
    "restore_signals",
    "gid",
    "gids",
    "uid",
    "umask",
    "start_new_session",
    "process_group",
]
_is_known = list(inspect.signature(_own_step).parameters) == _PARAMETERS


class _Launched(_Popen[bytes]):
    """A `Popen` whose child may not run its program yet; becomes a plain `Popen` when the child does."""

    _launch: _ferrio.Launch | None
    #: For an error: the program and the directory as the caller passed them.
    _named: tuple[Any, Any]

    def _execute_child(
        self,
        args: Any,
        executable: Any,
        preexec_fn: Any,
        close_fds: Any,
        pass_fds: Any,
        cwd: Any,
        env: Any,
        startupinfo: Any,
        creationflags: Any,
        shell: Any,
        p2cread: int,
        p2cwrite: int,
        c2pread: int,
        c2pwrite: int,
        errread: int,
        errwrite: int,
        restore_signals: Any,
        gid: Any,
        gids: Any,
        uid: Any,
        umask: int,
        start_new_session: Any,
        process_group: int,
    ) -> None:
        words: list[Any]
        if type(args) is tuple:
            words = list(args)
        elif isinstance(args, (str, bytes)):
            words = [args]
        elif isinstance(args, os.PathLike):
            if shell:
                raise TypeError("path-like args is not allowed when shell is true")
            words = [args]
        else:
            words = list(args)
        if shell:
            words = [executable or "/bin/sh", "-c", *words]
        if executable is None:
            executable = words[0]
        sys.audit("subprocess.Popen", executable, words, cwd, env)
        self._named = (executable, cwd)
        self._launch = _ferrio.Launch.start(
            _programs(os.fsencode(executable), env),
            words,
            _inherited() if env is None else _assignments(env),
            cwd,
            (p2cread, c2pwrite, errwrite),
            bool(close_fds),
            sorted(map(int, set(pass_fds))) if pass_fds else [],
            umask,
            bool(restore_signals),
            bool(start_new_session),
            process_group,
            gids,
            gid,
            uid,
        )
        if self._launch is None:
            _own_step(
                self,
                args,
                executable,
                preexec_fn,
                close_fds,
                pass_fds,
                cwd,
                env,
                startupinfo,
                creationflags,
                shell,
                p2cread,
                p2cwrite,
                c2pread,
                c2pwrite,
                errread,
                errwrite,
                restore_signals,
                gid,
                gids,
                uid,
                umask,
                start_new_session,
                process_group,
            )
            return
        self.pid = self._launch.pid
        self._child_created = True
        if p2cread == c2pwrite == errwrite == -1:
            self._closed_child_pipe_fds = True
        else:
            self._close_pipe_fds(p2cread, p2cwrite, c2pread, c2pwrite, errread, errwrite)  # type: ignore[attr-defined]


# From the start, its repr is that of a Popen.
_Launched.__name__ = _Launched.__qualname__ = "Popen"


async def start(
    loop: Any, args: Any, keywords: dict[str, Any]
) -> tuple[subprocess.Popen[bytes], _ferrio.Launch | None]:
    """Run `Popen(args, **keywords)` and wait until its child runs the program; return it and what owns the child.

    The second result is `None` if the `Popen` itself owns the child. Raises what `Popen` raises. If cancelled, it
    leaves no child.
    """
    env = keywords.get("env")
    # Some Pythons refuse a variable without a name, others set it.
    nameless = env and any(name in env for name in ("", b""))
    if nameless or keywords.get("preexec_fn") is not None or not _may_launch():
        return subprocess.Popen(args, **keywords), None
    popen = _Launched(args, **keywords)
    launch, named = popen._launch, popen._named
    del popen._launch, popen._named
    if launch is not None:
        try:
            failure = await loop._launched(launch)
        except BaseException:
            _end(popen, -signal.SIGKILL)
            raise
        if failure is not None:
            _end(popen, 255)
            place, number = failure
            if place == 0:
                raise OSError(number, os.strerror(number))
            raise OSError(number, os.strerror(number), named[1] if place == 1 else named[0])
    popen.__class__ = subprocess.Popen  # type: ignore[assignment]
    return popen, launch


def _may_launch() -> bool:
    """Whether `Popen` and its helpers are the standard library's own, and a child may share its parent's memory."""
    return (
        _is_known
        and os.environ.get("FERRIO_SPAWN") != "popen"
        and subprocess.Popen is _Popen
        and getattr(_Popen, "_execute_child", None) is _own_step
        # Debuggers replace it, to follow children.
        and getattr(subprocess, "_fork_exec", None) is _fork_exec
        and _posixsubprocess.fork_exec is _fork_exec
        and bool(getattr(subprocess, "_USE_VFORK", True))
    )


_fork_exec = getattr(subprocess, "_fork_exec", None)
_is_known = _is_known and inspect.isbuiltin(_fork_exec)


def _end(popen: subprocess.Popen[bytes], returncode: int) -> None:
    """Close the pipes of a child that has ended."""
    popen.returncode = returncode
    for stream in (popen.stdin, popen.stdout, popen.stderr):
        if stream is not None:
            stream.close()


def _programs(executable: bytes, env: Mapping[Any, Any] | None) -> list[bytes]:
    """The files to try to run: `executable`, or each file of that name in the folders of PATH."""
    if b"/" in executable:
        return [executable]
    if env is None and "PATH" in os.environ:
        folders = os.fsencode(os.environ["PATH"]).split(b":")
    else:
        folders = [os.fsencode(folder) for folder in os.get_exec_path(env)]
    return [(folder if folder[-1:] in b"/" else folder + b"/") + executable for folder in folders]


_has_gil: Callable[[], bool] = getattr(sys, "_is_gil_enabled", lambda: True)


def _inherited() -> list[bytes] | None:
    """The environment of a child that is given none; `None` means a copy of the process's own, made at once.

    Without a GIL another thread may change that during the copy, which libc doesn't allow. `os.environ` can be copied
    safely; it lacks only what was passed to `os.putenv` directly.
    """
    if _has_gil():
        return None
    return [name + b"=" + value for name, value in dict(os.environ._data).items()]  # type: ignore[attr-defined]


def _assignments(env: Mapping[Any, Any]) -> list[bytes]:
    assignments = []
    for name, value in env.items():
        encoded = os.fsencode(name)
        if b"=" in encoded:
            raise ValueError("illegal environment variable name")
        assignments.append(encoded + b"=" + os.fsencode(value))
    return assignments
