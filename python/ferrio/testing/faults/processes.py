"""The faults of child processes: they don't start, die, or are slow.

They reach every child that `subprocess.Popen` starts: those of `create_subprocess_exec`, of `create_subprocess_shell`
and of `subprocess.run` in a thread. `os.fork`, `os.posix_spawn` and `multiprocessing` are out of reach. `program`
limits a fault to the children that run it: a name ("git") or a path. What a shell command runs is "sh".

Invariant: nothing stays replaced after the last block, and no child is stopped.
"""

from __future__ import annotations

import errno
import os
import shutil
import signal as signals
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from ferrio.testing.faults import waiting

__all__ = ("no_processes", "no_program", "process_killed", "slow_process")

# What starts a child: the method of `Popen` that is replaced.
_Step = Callable[..., None]
_Popen: Any = subprocess.Popen
_active: list[Callable[[_Step], _Step]] = []
_lock = threading.Lock()
_standard: _Step | None = None


def no_processes(*, program: str | None = None) -> Any:
    """No child can be started: EAGAIN, as if the limit of processes were reached."""

    def refusing(_step: _Step) -> _Step:
        def start(*_args: Any) -> None:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

        return start

    return _faulty(program, refusing)


def no_program(program: str) -> Any:
    """The program isn't there: `FileNotFoundError` with its name."""

    def missing(_step: _Step) -> _Step:
        def start(_popen: Any, args: Any, executable: Any, *rest: Any) -> None:
            name = _words(args, executable, rest[_SHELL])[0]
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)

        return start

    return _faulty(program, missing)


@contextmanager
def process_killed(*, after: float = 0.0, signal: int = signals.SIGKILL, program: str | None = None) -> Iterator[None]:
    """Each child is sent the signal so many seconds after its start, unless it has ended.

    They are seconds of the loop's time. A virtual clock waits for children, but never longer than for its next timer.
    """
    with ExitStack() as undo:

        def kill(child: int) -> None:
            try:
                signals.pidfd_send_signal(child, signal)
            except ProcessLookupError:
                pass  # it has ended

        def dying(step: _Step) -> _Step:
            def start(popen: Any, *args: Any) -> None:
                step(popen, *args)
                # Its number may belong to another process by then.
                child = os.pidfd_open(popen.pid)
                undo.callback(os.close, child)
                undo.callback(waiting.Later(after, lambda: kill(child)).cancel)

            return start

        with _faulty(program, dying):
            yield


@contextmanager
def slow_process(seconds: float, *, program: str | None = None) -> Iterator[None]:
    """Each child stands still for so many seconds before it runs its program, in the loop's time.

    It has been started by then: `create_subprocess_exec` returns at once. A virtual clock doesn't wait for it.
    """
    with ExitStack() as undo:

        def sleeping(step: _Step) -> _Step:
            def start(popen: Any, args: Any, executable: Any, *rest: Any) -> None:
                words = _words(args, executable, rest[_SHELL])
                if _is_there(words[0], rest[_FOLDER], rest[_ENVIRONMENT]):
                    rest = (*rest[:_SHELL], False, *rest[_SHELL + 1 :])
                    step(popen, ["/bin/sh", "-c", _STAND_STILL, *words], None, *rest)
                    undo.callback(_go_on_later(popen.pid, seconds))
                else:
                    step(popen, args, executable, *rest)  # which says what is wrong

            return start

        with _faulty(program, sleeping):
            yield


# The places of some arguments of the step, behind the executable.
_FOLDER, _ENVIRONMENT, _SHELL = 3, 4, 7

# A shell stops itself, and becomes the program when it goes on.
_STAND_STILL = 'kill -STOP $$; exec "$0" "$@"'


def _go_on_later(pid: int, seconds: float) -> Callable[[], None]:
    """Lets the child go on after so many seconds; returns what does so at once."""
    child = os.pidfd_open(pid)
    os.waitid(os.P_PIDFD, child, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def go_on() -> None:
        try:
            signals.pidfd_send_signal(child, signals.SIGCONT)
        except ProcessLookupError:
            pass  # it was killed

    later = waiting.Later(seconds, go_on, child=pid)

    def end() -> None:
        later.cancel()
        go_on()
        os.close(child)

    return end


def _words(args: Any, executable: Any, shell: bool) -> list[str]:
    """The program and its arguments."""
    words = [args] if isinstance(args, (str, bytes, os.PathLike)) else list(args)
    if shell:
        words = [executable or "/bin/sh", "-c", *words]
    elif executable is not None:
        words[0] = executable
    return [os.fsdecode(word) for word in words]


def _is_there(program: str, folder: Any, environment: Any) -> bool:
    """Whether the program can be run in that folder and with that environment."""
    if "/" in program:
        return os.access(os.path.join(os.fsdecode(folder or "."), program), os.X_OK)
    return shutil.which(program, path=os.pathsep.join(os.get_exec_path(environment))) is not None


@contextmanager
def _faulty(program: str | None, change: Callable[[_Step], _Step]) -> Iterator[None]:
    """Changes how the children that run `program` are started."""

    def limited(step: _Step) -> _Step:
        changed = change(step)

        def start(popen: Any, args: Any, executable: Any, *rest: Any) -> None:
            its = _words(args, executable, rest[_SHELL])[0]
            concerned = program is None or program in (its, os.path.basename(its))
            (changed if concerned else step)(popen, args, executable, *rest)

        return start

    global _standard
    with _lock:
        if not _active:
            _standard = _Popen._execute_child
            _Popen._execute_child = _start
        _active.append(limited)
    try:
        yield
    finally:
        with _lock:
            _active.remove(limited)
            if not _active:
                _Popen._execute_child = _standard


def _start(popen: Any, *args: Any) -> None:
    """In place of `Popen._execute_child`. The block that was entered last comes first."""
    step = _standard
    assert step is not None, "it is set as long as this is in its place"
    for limited in tuple(_active):
        step = limited(step)
    step(popen, *args)
