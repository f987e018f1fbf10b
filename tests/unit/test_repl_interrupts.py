"""Ctrl-C at any moment at the prompt: it ends what is typed or what runs, but never the prompt.

Half of the tests send it at each line of the prompt's own code in the main thread, the others to a real prompt.
"""

import builtins
import contextlib
import signal
import sys

import pytest
from tests.unit.terminal import MORE, PROMPT, Screen, Terminal

import ferrio
from ferrio.cli import prompt

needs_console = pytest.mark.skipif(sys.version_info < (3, 13), reason="CPython has its own console from Python 3.13 on")

# Each does something when it runs, at once or after a turn of the loop.
STATEMENTS = [
    "ran.append(0)",
    "await asyncio.sleep(0); ran.append(1)",
    "ran.append(2 // len(ran[:1]))",
    "ran.append(await asyncio.sleep(0, 3))",
    "handle = asyncio.get_running_loop().call_soon(ran.append, 4); await asyncio.sleep(0); await asyncio.sleep(0)",
    "ran.append(5)",
]


class Scripted(prompt.Prompt):
    """A prompt whose reader gets each line at once; records what was written and discarded."""

    def __init__(self, loop, names, lines):
        super().__init__(loop, names)
        self.lines = lines
        self.written = []
        self.discarded = 0

    def write(self, data):
        self.written.append(data)

    def _read_statements(self):
        while self.lines:
            line = self.lines.pop(0)
            self._begin_line()
            self._end_line()
            self.runsource(line)

    def _discard(self):
        self.discarded += 1


class Terminals:
    """Stands in for the state that the prompt keeps of its terminal."""

    def restore(self):
        pass


@pytest.fixture
def python_handles_interrupts(monkeypatch):
    # pytest's workers may ignore the signal.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    monkeypatch.setattr(prompt, "_TerminalState", Terminals)
    yield
    signal.signal(signal.SIGINT, before)


def interrupted_at(moment, each="line"):
    """Runs the statements, with an interrupt at the given line (or opcode) of the prompt's code in the main thread.

    Returns the prompt, its exit status, what ran, where the interrupt hit, and how many lines were left then.
    """
    left = moment
    place = lines_left = None

    def trace(frame, event, argument):
        nonlocal left, place, lines_left
        if frame.f_code.co_filename != prompt.__file__ or place is not None:
            return None
        if each == "opcode":
            frame.f_trace_opcodes = True
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            return trace  # not in the prompt's code yet, or no longer
        if event == "return":
            return None
        if left == 0:
            place = f"{frame.f_code.co_name}:{frame.f_lineno} {event}"
            lines_left = len(scripted.lines)
            signal.raise_signal(signal.SIGINT)
        left -= 1
        return trace

    ran = []
    with ferrio.Runner() as runner:
        scripted = Scripted(runner.get_loop(), {"asyncio": ferrio, "ran": ran, "__builtins__": builtins}, [*STATEMENTS])
        scripted._typed = True
        scripted._prepare_terminal = scripted._greet = lambda: None
        sys.settrace(trace)
        try:
            status = scripted.serve()
        finally:
            sys.settrace(None)
    return scripted, status, ran, place, lines_left


def test_interrupt_at_each_line_of_the_prompts_code(python_handles_interrupts):
    functions = set()
    for moment in range(10_000):
        scripted, status, ran, place, lines_left = interrupted_at(moment)
        if place is None:
            break
        functions.add(place.partition(":")[0])
        written = "".join(scripted.written)
        shown = written.count("KeyboardInterrupt")
        assert status == 0, place
        assert written.replace(prompt.INTERRUPTED, "") == "", place
        # Either a statement was interrupted or a line was discarded. At the end there may be nothing left to hit.
        taken = shown + scripted.discarded
        assert taken == 1 or (taken == 0 and lines_left == 0), place
        assert ran == [number for number in range(len(STATEMENTS)) if number in ran], place
        assert len(STATEMENTS) - len(ran) <= shown, (place, ran)
    assert functions >= {"serve", "_turn", "_start", "_call", "_end", "_end_task", "_take_interrupts"}


# What is typed: whole lines and beginnings. Anything that runs for long first prints that it runs.
TYPED = [
    "",
    "1 + 1\r",
    "1 + ",
    "await asyncio.sleep(0)\r",
    "await asyncio.sleep(60, print('it ' + 'runs'))\r",
    "1 + 1; await asyncio.sleep(60, print('it ' + 'runs')); 2 + 2\r",
    "while True: print('it ' + 'runs') if 'once' not in dir() else None; once = True\r\r",
    "for number in range(3):\r",
    "1 / 0\r",
    "task = asyncio.create_task(asyncio.sleep(60))\r",
]


@pytest.mark.parametrize("kind", [Terminal, pytest.param(Screen, marks=needs_console)])
def test_interrupt_whenever_something_is_shown(kind):
    with contextlib.closing(kind()) as opened:
        opened.read_more()  # the banner
        for number, typed in enumerate(TYPED):
            opened.type(typed)
            opened.interrupt()
            for _ in range(4):
                opened.read_more()
                opened.interrupt()
            answer = f"answer {number}!"
            question = f"\r\rprint('answer {number}' + '!')\r"
            opened.type(question)
            shown = ""
            while answer not in shown:
                before, shown = shown, opened.read_more()
                if shown.count("it runs") > before.count("it runs"):
                    opened.interrupt()
                if shown.count("KeyboardInterrupt") > before.count("KeyboardInterrupt"):
                    opened.type(question)  # it may have been discarded
            opened.until(answer)


def test_background_tasks_survive_interrupts():
    with contextlib.closing(Terminal()) as opened:
        opened.until(PROMPT)
        opened.line("async def spin():", MORE)
        opened.line("    while True: await asyncio.sleep(0)", MORE)
        opened.line("")
        opened.line("task = asyncio.create_task(spin()); await asyncio.sleep(0)")
        for _ in range(3):
            opened.interrupt()
            opened.until("KeyboardInterrupt")
            opened.until(PROMPT)
        assert opened.line("task.done()").splitlines()[-1] == "False"


def test_callback_that_blocks_the_loop_is_interrupted():
    with contextlib.closing(Terminal()) as opened:
        opened.until(PROMPT)
        opened.line("def block():", MORE)
        opened.line("    print('loop is ' + 'kept')", MORE)
        opened.line("    while True: pass", MORE)
        opened.line("")
        opened.type("handle = asyncio.get_running_loop().call_soon(block)\r")
        opened.until("loop is kept")
        opened.interrupt()
        opened.until("KeyboardInterrupt")
        opened.until(PROMPT)
        assert opened.line("6 * 7").splitlines()[-1] == "42"


def test_after_a_program_has_handled_the_signal_itself():
    with contextlib.closing(Terminal()) as opened:
        opened.until(PROMPT)
        opened.line("loop = asyncio.get_running_loop(); loop.add_signal_handler(2, print, 'by the ' + 'program')")
        opened.interrupt()
        opened.until("by the program")
        assert opened.line("loop.remove_signal_handler(2)").splitlines()[-1] == "True"
        opened.interrupt()
        opened.until("KeyboardInterrupt")
        opened.until(PROMPT)
        assert opened.line("6 * 7").splitlines()[-1] == "42"
