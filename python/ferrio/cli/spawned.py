"""Processes that `multiprocessing` starts afresh ("spawn", "forkserver") run on ferrio as the program does that started
them: servers start their workers so.

Such a process is told what it needs before the program's main module is imported there; one more thing is put among
that, an object whose unpickling does in the child what the command line did here. A forked process needs nothing. What
a program starts as a command (`subprocess`) is a program of its own.

Invariant: a program that never starts such a process never imports `multiprocessing` because of this.
"""

from __future__ import annotations

import functools
import importlib.machinery
import sys
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

from ferrio.cli import options

__all__ = ("follow",)

_SPAWN = "multiprocessing.spawn"
# The key in the data for a child; multiprocessing looks up those that it knows and leaves others alone.
_KEY = "ferrio"


def follow(chosen: options.Options, prepare: Callable[[options.Options], None]) -> None:
    """Lets `prepare(chosen)` be called in every process that `multiprocessing` starts afresh, and in those of those.

    `prepare` is a function of a module, which the child finds by its name.
    """
    message = _Message(
        functools.partial(prepare, options.Options(debug=chosen.debug, virtual_time=chosen.virtual_time))
    )
    if _SPAWN in sys.modules:
        _put_into_data(sys.modules[_SPAWN], message)
    else:
        sys.meta_path.insert(0, _WaitForSpawn(message))


class _Message:
    """Calls what it was made with when it is unpickled."""

    def __init__(self, call: Callable[[], None]) -> None:
        self._call = call

    def __reduce__(self) -> tuple[Any, ...]:
        return _perform, (self._call,)


class _WaitForSpawn:
    """Finds `multiprocessing.spawn` when the program imports it, changes it, and is gone."""

    def __init__(self, message: _Message) -> None:
        self._message = message

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name != _SPAWN:
            return None
        sys.meta_path.remove(self)
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def execute_and_change(module: ModuleType) -> None:
            execute(module)
            _put_into_data(module, self._message)

        spec.loader.exec_module = execute_and_change  # type: ignore[method-assign]
        return spec


def _put_into_data(spawn: Any, message: _Message) -> None:
    """Adds `message` to what each new process is told."""
    original = spawn.get_preparation_data

    @functools.wraps(original)
    def get_preparation_data(name: str) -> dict[str, Any]:
        data: dict[str, Any] = original(name)
        data[_KEY] = message
        return data

    spawn.get_preparation_data = get_preparation_data


def _perform(call: Callable[[], None]) -> None:
    call()
