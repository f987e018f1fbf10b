"""The async prompt: `python -m ferrio` without a program.

`await` may stand outside functions. Ctrl-C interrupts the statement that runs, or discards what is being typed; `exit`
or the end of the input leaves. From Python 3.13 on the lines are edited by CPython's own console (`_pyrepl`), as those
of `python -m asyncio` are; before, and where the terminal can't do that, by readline. From a pipe, statements are read
like typed ones, without banner and prompts.

Here is which of these it is; how statements run is in `prompt`.
"""

from __future__ import annotations

import os
import sys
import types
from typing import Any

import ferrio
from ferrio import runners
from ferrio.cli.lines import Lines
from ferrio.cli.prompt import Prompt


def interact() -> Any:
    """Runs the prompt on standard input until its end or `exit()`. Returns the exit status."""
    if sys.stdin is None:  # closed: an input that is at its end
        return 0
    main = types.ModuleType("__main__")
    main.__dict__.update(asyncio=ferrio, ferrio=ferrio, __builtins__=__builtins__)
    before = sys.modules["__main__"]
    sys.modules["__main__"] = main
    status: Any = 0
    try:
        with runners.Runner() as runner:
            status = _prompt_class()(runner.get_loop(), main.__dict__).serve()
    except KeyboardInterrupt:
        pass  # at the end: what background tasks still have to do isn't waited for
    finally:
        sys.modules["__main__"] = before
    return status


def _prompt_class() -> Any:
    if sys.version_info >= (3, 13) and (sys.flags.ignore_environment or not os.getenv("PYTHON_BASIC_REPL")):
        from _pyrepl.main import CAN_USE_PYREPL

        if CAN_USE_PYREPL:
            return _console_of_cpython()
    return Lines


def _console_of_cpython() -> Any:
    """The class of a prompt with CPython's own console."""
    from _pyrepl._threading_handler import install_threading_hook
    from _pyrepl.console import InteractiveColoredConsole
    from _pyrepl.simple_interact import _get_reader, run_multiline_interactive_console

    class Console(Prompt, InteractiveColoredConsole):  # type: ignore[misc]
        """Blocks are edited, recalled and run as a whole."""

        def _read_statements(self) -> None:
            # The reader makes its hook when it first waits for a key; Ctrl-C may come before.
            install_threading_hook(_get_reader())
            self._begin_line()
            run_multiline_interactive_console(self)

        def push(self, *args: Any, **kwargs: Any) -> Any:
            """Runs what was typed; in between the console reads, and runs its own commands."""
            self._end_line()
            try:
                return super().push(*args, **kwargs)
            finally:
                self._begin_line()

        def _discard(self) -> None:
            # As `python -m asyncio` does: the console looks there while it waits for a key, and interrupts itself.
            _get_reader().threading_hook.add("")

    return Console
