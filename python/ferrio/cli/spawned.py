"""Processes that `multiprocessing` starts from scratch ("spawn", "forkserver") run on ferrio, like the program that
started them. Servers start their workers this way.

Such a process receives data before it imports the program's main module. This module adds an object to that data;
unpickling it does in the child what the command line did here. A forked process needs nothing. A command that a program
starts (`subprocess`) is a separate program.

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
# The key in the child's data; multiprocessing ignores keys that it doesn't know.
_KEY = "ferrio"


def follow(chosen: options.Options, prepare: Callable[[options.Options], None]) -> None:
    """Calls `prepare(chosen)` in every process that `multiprocessing` starts from scratch, and in their children.

    `prepare` is a module's function, which the child finds by its name.
    """
    message = _Message(
        functools.partial(prepare, options.Options(debug=chosen.debug, virtual_time=chosen.virtual_time))
    )
    if _SPAWN in sys.modules:
        _put_into_data(sys.modules[_SPAWN], message)
    else:
        sys.meta_path.insert(0, _WaitForSpawn(message))


class _Message:
    """Calls its function when it is unpickled."""

    def __init__(self, call: Callable[[], None]) -> None:
        self._call = call

    def __reduce__(self) -> tuple[Any, ...]:
        return _perform, (self._call,)


class _WaitForSpawn:
    """Finds `multiprocessing.spawn` when the program imports it, changes it, and removes itself."""

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
    """Adds `message` to the data of each new process."""
    original = spawn.get_preparation_data

    @functools.wraps(original)
    def get_preparation_data(name: str) -> dict[str, Any]:
        data: dict[str, Any] = original(name)
        data[_KEY] = message
        return data

    spawn.get_preparation_data = get_preparation_data


def _perform(call: Callable[[], None]) -> None:
    call()
