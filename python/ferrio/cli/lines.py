"""A prompt that reads line after line: by readline on a terminal, or from a pipe.

readline edits a line in the thread that reads, and only there may it be told to drop one. While it waits for a key
it calls a hook of Python's C interface ten times a second; there it is told.
"""

from __future__ import annotations

import linecache
import sys
from collections.abc import Callable
from typing import Any

from ferrio.cli.prompt import INTERRUPTED, Prompt

# Kept for ever: the thread that reads may be about to call it when the program ends.
_hooks: list[object] = []


class Lines(Prompt):
    """Reads line after line by `input()`."""

    def __init__(self, loop: Any, names: dict[str, Any]) -> None:
        super().__init__(loop, names)
        self._lines: list[str] = []  # of a statement that isn't whole
        self._number = 0  # of statements
        self._editing: _Editing | None = None

    def _prepare_terminal(self) -> None:
        super()._prepare_terminal()
        self._editing = _editing(self._forget_lines)

    def _release_terminal(self) -> None:
        if self._editing is not None:
            self._editing.release()

    def _read_statements(self) -> None:
        while True:
            try:
                line = self._read_line()
            except EOFError:
                break
            if not self._lines and self._leaves(line):
                return
            self._take(line)
        if self._typed:
            self.write("\n")
        elif self._lines:
            self._take("")  # a block at the end of a pipe needs no empty line after it

    def _read_line(self) -> str:
        self._begin_line()
        try:
            return self.raw_input(prompt("ps2" if self._lines else "ps1"))
        finally:
            self._end_line()

    def raw_input(self, prompt: str = "") -> str:
        """Reads a line; a pipe gets no prompts."""
        return input(prompt if self._typed else "")

    def _leaves(self, line: str) -> bool:
        word = line.strip()
        return self._typed and word in ("exit", "quit") and word not in self.locals

    def _take(self, line: str) -> None:
        """Adds a line to the statement, and runs it if it is whole."""
        self._lines.append(line)
        source = "\n".join(self._lines)
        # Tracebacks show the lines of statements that are kept under their own name.
        filename = f"<python-input-{self._number}>"
        linecache.cache[filename] = (len(source), None, [f"{line}\n" for line in self._lines], filename)
        if not self.runsource(source, filename):
            self._forget_lines()
            self._number += 1

    def _forget_lines(self) -> None:
        self._lines = []

    def _discard(self) -> None:
        if self._editing is not None:
            self._editing.discard()
        else:  # the terminal itself has dropped the line
            self._forget_lines()
            self.write(INTERRUPTED + prompt("ps1"))


def prompt(name: str) -> str:
    """Returns the prompt that `sys.ps1` or `sys.ps2` asks for; a program may have deleted it."""
    return str(getattr(sys, name, ">>> " if name == "ps1" else "... "))


class _Editing:
    """The line that readline edits in another thread."""

    def __init__(self, library: Any, slot: Any, hook_type: Any, forget: Callable[[], None]) -> None:
        self._library = library
        self._slot = slot
        self._forget = forget
        self._before = slot.value
        self._asked = False
        hook = hook_type(self._look)
        _hooks.append(hook)
        slot.value = _address(hook)

    def discard(self) -> None:
        """Asks the thread that edits to drop its line."""
        self._asked = True

    def release(self) -> None:
        """Has the hook called no more."""
        self._slot.value = self._before

    def _look(self) -> int:
        """The hook, called by readline: drops the line if it is to be dropped."""
        if self._asked:
            self._asked = False
            self._forget()
            sys.stdout.write(INTERRUPTED)
            sys.stdout.flush()
            # What readline itself does about a signal: a search, a count, a macro end too.
            self._library.rl_free_line_state()
            self._library.rl_callback_sigcleanup()
            self._library.rl_set_prompt(prompt("ps1").encode())
            self._library.rl_replace_line(b"", 0)
            self._library.rl_on_new_line()
            self._library.rl_redisplay()
        return 0


def _editing(forget: Callable[[], None]) -> _Editing | None:
    """Returns the line that `input()` is going to edit, or `None` where it edits none or it isn't GNU's readline."""
    readline = sys.modules.get("readline")
    if readline is None or not sys.stdout.isatty():
        return None
    try:
        import ctypes

        library = ctypes.CDLL(getattr(readline, "__file__", None))
        for name in ("rl_free_line_state", "rl_callback_sigcleanup", "rl_set_prompt", "rl_replace_line"):
            getattr(library, name)
        slot = ctypes.c_void_p.in_dll(ctypes.pythonapi, "PyOS_InputHook")
        return _Editing(library, slot, ctypes.CFUNCTYPE(ctypes.c_int), forget)
    except (ImportError, OSError, AttributeError, ValueError):
        return None


def _address(function: Any) -> int | None:
    import ctypes

    return ctypes.cast(function, ctypes.c_void_p).value
