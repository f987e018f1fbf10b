"""The options of `ferrio`, or `python -m ferrio`, and the answer to a wrong one.

ferrio's options come before the program; everything after it belongs to the program, as with Python itself.
"""

from __future__ import annotations

import contextlib
import dataclasses
import platform
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

import ferrio
from ferrio.sight import switches

# Words that look at other programs (`commands`); only the first word of a command line is one.
COMMANDS = ("ps", "top", "tree")

HELP = """\
usage: ferrio [options] FILE [arguments]
       ferrio [options] -m MODULE [arguments]
       ferrio [options] -c CODE [arguments]
       ferrio [options]
       ferrio top [PID]      ferrio ps [PID]      ferrio tree [PID]

Runs a Python program on ferrio, unchanged: `asyncio` is ferrio's in the whole program, and `await` may be used
outside functions. FILE may be a script, a directory or zip file with a __main__.py, or - for standard input.
Without a program, it starts a prompt where `await` works. Statements from a pipe run as if they were typed.
`python -m ferrio` is the same command, for that Python.

top, ps and tree show the tasks of a running program; `ferrio top --help` says more. They are commands only as
the first word: `ferrio ./top` or `ferrio -- top` runs a file of that name.

options:
  -h, --help       show this text
  -V, --version    the versions of ferrio and Python
  --debug          asyncio's debug mode: slow callbacks and forgotten coroutines are reported
  --observe        waits have Python frames, which `python -m asyncio ps` and profilers show
  --watch[=0.1]    report what blocks the loop for longer than this many seconds, while it does
  --sight          let `ferrio top`, `ps` and `tree` of the same user look at the program
  --trace=out.html draw what the loops do, until the end of the program; out.json is for Perfetto and Chrome
  --record[=10]    keep the latest seconds of that; write them if the program stalls, fails, or gets the signal USR2
  --record=order.bin
                   write in which order the loops run what is ready, for ferrio.testing.replay_recording
  --dump-signal=USR1
                   when this signal comes, print what each task waits for
  --metrics[=9464]
                   count what the loops do; with a port or HOST:PORT, serve the numbers for Prometheus there
  --virtual-time   the loop's clock jumps to the next deadline instead of waiting for it
"""


@dataclasses.dataclass
class Options:
    """What the command line asks for.

    `kind`: "file", "module", "code" or "repl". `program`: the file, module or code. `arguments`: the program's own.
    """

    kind: str = "repl"
    program: str = ""
    arguments: tuple[str, ...] = ()
    debug: bool = False
    observe: bool = False
    virtual_time: bool = False
    watch: float | None = None
    sight: bool = False
    dump_signal: str | None = None
    metrics: str | None = None
    trace: str | None = None
    record: float | None = None
    order: str | None = None


def parse(arguments: Sequence[str]) -> Options:
    """Returns the `Options` in `arguments`. Raises `SystemExit` after --help, --version and errors (status 2)."""
    chosen = Options()
    for at, argument in enumerate(arguments):
        rest = tuple(arguments[at + 1 :])
        if argument == "--debug":
            chosen.debug = True
        elif argument == "--observe":
            chosen.observe = True
        elif argument == "--virtual-time":
            chosen.virtual_time = True
        elif argument == "--sight":
            chosen.sight = True
        elif argument == "--watch" or argument.startswith("--watch="):
            chosen.watch = _seconds(argument, switches.DEFAULT_THRESHOLD, switches.threshold)
        elif argument == "--dump-signal" or argument.startswith("--dump-signal="):
            chosen.dump_signal = argument.partition("=")[2] or switches.DEFAULT_SIGNAL
        elif argument == "--metrics" or argument.startswith("--metrics="):
            chosen.metrics = argument.partition("=")[2] or switches.ON
        elif argument == "--trace":
            refuse("--trace needs a file, such as --trace=out.html")
        elif argument.startswith("--trace="):
            chosen.trace = argument.partition("=")[2]
        elif argument == "--record" or argument.startswith("--record="):
            if switches.is_order(argument):
                chosen.order = argument.partition("=")[2]
            else:
                chosen.record = _seconds(argument, switches.DEFAULT_RECORD, switches.seconds_to_keep)
        elif argument in ("-h", "--help"):
            sys.stdout.write(HELP)
            raise SystemExit(0)
        elif argument in ("-V", "--version"):
            python = f"{platform.python_implementation()} {platform.python_version()}"
            print(f"ferrio {ferrio.__version__} on {python}")
            raise SystemExit(0)
        elif argument[:2] in ("-m", "-c"):
            # As in Python: `-m name` or `-mname`.
            attached = argument[2:]
            if not attached and not rest:
                refuse(f"{argument} needs {'a module' if argument == '-m' else 'code'} after it")
            chosen.kind = "module" if argument[1] == "m" else "code"
            chosen.program, chosen.arguments = (attached, rest) if attached else (rest[0], rest[1:])
            return chosen
        elif argument == "--":
            if rest:
                chosen.kind, chosen.program, chosen.arguments = "file", rest[0], rest[1:]
            return chosen
        elif argument.startswith("-") and argument != "-":
            refuse(f"unknown option {argument}")
        else:
            chosen.kind, chosen.program, chosen.arguments = "file", argument, rest
            return chosen
    return chosen


def _seconds(argument: str, default: float, parse: Callable[[str], float]) -> float:
    _, given, text = argument.partition("=")
    try:
        return parse(text) if given else default
    except ValueError as error:
        refuse(f"{argument}: {error}")


def refuse(problem: str) -> NoReturn:
    """Says what is wrong with the command line, and ends the program with status 2."""
    complain(f"ferrio: {problem}\nTry `python -m ferrio --help`.")
    raise SystemExit(2)


def complain(text: str) -> None:
    """Writes to standard error, if there is one."""
    if sys.stderr is not None:
        with contextlib.suppress(OSError):
            sys.stderr.write(f"{text}\n")
