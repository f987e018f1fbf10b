"""asyncio's modules under ferrio's name: which of them are the standard library's alone, and the names of ferrio's
objects.

`ferrio.log` and similar ones are the standard library's own modules. ferrio's objects use them too, so replacing a
constant or the logger there has an effect. What ferrio has of its own is made in the extension module and in modules
with an underscore. But it is found, pickled, logged and replaced by the name of the public module.
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
    """Makes `import ferrio.log` and the like find the standard library's module."""
    for module in SHARED:
        sys.modules.setdefault(module.__name__.replace("asyncio", "ferrio", 1), module)


def name_contents(modules: Iterable[ModuleType]) -> None:
    """Gives the objects of each of `modules` its name as `__module__`, unless they come from another public module."""
    for module in modules:
        for name in module.__all__:
            value = getattr(module, name)
            package, _, place = getattr(value, "__module__", "").partition(".")
            if package == "ferrio" and (not place or place.startswith("_")):
                value.__module__ = module.__name__
