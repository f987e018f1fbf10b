"""The async prompt, on a terminal (a pty) and from a pipe."""

import subprocess
import sys

import pytest
from tests.unit.terminal import MORE, PROMPT, Screen, Terminal


@pytest.fixture
def terminal():
    opened = Terminal()
    opened.until(PROMPT)
    yield opened
    opened.close()


def test_banner():
    opened = Terminal()
    try:
        banner = opened.until(PROMPT)
        assert "ferrio " in banner
        assert sys.version.split()[0] in banner
    finally:
        opened.close()


def test_quiet():
    opened = Terminal("-q")
    try:
        assert opened.until(PROMPT).strip() == ""
    finally:
        opened.close()


@pytest.mark.parametrize(("source", "shown"), [("started = 40 + 2", ""), ("1 // 0", "ZeroDivisionError")])
def test_startup_file(tmp_path, source, shown):
    startup = tmp_path / "startup.py"
    startup.write_text(source)
    opened = Terminal(startup=startup)
    try:
        assert shown in opened.until(PROMPT)
        if not shown:
            assert opened.line("started") == "42"
        assert opened.line("6 * 7") == "42"
    finally:
        opened.close()


def test_expressions_and_names(terminal):
    assert terminal.line("6 * 7") == "42"
    assert terminal.line("_ + 1") == "43"
    assert terminal.line("answer = _") == ""
    assert terminal.line("answer, __name__") == "(43, '__main__')"


def test_await(terminal):
    assert terminal.line("await asyncio.sleep(0, 'slept')") == "'slept'"
    assert terminal.line("import ferrio; asyncio is ferrio") == "True"
    assert terminal.line("import asyncio; asyncio.Task is ferrio.Task") == "True"
    assert terminal.line("isinstance(asyncio.get_running_loop(), ferrio.EventLoop)") == "True"


def test_many_lines(terminal):
    terminal.line("async def double(number):", MORE)
    terminal.line("    await asyncio.sleep(0)", MORE)
    terminal.line("    return number * 2", MORE)
    terminal.line("")
    assert terminal.line("await double(21)") == "42"
    terminal.line("for number in range(2):", MORE)
    terminal.line("    print(await double(number))", MORE)
    assert terminal.line("") == "0\n2"


def test_background_task_runs_while_the_prompt_waits(terminal):
    terminal.line("async def later(): await asyncio.sleep(0.01); print('from the background')", MORE)
    terminal.line("")
    terminal.line("task = asyncio.create_task(later())")
    terminal.until("from the background\r\n")
    assert terminal.line("task.done()") == "True"


def test_context_variables_stay_set(terminal):
    terminal.line("import contextvars; name = contextvars.ContextVar('name')")
    terminal.line("token = name.set('set')")
    assert terminal.line("name.get()") == "'set'"
    assert terminal.line("token = name.set(await asyncio.sleep(0, 'again'))") == ""
    assert terminal.line("name.get()") == "'again'"


def test_errors_leave_the_prompt_alive(terminal):
    shown = terminal.line("1 / 0")
    assert shown.splitlines()[0] == "Traceback (most recent call last):"
    assert shown.splitlines()[1].startswith('  File "<python-input-0>", line 1, in <module>')
    assert shown.splitlines()[2] == "    1 / 0"
    assert shown.endswith("ZeroDivisionError: division by zero")
    shown = terminal.line("await asyncio.wait_for(asyncio.sleep(60), 0.01)")
    assert '  File "<python-input-1>", line 1, in <module>\n' in shown
    assert "repl.py" not in shown
    assert shown.endswith("TimeoutError")
    assert "SyntaxError" in terminal.line("not a statement")
    assert terminal.line("raise asyncio.CancelledError").endswith("CancelledError")
    assert terminal.line("1") == "1"


def test_interrupt_cancels_the_await(terminal):
    terminal.line("async def wait():", MORE)
    terminal.line("    try: print('waiting'); await asyncio.sleep(60)", MORE)
    terminal.line("    finally: print('cleaned up')", MORE)
    terminal.line("")
    terminal.type("await wait()\n")
    terminal.until("waiting\r\n")
    terminal.type("\x03")
    shown = terminal.until(PROMPT)
    assert "cleaned up" in shown
    assert shown.endswith("KeyboardInterrupt\n")
    assert terminal.line("1") == "1"


def test_interrupt_stops_code_that_computes(terminal):
    terminal.line("def compute():", MORE)
    terminal.line("    print('comp' + 'uting')", MORE)
    terminal.line("    while True: pass", MORE)
    terminal.line("")
    terminal.type("compute()\n")
    terminal.until("computing\r\n")
    terminal.type("\x03")
    assert terminal.until(PROMPT).endswith("KeyboardInterrupt\n")
    assert terminal.line("1") == "1"


def test_interrupt_at_the_prompt(terminal):
    terminal.type("\x03")
    terminal.until("KeyboardInterrupt")
    terminal.until(PROMPT)
    assert terminal.line("1") == "1"


def test_interrupt_discards_the_typed_line(terminal):
    terminal.type("print('typed' + ' in vain')")
    terminal.until("vain')")
    terminal.type("\x03")
    terminal.until("KeyboardInterrupt")
    terminal.until(PROMPT)
    assert terminal.line("print('second')").splitlines()[-1] == "second"


def test_interrupt_discards_the_typed_block(terminal):
    terminal.line("for number in range(3):", MORE)
    terminal.line("    print('in vain')", MORE)
    terminal.type("\x03")
    terminal.until("KeyboardInterrupt")
    terminal.until(PROMPT)
    assert terminal.line("6 * 7").splitlines()[-1] == "42"


def test_tracebacks_show_the_lines_of_functions(terminal):
    terminal.line("def fail():", MORE)
    terminal.line("    raise LookupError('spam')", MORE)
    terminal.line("")
    shown = terminal.line("fail()")
    assert "    raise LookupError('spam')\n" in shown
    assert "    fail()\n" in shown


@pytest.fixture
def screen():
    opened = Screen()
    opened.until(PROMPT)
    yield opened
    opened.close()


own_console = pytest.mark.skipif(sys.version_info < (3, 13), reason="CPython's console is there from Python 3.13 on")


@own_console
def test_console_awaits_and_shows_sources(screen):
    screen.enter("await asyncio.sleep(0, 'sle' + 'pt')", "'slept'")
    shown = screen.enter("1 // 0", "ZeroDivisionError")
    assert "    1 // 0" in shown.splitlines()


@own_console
def test_console_discards_the_typed_line(screen):
    screen.type("print('typed' + ' in vain')")
    screen.until(")")
    screen.type("\x03")
    screen.until("KeyboardInterrupt")
    assert "typed in vain" not in screen.enter("6 * 7", "42")


@own_console
def test_console_recalls_blocks_as_blocks(screen):
    screen.enter("for number in range(2):\rprint(number + 40, 'in the ' + 'block')\r", "41 in the block")
    screen.enter("print(6 * 7)", "42")
    screen.enter("\x10\x10\r", "40 in the block")
    screen.until("41 in the block")


@own_console
def test_console_interrupts_an_await(screen):
    screen.enter("await asyncio.sleep(60, print('wai' + 'ting'))", "waiting")
    screen.type("\x03")
    screen.until("KeyboardInterrupt")
    screen.enter("6 * 7", "42")


@own_console
@pytest.mark.parametrize("word", ["exit", "quit", "exit()", "\x04"])
def test_console_can_be_left(screen, word):
    screen.type(word if word == "\x04" else word + "\r")
    assert screen.ends() == 0


@pytest.mark.parametrize(
    ("leaving", "status"),
    [
        ("exit", 0),
        ("quit", 0),
        ("exit()", 0),
        ("quit()", 0),
        ("exit(3)", 3),
        ("raise SystemExit(4)", 4),
        ("await asyncio.sleep(0); exit(5)", 5),
    ],
)
def test_prompt_can_be_left(terminal, leaving, status):
    terminal.type(leaving + "\n")
    assert terminal.ends() == status


def test_end_of_input_leaves_the_prompt(terminal):
    terminal.type("\x04")
    assert terminal.ends() == 0


def test_pending_tasks_are_cancelled_at_the_end(terminal):
    terminal.line("async def wait():", MORE)
    terminal.line("    try: await asyncio.sleep(60)", MORE)
    terminal.line("    finally: print('cleaned up')", MORE)
    terminal.line("")
    terminal.line("task = asyncio.create_task(wait()); await asyncio.sleep(0)")
    terminal.type("exit()\n")
    terminal.until("cleaned up")
    assert terminal.ends() == 0


def from_pipe(text, *options):
    done = subprocess.run(
        [sys.executable, "-m", "ferrio", *options], input=text, capture_output=True, text=True, timeout=60
    )
    return done.returncode, done.stdout, done.stderr


def test_commands_from_a_pipe():
    assert from_pipe("1 + 1\nx = await asyncio.sleep(0, 'x')\nprint(x)\n") == (0, "2\nx\n", "")
    assert from_pipe("") == (0, "", "")
    assert from_pipe("import sys; sys.exit(7)\nprint('not reached')\n") == (7, "", "")
    assert from_pipe("async def f():\n    return 1\n\nawait f()") == (0, "1\n", "")
    assert from_pipe("for number in range(2):\n    number") == (0, "0\n1\n", "")


def test_closed_input():
    command = f'exec "{sys.executable}" -m ferrio <&-'
    done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_pipe_goes_on_after_an_error():
    status, out, err = from_pipe("1 / 0\nprint('still here')\n")
    assert (status, out) == (0, "still here\n")
    assert "ZeroDivisionError" in err


def test_pipe_on_virtual_time():
    assert from_pipe("await asyncio.sleep(3600, 'an hour')\n", "--virtual-time") == (0, "'an hour'\n", "")
