"""Runs a program of `programs/` on ferrio's loop alone, without `install()`: python on_loop.py programs/with_NAME.py

Its `main()` runs on a loop from the factory that a program would pass to `asyncio.run`. Loops that a library makes
itself, such as in threads, come from the policy. Everything else in `asyncio` is the standard library's, including
tasks and futures that are made by name.
"""

import asyncio
import importlib
import pathlib
import sys
import warnings

import ferrio


def make_loops_ferrios() -> None:
    """Makes the policy return ferrio's loops."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # from 3.14 on; there is no other way to reach such loops
        asyncio.set_event_loop_policy(ferrio.EventLoopPolicy())


def run(path: pathlib.Path) -> None:
    """Imports the program at `path` and runs its `main()`."""
    sys.path[0] = str(path.parent)
    make_loops_ferrios()
    program = importlib.import_module(path.stem)
    with asyncio.Runner(loop_factory=ferrio.new_event_loop) as runner:
        runner.run(program.main())


if __name__ == "__main__":
    run(pathlib.Path(sys.argv[1]))
elif __name__ == "__mp_main__":
    # We are in a process that multiprocessing started from the program: it imports this file before anything else.
    make_loops_ferrios()
