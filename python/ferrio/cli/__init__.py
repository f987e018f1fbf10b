"""The command line, `ferrio` or `python -m ferrio`: any program on ferrio, or an async prompt.

Here the pieces are put together: the options are read (`options`), ferrio's names are put into `asyncio`, in this
process and in those that `multiprocessing` starts from it (`spawned`), and the program (`program`) or the prompt
(`repl`) runs. Nothing of this is imported by a program that imports ferrio.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

import ferrio
from ferrio import _policy
from ferrio.cli import options, program, spawned

__all__ = ("main", "script")


def main() -> None:
    """Does what `sys.argv` says; what the program raises comes out as if Python had run it itself."""
    chosen = options.parse(sys.argv[1:])
    prepare(chosen)
    if chosen.kind == "repl":
        from ferrio.cli import repl

        sys.exit(repl.interact())
    program.run(chosen.kind, chosen.program, chosen.arguments)


def script() -> None:
    """The command `ferrio`: `main` with the module path that `python -m ferrio` has, the current directory first."""
    if not sys.flags.safe_path:
        sys.path[0] = os.getcwd()  # Python put the command's own directory there
    program.launcher = sys._getframe(1).f_code
    main()


def prepare(chosen: options.Options) -> None:
    """Makes `asyncio` ferrio in this process as the options say, and in those that `multiprocessing` starts from it."""
    _policy._set_event_loop_policy(_policy.EventLoopPolicy(_loop_factory(chosen)))
    ferrio.install()
    if chosen.debug:
        # Loops ask the environment when they are made, and so do those of child processes.
        os.environ["PYTHONASYNCIODEBUG"] = "1"
    spawned.follow(chosen, prepare)


def _loop_factory(chosen: options.Options) -> Callable[[], ferrio.AbstractEventLoop] | None:
    """What makes the program's loops, as the options say; `None` is the default."""
    if not (chosen.debug or chosen.virtual_time):
        return None

    def make() -> ferrio.AbstractEventLoop:
        loop = ferrio.EventLoop(virtual_time=True) if chosen.virtual_time else ferrio.EventLoop()
        if chosen.debug:
            loop.set_debug(True)
        return loop

    return make
