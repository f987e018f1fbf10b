"""The command line, `ferrio` or `python -m ferrio`: any program on ferrio, or an async prompt.

This module puts the pieces together. It reads the options (`options`) and puts ferrio's names into `asyncio`, in this
process and in those that `multiprocessing` starts from it (`spawned`). Then it runs the program (`program`) or the
prompt (`repl`). A program that imports ferrio imports nothing of this.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

import ferrio
from ferrio import _policy
from ferrio.cli import shadows

with shadows.hidden():
    from ferrio.cli import options, program, spawned
    from ferrio.sight import switches

__all__ = ("main", "script")


def main() -> None:
    """Does what `sys.argv` says; the program's exceptions come out as if Python had run it itself."""
    if sys.argv[1:] and sys.argv[1] in options.COMMANDS:
        with shadows.hidden():
            from ferrio.cli import commands
        sys.exit(commands.run(sys.argv[1:]))
    chosen = options.parse(sys.argv[1:])
    with shadows.hidden():
        prepare(chosen)
    if chosen.kind == "repl":
        from ferrio.cli import repl

        sys.exit(repl.interact())
    program.run(chosen.kind, chosen.program, chosen.arguments)


def script() -> None:
    """The command `ferrio`: `main` with the module path of `python -m ferrio`, the current directory first."""
    if not sys.flags.safe_path:
        sys.path[0] = os.getcwd()  # where Python put the command's own directory
    program.launcher = sys._getframe(1).f_code
    main()


def prepare(chosen: options.Options) -> None:
    """Turns `asyncio` into ferrio as the options say, here and in the processes that `multiprocessing` starts."""
    if chosen.trace is not None and chosen.record is not None:
        options.refuse("--trace and --record can't be on at once: a trace has all that a record has")
    _policy._set_event_loop_policy(_policy.EventLoopPolicy(_loop_factory(chosen)))
    ferrio.install()
    if chosen.debug:
        # New loops read the environment, in child processes as well.
        os.environ["PYTHONASYNCIODEBUG"] = "1"
    if chosen.observe:
        # ferrio reads it when it is imported, in child processes as well.
        os.environ["FERRIO_OBSERVE"] = "1"
        ferrio.observe()
    if chosen.watch is not None:
        # Child processes that use ferrio read the environment.
        os.environ[switches.WATCH] = repr(chosen.watch)
        switches.watch_program(chosen.watch)
    if chosen.sight:
        os.environ[switches.SIGHT] = "1"
        switches.see_program()
    if chosen.trace is not None:
        try:
            switches.trace_program(chosen.trace)
        except (OSError, ValueError) as error:
            options.refuse(f"--trace={chosen.trace}: {error}")
    if chosen.record is not None:
        os.environ[switches.RECORD] = repr(chosen.record)
        try:
            switches.record_program(chosen.record)
        except (OSError, ValueError) as error:
            options.refuse(f"--record={chosen.record}: {error}")
    if chosen.order is not None:
        try:
            switches.record_order(chosen.order)
        except OSError as error:
            options.refuse(f"--record={chosen.order}: {error}")
    if chosen.dump_signal is not None:
        os.environ[switches.DUMP_SIGNAL] = chosen.dump_signal
        try:
            switches.dump_on(chosen.dump_signal)
        except ValueError as error:
            options.refuse(f"--dump-signal={chosen.dump_signal}: {error}")
    if chosen.metrics is not None:
        # Child processes meter their loops, too. Only this one serves the numbers: an address can be used once.
        os.environ[switches.METRICS] = switches.ON
        try:
            switches.meter_program(chosen.metrics)
        except ValueError as error:
            options.refuse(f"--metrics={chosen.metrics}: {error}")
    spawned.follow(chosen, prepare)


def _loop_factory(chosen: options.Options) -> Callable[[], ferrio.AbstractEventLoop] | None:
    """The function that makes the program's loops, as the options say; `None` is the default."""
    if not (chosen.debug or chosen.virtual_time):
        return None

    def make() -> ferrio.AbstractEventLoop:
        loop = ferrio.EventLoop(virtual_time=True) if chosen.virtual_time else ferrio.EventLoop()
        if chosen.debug:
            loop.set_debug(True)
        return loop

    return make
