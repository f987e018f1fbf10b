"""asyncio's modules under ferrio's name: what of them is the standard library's alone, and whose name ferrio's objects
bear.

`ferrio.log` and its like are the standard library's own modules, which ferrio's objects use too: a program that
replaces a constant or the logger there is heard. What ferrio has of its own is made in the extension module and in
modules with an underscore; but it is found, pickled, logged and replaced by the name of the public one.
"""

import sys
from asyncio import base_futures as base_futures
from asyncio import base_tasks as base_tasks
from asyncio import constants as constants
from asyncio import format_helpers as format_helpers
from asyncio import log as log
from asyncio import trsock as trsock
from collections.abc import Iterable
from types import ModuleType

SHARED = (base_futures, base_tasks, constants, format_helpers, log, trsock)


def share() -> None:
    """Makes `import ferrio.log` and its like find the standard library's module."""
    for module in SHARED:
        sys.modules.setdefault(module.__name__.replace("asyncio", "ferrio", 1), module)


def name_contents(modules: Iterable[ModuleType]) -> None:
    """Lets what each of `modules` offers say that it comes from there, unless it comes from another public module."""
    for module in modules:
        for name in module.__all__:
            value = getattr(module, name)
            package, _, place = getattr(value, "__module__", "").partition(".")
            if package == "ferrio" and (not place or place.startswith("_")):
                value.__module__ = module.__name__
