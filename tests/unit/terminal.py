"""A prompt on its own terminal (a pty), for the tests of `python -m ferrio`."""

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time

PROMPT, MORE = ">>> ", "... "

# Escape sequences that move the cursor and colour the text of CPython's console.
CONTROL = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]|\x1b[=>]")


class Terminal:
    """A prompt on its own terminal: what is typed, and what the screen shows."""

    def __init__(self, *options, term="dumb", startup=None):
        ours, theirs = pty.openpty()
        environment = {**os.environ, "TERM": term, "PYTHON_COLORS": "0", "PYTHON_HISTORY": os.devnull}
        environment.pop("PYTHON_BASIC_REPL", None)
        environment.pop("PYTHONSTARTUP", None)
        if startup is not None:
            environment["PYTHONSTARTUP"] = str(startup)
        self.process = subprocess.Popen(
            [sys.executable, *options, "-m", "ferrio"],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            # Makes this the process's controlling terminal, so that its Ctrl-C reaches the process.
            preexec_fn=lambda: os.close(os.open(os.ttyname(0), os.O_RDWR)),
            env=environment,
        )
        os.close(theirs)
        self._fd = ours
        self._seen = ""

    def type(self, text):
        os.write(self._fd, text.encode())

    def interrupt(self):
        """Sends Ctrl-C's signal. The terminal's own Ctrl-C would also drop what isn't read yet."""
        self.process.send_signal(signal.SIGINT)

    def line(self, text, then=PROMPT):
        """Types a line and returns what the screen shows up to the next prompt."""
        self.type(text + "\n")
        return self.until(then).removeprefix(text).strip("\r\n")

    def until(self, expected):
        """Waits until the screen shows `expected` and returns what it showed before that."""
        deadline = time.monotonic() + 60
        while expected not in self._seen:
            self.read_more(expected, deadline)
        shown, _, self._seen = self._seen.partition(expected)
        return shown.replace("\r\n", "\n")

    def read_more(self, expected="more", deadline=None):
        """Waits until the screen shows anything more, and returns everything that wasn't returned yet."""
        timeout = 60 if deadline is None else max(0, deadline - time.monotonic())
        ready, _, _ = select.select([self._fd], [], [], timeout)
        assert ready, f"no {expected!r} in {self._seen!r}"
        try:
            data = os.read(self._fd, 4096)
        except OSError:  # how Linux reports the end of a pty
            data = b""
        assert data, f"the prompt ended without {expected!r}: {self._seen!r}"
        self._seen += data.decode()
        return self._seen

    def ends(self):
        """Waits for the process to end and returns its exit status."""
        return self.process.wait(timeout=60)

    def close(self):
        self.process.kill()
        self.process.wait()
        os.close(self._fd)


class Screen(Terminal):
    """The same with CPython's own console, which draws each typed key, prompts included.

    So tests wait for text that only the result can show.
    """

    def __init__(self):
        super().__init__(term="xterm")

    def enter(self, text, expected):
        """Types a line and returns what the screen shows up to `expected`."""
        self.type(text + "\r")
        return CONTROL.sub("", self.until(expected))
