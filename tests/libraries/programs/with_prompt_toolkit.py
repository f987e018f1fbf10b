"""prompt_toolkit: prompts at a pseudo-terminal and at a pipe: editing, history, completion in a thread, a toolbar that
tasks refresh, printing above a prompt, Ctrl-C, Ctrl-D, a window that changes its size, a full-screen application.
"""

import asyncio
import contextlib
import fcntl
import os
import pty
import re
import signal
import struct
import termios
import tty

from common import report_loop
from prompt_toolkit import PromptSession
from prompt_toolkit.application import Application, create_app_session
from prompt_toolkit.completion import ThreadedCompleter, WordCompleter
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.input.vt100 import Vt100Input
from prompt_toolkit.key_binding import KeyBindings
from prompt_toolkit.layout import Layout
from prompt_toolkit.output import DummyOutput
from prompt_toolkit.output.vt100 import Vt100_Output
from prompt_toolkit.patch_stdout import patch_stdout
from prompt_toolkit.widgets import Label, TextArea


class Person:
    """Sits at the other end of a pseudo-terminal: types, and reads what is shown."""

    def __init__(self) -> None:
        self.hands, self.terminal = pty.openpty()
        tty.setraw(self.terminal)
        self.resize(24, 80)
        self.shown = ""
        self._more = asyncio.Event()
        asyncio.get_running_loop().add_reader(self.hands, self._read)

    def _read(self) -> None:
        text = os.read(self.hands, 65536).decode()
        self.shown += text
        if "\x1b[6n" in text:
            # The application asks for the cursor's position.
            os.write(self.hands, b"\x1b[1;1R")
        self._more.set()

    def type(self, keys: str) -> None:
        os.write(self.hands, keys.encode())

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    async def sees(self, pattern: str) -> None:
        """Waits until `pattern` is shown, ignoring colours and cursor movements, and forgets everything up to there."""
        while not (found := re.search(pattern, re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", self.shown))):
            self._more.clear()
            await self._more.wait()
        print("sees", repr(found[0]))
        self.shown = ""

    async def answers(self, pattern: str, keys: str) -> None:
        await self.sees(pattern)
        self.type(keys)

    def leave(self) -> None:
        asyncio.get_running_loop().remove_reader(self.hands)
        os.close(self.hands)
        os.close(self.terminal)


async def at_a_terminal() -> None:
    person = Person()
    with (
        open(person.terminal, closefd=False) as reader,
        open(person.terminal, "w", closefd=False) as writer,
        create_app_session(input=Vt100Input(reader), output=Vt100_Output.from_pty(writer, term="xterm")),
    ):
        completer = ThreadedCompleter(WordCompleter(["banana", "cherry"]))
        session = PromptSession(completer=completer, complete_while_typing=False)
        answer = asyncio.create_task(session.prompt_async("fruit> ", bottom_toolbar="the toolbar"))
        await person.sees("the toolbar")
        person.type("ban\t")
        await person.sees("banana")
        person.type("s\r")
        print(await answer)

        answer = asyncio.create_task(session.prompt_async("again> "))
        await person.sees("again>")
        person.type("\x1b[A!\r")  # the arrow up: history
        print(await answer)

        for key, error in (("\x03", KeyboardInterrupt), ("\x04", EOFError)):
            typing = asyncio.create_task(person.answers("stop>", key))
            try:
                await session.prompt_async("stop> ")
            except error as stopped:
                print(type(stopped).__name__)
            await typing

        answer = asyncio.create_task(session.prompt_async("cancelled> "))
        await person.sees("cancelled>")
        answer.cancel()
        print(type((await asyncio.gather(answer, return_exceptions=True))[0]).__name__)

        count = 0
        answer = asyncio.create_task(session.prompt_async("size> ", bottom_toolbar=lambda: f"tick {count}"))
        await person.sees("tick 0")
        count = 7
        session.app.invalidate()
        # Only the changes are drawn.
        await person.sees("7")
        person.resize(30, 40)
        os.kill(os.getpid(), signal.SIGWINCH)
        await person.sees("size>")
        with patch_stdout(raw=True):
            print("above the prompt")
            await person.sees("above the prompt")
        person.type("done\r")
        print(await answer)
        person.leave()


async def at_a_pipe() -> None:
    with create_pipe_input() as pipe, create_app_session(input=pipe, output=DummyOutput()):
        session = PromptSession()
        for text in ("plain", "word\x17other", "one\x01two"):
            pipe.send_text(text + "\r")
            print(await session.prompt_async())
        many = []
        for number in range(50):
            pipe.send_text(f"{number}\r")
            many.append(await session.prompt_async())
        print(len(many), many[-1])


async def full_screen() -> None:
    keys = KeyBindings()
    area = TextArea("text: ")

    @keys.add("c-q")
    def _(event) -> None:
        event.app.exit(result=area.text)

    @keys.add("c-b")
    async def _(event) -> None:
        # A coroutine function as a handler becomes a task of the application.
        await asyncio.sleep(0.001)
        area.text += "slow"
        done.set()

    done = asyncio.Event()
    with create_pipe_input() as pipe:
        layout = Layout(area)
        application = Application(layout=layout, key_bindings=keys, full_screen=True, input=pipe, output=DummyOutput())
        running = asyncio.create_task(application.run_async())
        area.buffer.cursor_position = len(area.text)
        pipe.send_text("typed \x02")
        await done.wait()
        pipe.send_text("\x11")
        print(repr(await running))
        application = Application(layout=Layout(Label("fails"), focused_element=None), input=pipe, output=DummyOutput())
        with contextlib.suppress(ZeroDivisionError):
            await application.run_async(pre_run=lambda: 1 // 0)
        print("ended:", not application.is_running)


async def main() -> None:
    report_loop()
    await at_a_terminal()
    await at_a_pipe()
    await full_screen()


if __name__ == "__main__":
    asyncio.run(main())
