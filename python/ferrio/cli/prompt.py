"""What reads statements in one thread, runs them in another, and what Ctrl-C does meanwhile.

A thread reads and compiles. Every statement runs in the main thread, on the loop, which also runs background tasks
while the prompt waits. How lines are read is in `lines`, and in `repl` for CPython's own console.

Ctrl-C has its effect at any moment. A statement that runs is interrupted, a line that is typed is discarded. Between
them the interrupt waits for whatever comes next. `_State` says which of these it is. Background tasks go on, unless one
of them keeps the loop from going on.

Invariants: user code runs in the main thread only, where signals, `signal.signal` and debuggers work. Ctrl-C raises
`KeyboardInterrupt` there, and never in the prompt's own code, so nothing of that is left half done.
"""

from __future__ import annotations

import _thread
import ast
import code
import contextvars
import enum
import inspect
import os
import queue
import signal
import sys
import threading
import time
import tokenize
import types
import warnings
from typing import Any

import ferrio

BANNER = f"""\
ferrio {ferrio.__version__}, Python {sys.version} on {sys.platform}
`asyncio` is ferrio, and `await` works at the prompt. Type "help" for more information, "exit" to leave.
"""
INTERRUPTED = "\nKeyboardInterrupt\n"

# How long a background task may compute on after Ctrl-C, in seconds, before it is interrupted itself.
_PATIENCE = 0.1


class _State(enum.Enum):
    """What the prompt is at, and so what Ctrl-C does.

    The reader moves from BETWEEN to READING or RUNNING, and back from READING. The main thread moves back from RUNNING.
    Ctrl-C makes INTERRUPTED of BETWEEN, and of RUNNING before there is a task; whatever comes next takes it.
    """

    BETWEEN = "between two lines or two statements"
    READING = "a line is typed"
    RUNNING = "a statement runs, or is about to"
    CANCELLED = "the task of the statement that runs was cancelled"
    INTERRUPTED = "nothing has taken an interrupt yet"
    ENDED = "the prompt is left"


class Prompt(code.InteractiveConsole):
    """Runs the statements that a thread of its own reads on `loop`, in the namespace `names`."""

    def __init__(self, loop: Any, names: dict[str, Any]) -> None:
        super().__init__(names, filename="<stdin>")
        self.compile.compiler.flags |= ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        self._loop = loop
        self._typed = sys.stdin.isatty()
        # One context for the whole session, so that a context variable set at the prompt stays set.
        self._context = contextvars.copy_context()
        self._state = _State.BETWEEN
        # Held to change the state, except by the main thread while the reader waits for a statement.
        # Recursive, for Ctrl-C may come while the main thread handles another one.
        self._lock = threading.RLock()
        self._task: Any = None  # of the statement that runs, if it awaits
        self._put_off = False  # whether an interrupt waits for the end of a callback
        # What a statement raised, or `None`.
        self._outcomes: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()
        self._status: Any = 0

    def serve(self) -> Any:
        """Runs the loop until the reader ends. Returns the exit status."""
        sys.audit("cpython.run_stdin")
        handler = signal.getsignal(signal.SIGINT)
        self._take_interrupts()
        terminal = _TerminalState() if self._typed else None
        try:
            if self._typed:
                self._prepare_terminal()
            threading.Thread(target=self._read, name="Interactive thread", daemon=True).start()
            while self._state is not _State.ENDED:
                try:
                    self._turn()
                    break  # the reader has ended, or a statement has stopped the loop
                except KeyboardInterrupt as interrupt:
                    if not self._came_from_the_statement(interrupt):
                        self._interrupt()
        except SystemExit as leaving:  # from a task or a callback
            self._status = leaving.code
        finally:
            with self._lock:
                self._state = _State.ENDED
            self._release_terminal()
            if terminal is not None:
                terminal.restore()
            # As python -m asyncio does: what was typed and forgotten is no program's fault.
            warnings.filterwarnings("ignore", r"^coroutine .* was never awaited$", RuntimeWarning)
            signal.signal(signal.SIGINT, handler)
        return self._status

    # The reader thread.

    def _read(self) -> None:
        """Prompt, line, statement, until the end of the input."""
        try:
            if self._typed:
                self._greet()
            self._read_statements()
        except SystemExit:
            pass
        except BaseException:
            self.showtraceback()
            self.write("Internal error\n")
            self._status = 1
        finally:
            self._end_reading()

    def _end_reading(self) -> None:
        with self._lock:
            if self._state is _State.ENDED:
                return
            self._state = _State.ENDED
        self._loop.call_soon_threadsafe(self._loop.stop)

    def _read_statements(self) -> None:
        """Reads until the end of the input. Each line is between `_begin_line` and `_end_line`."""
        raise NotImplementedError

    def _begin_line(self) -> None:
        while not self._enter(_State.READING):
            self._forget_lines()
            self.write(INTERRUPTED)

    def _end_line(self) -> None:
        self._enter(_State.BETWEEN)

    def _enter(self, state: _State) -> bool:
        """Moves on to `state`, or takes the interrupt that has come and returns False."""
        with self._lock:
            if self._state is _State.ENDED:
                raise SystemExit
            interrupted = self._state is _State.INTERRUPTED
            self._state = _State.BETWEEN if interrupted else state
            return not interrupted

    def _forget_lines(self) -> None:
        """Lets go of the lines of a statement that isn't whole."""

    def _greet(self) -> None:
        if not sys.flags.quiet:
            self.write(BANNER)
        startup = None if sys.flags.ignore_environment else os.environ.get("PYTHONSTARTUP")
        if startup:
            self._run_startup(startup)

    def _run_startup(self, path: str) -> None:
        sys.audit("cpython.run_startup", path)
        try:
            with tokenize.open(path) as file:
                compiled = compile(file.read(), path, "exec", dont_inherit=True)
        except (OSError, SyntaxError, ValueError):
            self.showtraceback()
            return
        self.runcode(compiled)

    def runcode(self, code: types.CodeType) -> Any:
        """Runs one statement on the loop and waits for its end; called in the reader thread.

        Returns what tells CPython's console not to go on with the other statements of a block, or `None`.
        """
        error: BaseException | None
        if self._enter(_State.RUNNING):
            self._loop.call_soon_threadsafe(self._start, code, context=self._context)
            error = self._outcomes.get()
        else:
            error = KeyboardInterrupt()
        if error is None:
            return None
        if isinstance(error, SystemExit):
            self._status = error.code
            raise error
        if isinstance(error, KeyboardInterrupt):
            self.write(INTERRUPTED)
        else:
            self._show(error)
        return getattr(self, "STATEMENT_FAILED", None)

    def _show(self, error: BaseException) -> None:
        """Prints a traceback that begins at the prompt's statement."""
        first = error.__traceback__
        while first is not None and first.tb_frame.f_globals is globals():
            first = first.tb_next
        try:
            raise error.with_traceback(first)
        except BaseException:
            self.showtraceback()  # leaves the frame of this method out

    # The main thread.

    def _turn(self) -> None:
        """Runs the loop. What it calls may be interrupted: see `_on_interrupt`."""
        self._loop.run_forever()

    def _call(self, function: types.FunctionType) -> Any:
        """Calls the user's code. It may be interrupted, and so may this: see `_on_interrupt`."""
        if self._state is _State.INTERRUPTED:
            self._state = _State.RUNNING
            raise KeyboardInterrupt
        return function()

    def _start(self, code: types.CodeType) -> None:
        """Starts a statement; a callback of the loop."""
        if self._state is _State.ENDED:
            return
        try:
            result = self._call(types.FunctionType(code, self.locals))
            if not inspect.iscoroutine(result):
                self._end(None)
                return
            task = self._loop.create_task(result, context=self._context)
            task.add_done_callback(self._end_task, context=self._context)
        except BaseException as error:
            self._end(error)
            return
        self._task = task
        if self._state is _State.INTERRUPTED:  # before there was a task
            self._state = _State.CANCELLED
            task.cancel()

    def _end_task(self, task: Any) -> None:
        try:
            error = task.exception()
        except BaseException as cancelled:
            error = cancelled
        self._end(error)

    def _end(self, error: BaseException | None) -> None:
        """Hands the outcome of a statement to the reader, which waits for it."""
        self._task = None
        if self._state is _State.ENDED:  # the statement is cancelled, as all tasks are
            self._outcomes.put(SystemExit(self._status))
            return
        if error is not None and self._state is _State.CANCELLED:
            error = KeyboardInterrupt()
        # One statement without a call: Python looks for no signal in the middle of it.
        self._state = _State.INTERRUPTED if self._state is _State.INTERRUPTED else _State.BETWEEN
        self._take_interrupts()
        self._outcomes.put(error)

    def _take_interrupts(self) -> None:
        """Takes Ctrl-C from Python, at first, and again after a statement has given it back."""
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._on_interrupt)

    def _on_interrupt(self, number: int, frame: types.FrameType | None) -> None:
        """Ctrl-C: raises in the statement that runs, or where the loop waits, and never in the prompt's own code.

        The innermost frame of this module tells which it is. Callers of `_turn` and `_call` catch what is raised here.
        """
        innermost = frame
        while frame is not None and frame.f_globals is not globals():
            frame = frame.f_back
        if frame is None or frame.f_code is Prompt._call.__code__:
            raise KeyboardInterrupt
        if frame.f_code is not Prompt._turn.__code__:
            self._interrupt()
        elif frame is innermost or self._put_off or self._is_in_the_statement():
            self._put_off = False
            raise KeyboardInterrupt
        else:
            self._put_off = True
            self._loop.call_soon_threadsafe(self._interrupt_now)
            _thread.start_new_thread(self._insist, ())

    def _is_in_the_statement(self) -> bool:
        return self._task is not None and ferrio.current_task(self._loop) is self._task

    def _interrupt_now(self) -> None:
        """Ctrl-C that came in a background task, which goes on."""
        if self._put_off:
            self._put_off = False
            self._interrupt()

    def _insist(self) -> None:
        """Interrupts a background task after all, if it doesn't let the loop go on; in a thread of its own."""
        time.sleep(_PATIENCE)
        if self._put_off:
            _thread.interrupt_main()

    def _came_from_the_statement(self, interrupt: KeyboardInterrupt) -> bool:
        """Whether the task of the statement has had this interrupt, and ends by it."""
        task = self._task
        return bool(task is not None and task.done() and not task.cancelled() and task.exception() is interrupt)

    def _interrupt(self) -> None:
        """Gives an interrupt to what the prompt is at. May be interrupted by itself."""
        task = self._task
        cancelled = task is not None and task.cancel()
        with self._lock:
            if self._state is _State.READING:
                self._loop.call_soon_threadsafe(self._discard_line)
            elif self._state is not _State.ENDED:
                self._state = _State.CANCELLED if cancelled else _State.INTERRUPTED

    def _discard_line(self) -> None:
        """Discards what is typed; a callback of the loop, so that it never interrupts itself."""
        with self._lock:
            reading = self._state is _State.READING
            if reading and self._typed:
                self._discard()
        if not reading:
            self._interrupt()

    def _discard(self) -> None:
        """Discards the line that is typed, and the statement that it belongs to."""
        raise NotImplementedError

    def _prepare_terminal(self) -> None:
        """Sets up prompts, line editing, history and completion, as at Python's own prompt."""
        for name, text in (("ps1", ">>> "), ("ps2", "... ")):
            if not hasattr(sys, name):
                setattr(sys, name, text)
        try:
            import readline
        except ImportError:
            readline = None  # type: ignore[assignment]
        hook = getattr(sys, "__interactivehook__", None)
        if hook is None:
            return
        sys.audit("cpython.run_interactivehook", hook)
        try:
            hook()
        except Exception:
            self.showtraceback()
        if readline is not None and getattr(hook, "__module__", None) == "site":
            # The hook has given readline a completer of the names in `__main__`, as they were then.
            import rlcompleter

            readline.set_completer(rlcompleter.Completer(self.locals).complete)

    def _release_terminal(self) -> None:
        """Undoes what stays in the process for the reader, which may still wait for a line."""


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
