"""The end of a program: threads and files end before the interpreter does, and a warning names what delays it.

Nothing here runs earlier. Invariant: the report comes from a daemon thread, so nothing waits for it.
"""

from __future__ import annotations

import atexit
import contextlib
import threading
import time
import warnings

from ferrio import _ferrio, executor, processes

# Seconds after the program's end until it says what it is waiting for.
REPORT_DELAY = 5.0

_begun = False
_waits_for_processes = False


def begin() -> None:
    """Makes the program report what it is waiting for, if its end takes long. Calling it again has no effect."""
    global _begun
    if not _begun and (executor.workers() or _running()):
        _begun = True
        with contextlib.suppress(RuntimeError):  # it is too late to start a thread
            # A daemon, so that nothing waits for this thread itself.
            threading.Thread(target=_report, name="ferrio at exit", daemon=True).start()


def _end() -> None:
    """Lets the threads of all pools end, which the interpreter then joins, and waits for files."""
    executor.close_all()
    begin()
    _ferrio._finish_file_jobs()


def _report() -> None:
    time.sleep(REPORT_DELAY)
    if running := _running():
        warnings.warn(
            f"The program has ended, but is still waiting for {executor.listed(running)}. Press Ctrl-C to stop it",
            RuntimeWarning,
            stacklevel=2,
        )


def _running() -> list[str]:
    """Returns what the program is waiting for."""
    return [
        *(f"{function!r} in a thread" for worker in executor.workers() if (function := worker.function) is not None),
        *(f"{function!r} in a process" for function in processes.running_functions()),
        *(f"{job} in a thread" for job in _ferrio._file_jobs()),
    ]


def call_before_threads_are_joined() -> None:
    """Registers `_end` to run as early as possible at exit, as it has to; `atexit` comes later."""
    threading._register_atexit(_end)  # type: ignore[attr-defined]


def load_before_the_end() -> None:
    """Imports what native code may need at exit, while imports still work."""
    atexit.register(_ferrio._load_before_the_end)


def call_before_processes_are_joined() -> None:
    """Registers `begin` to run before `concurrent.futures.process`, already imported, waits for its processes.

    Calling it again has no effect.
    """
    global _waits_for_processes
    if not _waits_for_processes:
        _waits_for_processes = True
        threading._register_atexit(begin)  # type: ignore[attr-defined]
