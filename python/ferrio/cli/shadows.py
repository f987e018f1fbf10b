"""Modules of the program that have names of the standard library's.

Python gives those of a script's directory precedence, so `platform.py` next to a script is the script's. ferrio must
neither import that in place of its own, nor keep the script from getting it.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from importlib.machinery import PathFinder

__all__ = ("forget", "hidden")

# What was there before the command line imported anything.
_before = frozenset(sys.modules)


@contextlib.contextmanager
def hidden() -> Iterator[None]:
    """While it is entered, modules of the current directory come last."""
    if sys.flags.safe_path:
        yield
        return
    first = sys.path.pop(0)
    sys.path.append(first)
    try:
        yield
    finally:
        sys.path.remove(first)
        sys.path.insert(0, first)


def forget(directory: str) -> None:
    """Has the program import its own modules of `directory`, though ferrio has imported others of the same names."""
    ours = {name.partition(".")[0] for name in sys.modules.keys() - _before} - {"ferrio", "asyncio", "__main__"}
    theirs = {name for name in ours if PathFinder.find_spec(name, [directory]) is not None}
    for name in [name for name in sys.modules if name.partition(".")[0] in theirs]:
        del sys.modules[name]
