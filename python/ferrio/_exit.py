"""The end of a program: threads and files end before the interpreter does, and what keeps it is named.

Nothing here runs before that. Invariant: the report comes from a daemon
thread, so that nothing waits for it.
"""

from __future__ import annotations

import atexit
import contextlib
import threading
import time
import warnings

from ferrio import _ferrio, executor, processes

# Seconds after which a program that is at its end says what keeps it.
REPORT_DELAY = 5.0

_begun = False
_waits_for_processes = False


def begin() -> None:
    """Sees to it that a program which waits for long at its end says for what. Any number of calls are one."""
    global _begun
    if not _begun and (executor.workers() or _running()):
        _begun = True
        with contextlib.suppress(RuntimeError):  # no thread can be started any more
            # A daemon: it must not be waited for itself.
            threading.Thread(target=_report, name="ferrio at exit", daemon=True).start()


def _end() -> None:
    """Lets the threads of all pools end, which the interpreter joins after this, and waits for files."""
    executor.close_all()
    begin()
    _ferrio._finish_file_jobs()


def _report() -> None:
    time.sleep(REPORT_DELAY)
    if running := _running():
        warnings.warn(
            f"The program is at its end, but it goes on waiting for {executor.listed(running)}. Ctrl-C ends it",
            RuntimeWarning,
            stacklevel=2,
        )


def _running() -> list[str]:
    """Returns what would keep the program."""
    return [
        *(f"{function!r} in a thread" for worker in executor.workers() if (function := worker.function) is not None),
        *(f"{function!r} in a process" for function in processes.running_functions()),
        *(f"{job} in a thread" for job in _ferrio._file_jobs()),
    ]


def call_before_threads_are_joined() -> None:
    """Has `_end` called as early as the interpreter knows, which is when it has to be: `atexit` comes after that."""
    threading._register_atexit(_end)  # type: ignore[attr-defined]


def load_before_the_end() -> None:
    """Has what native code may need yet loaded while imports still work."""
    atexit.register(_ferrio._load_before_the_end)


def call_before_processes_are_joined() -> None:
    """Has `begin` called before `concurrent.futures.process`, which must be imported, waits for its processes.

    Any number of calls are one.
    """
    global _waits_for_processes
    if not _waits_for_processes:
        _waits_for_processes = True
        threading._register_atexit(begin)  # type: ignore[attr-defined]
