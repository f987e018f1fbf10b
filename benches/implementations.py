"""What is compared: how to import each implementation and run a program on it.

Nothing here measures. Invariant: an implementation is imported only in the process that runs it, because some of them
change `asyncio` when they are imported.
"""

import asyncio
import importlib
import importlib.metadata
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Implementation:
    """One column of the table."""

    name: str
    package: str | None
    """The package to import for its `new_event_loop`; None: the standard library alone."""
    own_names: bool = False
    """Whether programs use the package's names instead of asyncio's."""
    since: tuple[int, int] = (3, 11)
    """The first Python on which it joins the table."""
    install: str = "-m pip install -r benches/requirements.txt"
    """The arguments for that Python which install it."""


BUILD_FERRIO = "-m pip install ."

IMPLEMENTATIONS = {
    each.name: each
    for each in (
        Implementation("asyncio", None),
        Implementation("uvloop", "uvloop"),
        Implementation("rloop", "rloop"),
        Implementation("zuvloop", "zuvloop", since=(3, 14)),
        Implementation("rsloop", "rsloop", since=(3, 14)),
        Implementation("ferrio", "ferrio", own_names=True, install=BUILD_FERRIO),
        Implementation("ferrio-std", "ferrio", install=BUILD_FERRIO),
    )
}
OURS = ("ferrio", "ferrio-std")


def names_for(version: tuple[int, int]) -> list[str]:
    """Return the names of the implementations that join the table on this Python version."""
    return [each.name for each in IMPLEMENTATIONS.values() if version >= each.since]


def load(implementation: Implementation) -> tuple[Any, Callable[[Any], Any], str]:
    """Import an implementation.

    Returns its namespace (what a program calls `asyncio`), a function that runs a coroutine on a new loop and returns
    the result, and its version. Raises ImportError if it isn't installed.
    """
    if implementation.package is None:
        return asyncio, asyncio.run, "of the interpreter"
    package = importlib.import_module(implementation.package)
    version = importlib.metadata.version(implementation.package)
    if implementation.own_names:
        return package, package.run, version

    def run(coroutine: Any) -> Any:
        with asyncio.Runner(loop_factory=package.new_event_loop) as runner:
            return runner.run(coroutine)

    return asyncio, run, version


def check_loop(implementation: Implementation, loop: Any) -> None:
    """Raise RuntimeError if `loop` isn't the implementation's own: no column may show another's figures."""
    expected = implementation.package or "asyncio"
    classes = [f"{each.__module__}.{each.__qualname__}" for each in type(loop).__mro__[:-1]]
    home = classes[0].split(".")[0]
    if home.removeprefix("_") != expected:
        raise RuntimeError(f"{implementation.name} runs on {classes[0]}, which isn't a loop of {expected}")
