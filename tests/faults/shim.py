"""Compiles `shim.c`, and arms it in a process in which it is preloaded."""

import ctypes
import functools
import os
import pathlib
import shutil
import subprocess
import sys

SOURCE = pathlib.Path(__file__).with_name("shim.c")
SHORT = -1


def compiler():
    """Returns the C compiler, or `None`."""
    return shutil.which("cc")


@functools.cache
def library():
    """Returns the compiled library; compiles it if it is older than its source."""
    built = SOURCE.parents[2] / "target" / "faults" / "shim.so"
    if not built.exists() or built.stat().st_mtime < SOURCE.stat().st_mtime:
        built.parent.mkdir(parents=True, exist_ok=True)
        new = built.with_suffix(f".{os.getpid()}")
        command = [compiler(), "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o", new, SOURCE]
        subprocess.run(command, check=True)
        new.replace(built)  # in one step, since another process may be compiling as well
    return built


def environment():
    """Returns the environment of a process with the library in it."""
    return {**os.environ, "LD_PRELOAD": str(library()), "RUST_BACKTRACE": "0"}


class Shim:
    """The library in this process."""

    def __init__(self, part):
        """`part`: what the path of the library contains whose calls count; `None` for all calls."""
        self.library = ctypes.CDLL(None)
        self.library.faults_name.restype = ctypes.c_char_p
        for function in (self.library.faults_count, self.library.faults_end):
            function.restype = ctypes.c_long
        self.library.faults_library(part and part.encode())
        assert not part or self.library.faults_is_limited(), f"no library {part} is loaded"
        self.names = []
        while name := self.library.faults_name(len(self.names)):
            self.names.append(name.decode())

    def begin(self, call=None, moment=1, error=0, *, again=False):
        """Counts; lets the call of that number fail with `error`, or be `SHORT`; each one of that number if `again`."""
        kind = -1 if call is None else self.names.index(call)
        self.library.faults_begin(kind, ctypes.c_long(moment), error, again)

    def end(self):
        """Returns how often it happened."""
        return self.library.faults_end()

    def counts(self):
        """Returns how many calls of each kind there were."""
        counts = {name: self.library.faults_count(kind) for kind, name in enumerate(self.names)}
        return {name: count for name, count in counts.items() if count}


def is_preloaded():
    """Whether the library is in this process."""
    return sys.platform == "linux" and hasattr(ctypes.CDLL(None), "faults_begin")
