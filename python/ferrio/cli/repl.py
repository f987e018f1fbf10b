"""The async prompt: `python -m ferrio` without a program.

A thread reads and compiles; every statement runs in the main thread, on the loop, which also runs background tasks
while the prompt waits. `await` may stand outside functions. Ctrl-C cancels the statement that runs, or discards what is
being typed; `exit` or the end of the input leaves. From Python 3.13 on the lines are edited by CPython's own console
(`_pyrepl`), as those of `python -m asyncio` are; before, and where the terminal can't do that, by readline. From a
pipe, statements are read like typed ones, without banner and prompts.

Invariant: user code runs in the main thread only, where signals, `signal.signal` and debuggers work.
"""

from __future__ import annotations

import ast
import code
import concurrent.futures
import contextvars
import inspect
import linecache
import os
import sys
import threading
import types
from collections.abc import Coroutine
from typing import Any

import ferrio
from ferrio import runners

_BANNER = f"""\
ferrio {ferrio.__version__}, Python {sys.version} on {sys.platform}
`asyncio` is ferrio, and `await` works at the prompt. Type "help" for more information, "exit" to leave.
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
            return _prompt_class()(runner.get_loop(), main.__dict__).serve()
    finally:
        sys.modules["__main__"] = before


def _prompt_class() -> Any:
    if sys.version_info >= (3, 13) and (sys.flags.ignore_environment or not os.getenv("PYTHON_BASIC_REPL")):
        from _pyrepl.main import CAN_USE_PYREPL

        if CAN_USE_PYREPL:
            return _console_of_cpython()
    return Lines


class Prompt(code.InteractiveConsole):
    """Runs the statements that a thread of its own reads on `loop`, in the namespace `names`."""

    def __init__(self, loop: Any, names: dict[str, Any]) -> None:
        super().__init__(names, filename="<stdin>")
        self.compile.compiler.flags |= ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        self._loop = loop
        self._typed = sys.stdin.isatty()
        # One context for the whole session, so that a context variable set at the prompt stays set.
        self._context = contextvars.copy_context()
        self._running: Any = None  # the task of the statement that runs, if it awaits
        self._busy = False  # whether a statement runs
        self._done: Any = None  # what the reader waits for meanwhile
        self._interrupted = False
        self._status: Any = 0

    def serve(self) -> Any:
        """Runs the loop until the reader ends. Returns the exit status."""
        terminal = _TerminalState() if self._typed else None
        reader = threading.Thread(target=self._read, name="ferrio prompt", daemon=True)
        reader.start()
        try:
            while True:
                try:
                    self._loop.run_forever()
                    return self._status
                except KeyboardInterrupt:
                    self._interrupt()
        except SystemExit as leaving:  # from a background task or callback
            return leaving.code
        finally:
            if terminal is not None:
                terminal.restore()

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
        raise NotImplementedError

    def _discard(self) -> None:
        """Ctrl-C while something is typed: lets go of it."""
        raise NotImplementedError

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

    def runcode(self, code: types.CodeType) -> Any:
        """Runs one statement on the loop and waits for its end; called in the reader thread.

        Returns what tells CPython's console not to go on with the other statements of a block, or `None`.
        """
        done: _Outcome = concurrent.futures.Future()
        self._loop.call_soon_threadsafe(self._start, code, done, context=self._context)
        error = done.result()
        if isinstance(error, SystemExit):
            self._status = error.code
            raise error
        if error is None:
            return None
        if isinstance(error, KeyboardInterrupt) or self._interrupted:
            self.write("\nKeyboardInterrupt\n")
        else:
            self._show(error)
        return getattr(self, "STATEMENT_FAILED", None)

    def _start(self, code: types.CodeType, done: _Outcome) -> None:
        """Starts a statement; `done` gets what it raised, or `None`. Runs on the loop."""
        self._interrupted = False
        self._busy, self._done = True, done
        try:
            result = types.FunctionType(code, self.locals)()
        except BaseException as error:
            self._end(done, error)
            return
        if not code.co_flags & inspect.CO_COROUTINE:
            self._end(done, None)
            return
        self._loop.create_task(self._finish(result, done), context=self._context)

    async def _finish(self, coroutine: Coroutine[Any, Any, object], done: _Outcome) -> None:
        # Noted here, for Ctrl-C may come between the making of the task and a note of it.
        self._running = ferrio.current_task(self._loop)
        # SystemExit and KeyboardInterrupt must not leave the task: they would stop the loop.
        try:
            if self._interrupted:
                coroutine.close()
                raise KeyboardInterrupt
            await coroutine
        except BaseException as error:
            self._end(done, error)
        else:
            self._end(done, None)

    def _end(self, done: _Outcome, error: BaseException | None) -> None:
        self._running = None
        self._busy = False
        done.set_result(error)

    def _interrupt(self) -> None:
        """Ctrl-C while the loop waits: cancels what the prompt waits for, or discards what is typed."""
        if self._running is not None:
            self._interrupted = True
            self._running.cancel()
        elif self._busy:
            # Its task, if it was made, finds that in its first step, which is queued already.
            self._interrupted = True
            self._loop.call_soon(self._give_up)
        elif self._typed:
            self._discard()

    def _give_up(self) -> None:
        """Ends a statement that was interrupted before it began."""
        if self._busy and self._running is None:
            self._end(self._done, KeyboardInterrupt())

    def _show(self, error: BaseException) -> None:
        """Prints a traceback that begins at the prompt's statement."""
        first = error.__traceback__
        while first is not None and first.tb_frame.f_code.co_filename == __file__:
            first = first.tb_next
        try:
            raise error.with_traceback(first)
        except BaseException:
            self.showtraceback()  # leaves the frame of this method out


class Lines(Prompt):
    """Reads line after line by `input()`, or from a pipe."""

    def __init__(self, loop: Any, names: dict[str, Any]) -> None:
        super().__init__(loop, names)
        self._lines: list[str] = []  # of a statement that isn't whole
        self._number = 0  # of statements

    def _read_statements(self) -> None:
        while True:
            try:
                line = self.raw_input(_prompt("ps2" if self._lines else "ps1"))
            except EOFError:
                break
            if not self._lines and self._leaves(line):
                return
            self._take(line)
        if self._typed:
            self.write("\n")
        elif self._lines:
            self._take("")  # a block at the end of a pipe needs no empty line after it

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
            self._lines = []
            self._number += 1

    def _discard(self) -> None:
        self._lines = []
        self.write("\nKeyboardInterrupt\n")
        prompt = _prompt("ps1")
        if not _empty_line_of_readline(prompt):
            self.write(prompt)  # the terminal itself has dropped the line


def _empty_line_of_readline(prompt: str) -> bool:
    """Empties the line that readline edits in the other thread, which waits for a key; returns whether there is one.

    No function of the module `readline` does that, but the library under it has one.
    """
    readline = sys.modules.get("readline")
    if readline is None:
        return False
    try:
        import ctypes

        library = ctypes.CDLL(getattr(readline, "__file__", None))
        library.rl_set_prompt(prompt.encode())
        library.rl_replace_line(b"", 0)
        library.rl_on_new_line()
        library.rl_redisplay()
    except (ImportError, OSError, AttributeError):  # not GNU's
        return False
    return True


def _console_of_cpython() -> Any:
    """The class of a prompt with CPython's own console."""
    from _pyrepl.console import InteractiveColoredConsole
    from _pyrepl.simple_interact import _get_reader, run_multiline_interactive_console

    class Console(Prompt, InteractiveColoredConsole):  # type: ignore[misc]
        """Blocks are edited, recalled and run as a whole."""

        def _read_statements(self) -> None:
            run_multiline_interactive_console(self)

        def _discard(self) -> None:
            # As Ctrl-C is told to the thread that reads by `python -m asyncio`: the reader looks there while it waits.
            hook = _get_reader().threading_hook
            if hook is not None:
                hook.add("")

    return Console


def _prompt(name: str) -> str:
    return str(getattr(sys, name, ">>> " if name == "ps1" else "... "))


class _TerminalState:
    """How the terminal was before lines were edited, for an end that comes while the other thread edits one."""

    def __init__(self) -> None:
        import termios

        self._descriptor = sys.stdin.fileno()
        self._attributes = termios.tcgetattr(self._descriptor)

    def restore(self) -> None:
        import termios

        try:
            termios.tcsetattr(self._descriptor, termios.TCSADRAIN, self._attributes)
        except (OSError, termios.error):  # the terminal is gone
            pass
