"""The objects of the process that the checks of a test look at.

A process of tests has a hundred thousand objects, and a look at all of them takes some hundredths of a second. So a
test's objects are told apart from those that were there before: these are frozen for the collector (`gc.freeze`), which
neither lists nor visits them until the test is over. Of these, the interesting ones are noted at the beginning.

Invariant: nothing stays frozen after the test.
"""

from __future__ import annotations

import contextlib
import gc
import itertools
import weakref
from collections.abc import Iterator
from typing import Any

__all__ = ("objects_of", "set_apart")

# What was there before the test, of the classes that its checks look at; `None` if nothing is set apart.
_before: list[weakref.ref[Any]] | None = None


@contextlib.contextmanager
def set_apart(kinds: tuple[type, ...]) -> Iterator[None]:
    """Sets apart what is there: inside the block, `objects_of` and `gc.collect` visit only what is new.

    Of what is there, `objects_of` finds the objects of these classes all the same. It is collected after the block.
    """
    global _before
    if gc.get_freeze_count():
        # The program has frozen objects, which would be thawed.
        yield
        return
    _before = [weakref.ref(each) for each in objects_of(kinds)]
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
        _before = None


def objects_of(kinds: tuple[type, ...]) -> Iterator[Any]:
    """Returns all live objects of these classes that the collector knows."""
    found = gc.get_objects()
    for reference in _before or ():
        each = reference()
        if each is not None:
            found.append(each)
    # No Python code runs per object.
    wanted = {kind for kind in set(map(type, found)) if issubclass(kind, kinds)}
    return itertools.compress(found, map(wanted.__contains__, map(type, found)))
