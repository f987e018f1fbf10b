"""The async prompt: `python -m ferrio` without a program.

A thread reads and compiles; every statement runs in the main thread, on the loop, which also runs background
tasks while the prompt waits. `await` may stand outside functions, Ctrl-C cancels the statement that runs,
`exit()` or the end of the input leaves. From a pipe, statements are read like typed ones, without banner and
prompts.

Invariant: user code runs in the main thread only, where signals, `signal.signal` and debuggers work.
"""

from __future__ import annotations

import ast
import code
import concurrent.futures
import contextvars
import inspect
import os
import sys
import threading
import traceback
import types
from collections.abc import Coroutine
from typing import Any

import ferrio
from ferrio import runners

_BANNER = f"""\
ferrio {ferrio.__version__}, Python {sys.version} on {sys.platform}
`asyncio` is ferrio, and `await` works at the prompt. Type "help" for more information, "exit()" to leave.
"""

# What a statement raised, or `None`.
_Outcome = concurrent.futures.Future[BaseException | None]


def interact() -> Any:
    """Runs the prompt on standard input until its end or `exit()`. Returns the exit status."""
    if sys.stdin is None:  # closed: an input that is at its end
        return 0
    main = types.ModuleType("__main__")
    main.__dict__.update(asyncio=ferrio, ferrio=ferrio, __builtins__=__builtins__)
    before = sys.modules["__main__"]
    sys.modules["__main__"] = main
    if not sys.flags.safe_path:
        sys.path[0] = ""
    try:
        with runners.Runner() as runner:
            return Prompt(runner.get_loop(), main.__dict__).serve()
    finally:
        sys.modules["__main__"] = before


class Prompt(code.InteractiveConsole):
    """Reads statements in a thread of its own and runs them on `loop`, in the namespace `names`."""

    def __init__(self, loop: Any, names: dict[str, Any]) -> None:
        super().__init__(names, filename="<stdin>")
        self.compile.compiler.flags |= ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        self._loop = loop
        self._typed = sys.stdin.isatty()
        # One context for the whole session, so that a context variable set at the prompt stays set.
        self._context = contextvars.copy_context()
        self._running: Any = None  # the task of the statement that runs, if it awaits
        self._interrupted = False
        self._status: Any = 0

    def serve(self) -> Any:
        """Runs the loop until the reader ends. Returns the exit status."""
        reader = threading.Thread(target=self._read, name="ferrio prompt", daemon=True)
        reader.start()
        while True:
            try:
                self._loop.run_forever()
                return self._status
            except KeyboardInterrupt:
                self._interrupt()
            except SystemExit as leaving:  # from a background task or callback
                return leaving.code

    def _read(self) -> None:
        """The reader thread: prompt, line, statement, until the end of the input."""
        try:
            if self._typed:
                self._greet()
            self._read_statements()
        except SystemExit:
            pass
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)

    def _read_statements(self) -> None:
        unfinished = False
        while True:
            prompt = getattr(sys, "ps2", "... ") if unfinished else getattr(sys, "ps1", ">>> ")
            try:
                line = self.raw_input(str(prompt))
            except EOFError:
                break
            unfinished = self.push(line)
        if self._typed:
            self.write("\n")
        elif unfinished:
            self.push("")  # a block at the end of a pipe needs no empty line after it

    def _greet(self) -> None:
        if not sys.flags.quiet:
            self.write(_BANNER)
        hook = getattr(sys, "__interactivehook__", None)
        if hook is not None:
            hook()  # line editing, history and completion, as at Python's own prompt
            self._complete_names()
        startup = None if sys.flags.ignore_environment else os.environ.get("PYTHONSTARTUP")
        if startup:
            self._run_startup(startup)

    def _complete_names(self) -> None:
        try:
            import readline
            import rlcompleter
        except ImportError:
            return
        readline.set_completer(rlcompleter.Completer(self.locals).complete)

    def _run_startup(self, path: str) -> None:
        try:
            with open(path, "rb") as file:
                self.runcode(compile(file.read(), path, "exec", dont_inherit=True))
        except (OSError, SyntaxError, ValueError) as error:
            self.write(f"PYTHONSTARTUP: {error}\n")

    def raw_input(self, prompt: str = "") -> str:
        """Reads a line; a pipe gets no prompts."""
        return input(prompt if self._typed else "")

    def runcode(self, code: types.CodeType) -> None:
        """Runs one statement on the loop and waits for its end; called in the reader thread."""
        done: _Outcome = concurrent.futures.Future()
        self._loop.call_soon_threadsafe(self._start, code, done, context=self._context)
        error = done.result()
        if isinstance(error, SystemExit):
            self._status = error.code
            raise error
        if error is None:
            return
        if isinstance(error, KeyboardInterrupt) or self._interrupted:
            self.write("\nKeyboardInterrupt\n")
        else:
            self._show(error)

    def _start(self, code: types.CodeType, done: _Outcome) -> None:
        """Starts a statement; `done` gets what it raised, or `None`. Runs on the loop."""
        self._interrupted = False
        try:
            result = types.FunctionType(code, self.locals)()
        except BaseException as error:
            done.set_result(error)
            return
        if not code.co_flags & inspect.CO_COROUTINE:
            done.set_result(None)
            return
        self._running = self._loop.create_task(self._finish(result, done), context=self._context)

    async def _finish(self, coroutine: Coroutine[Any, Any, object], done: _Outcome) -> None:
        # SystemExit and KeyboardInterrupt must not leave the task: they would stop the loop.
        try:
            await coroutine
        except BaseException as error:
            done.set_result(error)
        else:
            done.set_result(None)
        finally:
            self._running = None

    def _interrupt(self) -> None:
        """Ctrl-C while the loop waits: cancels what the prompt waits for."""
        if self._running is not None:
            self._interrupted = True
            self._running.cancel()
        elif self._typed:
            self.write("\nKeyboardInterrupt (nothing runs; Ctrl-D or exit() leaves)\n")

    def _show(self, error: BaseException) -> None:
        """Prints a traceback that begins at the prompt's statement."""
        first = error.__traceback__
        while first is not None and first.tb_frame.f_code.co_filename == __file__:
            first = first.tb_next
        error = error.with_traceback(first)
        if sys.excepthook is not sys.__excepthook__:
            sys.excepthook(type(error), error, first)
        else:
            self.write("".join(traceback.format_exception(error)))
