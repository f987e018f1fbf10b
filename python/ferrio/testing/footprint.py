"""What the next step of a task may touch, as far as Python's memory shows it.

A step can only get at what its coroutine refers to: variables, closures, the globals and attributes that its code
names, and what these refer to in turn. So two steps whose footprints have nothing in common do the same in either
order.

Not seen: what C code keeps to itself, and files and sockets known by number. Steps that use threads, timers of their
own, sockets or children, or names made at run time (`setattr`, `globals()`), have no footprint. They may touch
everything.
"""

from __future__ import annotations

import asyncio
import dis
import functools
import gc
import types
import weakref
from collections.abc import Iterable, Mapping
from contextvars import Context, ContextVar
from typing import Any, NamedTuple

__all__ = ("Footprint", "of_step")

# A step that can get at more objects than this may touch everything.
_MOST = 20_000

# What changes something beyond the program's own objects: the order of later callbacks, other threads, the system.
# And what gets at names that no code shows.
_OUTSIDE = {
    "getattr", "setattr", "delattr", "globals", "vars", "__dict__", "eval", "exec",
    "call_later", "call_at", "call_soon_threadsafe", "run_coroutine_threadsafe", "to_thread", "run_in_executor",
    "Thread", "submit", "open", "input", "system", "popen", "urandom", "open_connection", "start_server",
    "open_unix_connection", "start_unix_server", "create_connection", "create_server", "create_unix_connection",
    "create_unix_server", "create_datagram_endpoint", "create_subprocess_exec", "create_subprocess_shell",
    "subprocess_exec", "subprocess_shell", "sendfile", "sock_recv", "sock_recv_into", "sock_recvfrom",
    "sock_recvfrom_into", "sock_sendall", "sock_sendto", "sock_connect", "sock_accept", "add_reader", "add_writer",
    "remove_reader", "remove_writer", "connect_read_pipe", "connect_write_pipe", "add_signal_handler",
}  # fmt: skip

_ATOMS: tuple[type, ...] = (
    int, float, complex, str, bytes, bool, type(None), type(...), type(NotImplemented), range, slice,
    types.CodeType, types.MethodDescriptorType, types.WrapperDescriptorType, types.GetSetDescriptorType,
    types.MemberDescriptorType, types.MethodWrapperType, types.ClassMethodDescriptorType,
    asyncio.AbstractEventLoop,
)  # fmt: skip

# They don't change, but what they refer to may.
_FIXED: tuple[type, ...] = (
    tuple,
    frozenset,
    property,
    staticmethod,
    classmethod,
    functools.partial,
    types.MappingProxyType,
    Context,
)

_GENERATORS: tuple[type, ...] = (types.CoroutineType, types.GeneratorType, types.AsyncGeneratorType)
_CODES = ("cr_code", "gi_code", "ag_code")
_FRAMES = ("cr_frame", "gi_frame", "ag_frame")

_RUNTIME = ("asyncio", "_asyncio", "ferrio", "builtins")


class Footprint(NamedTuple):
    """What a step may touch."""

    objects: frozenset[int]
    """The addresses of objects that may change."""
    reads: frozenset[tuple[int, str]]
    """Names in modules, classes and closures that it may read."""
    writes: frozenset[tuple[int, str]]
    """Those that it may set."""

    def is_apart_from(self, other: Footprint) -> bool:
        """Whether the two steps have nothing in common that one of them may change."""
        return (
            self.objects.isdisjoint(other.objects)
            and self.writes.isdisjoint(other.reads | other.writes)
            and other.writes.isdisjoint(self.reads)
        )


def of_step(task: Any) -> Footprint | None:
    """Returns the footprint of the task's next step, or `None` if it may touch everything.

    It holds only as long as nothing else runs, because it has the addresses of objects.
    """
    return _Walk(task).footprint()


class _Names(NamedTuple):
    """What a code object, with those inside it, names."""

    all: frozenset[str]
    attributes: frozenset[str]
    """Attributes that it sets or deletes."""
    globals: frozenset[str]
    """Globals that it sets or deletes."""
    closed: frozenset[str]
    """Variables of closures that it sets or deletes."""


_known: dict[types.CodeType, _Names] = {}


def _names_of(code: types.CodeType) -> _Names:
    if code not in _known:
        _known[code] = _look_for_names(code)
    return _known[code]


def _look_for_names(code: types.CodeType) -> _Names:
    sets: dict[str, set[str]] = {"ATTR": set(), "GLOBAL": set(), "DEREF": set()}
    for instruction in dis.get_instructions(code):
        action, _, kind = instruction.opname.partition("_")
        if action in ("STORE", "DELETE") and kind in sets:
            sets[kind].add(str(instruction.argval))
    every = set(code.co_names)
    for inner in code.co_consts:
        if isinstance(inner, types.CodeType):
            names = _names_of(inner)
            every |= names.all
            for kind, more in zip(sets, names[1:], strict=True):
                sets[kind] |= more
    return _Names(frozenset(every), *map(frozenset, sets.values()))


class _Walk:
    """Finds all that a task's coroutine can get at."""

    def __init__(self, task: Any) -> None:
        self._task = task
        self._todo: list[Any] = [task.get_coro()]
        # Kept alive, so that no address is used twice.
        self._seen: dict[int, Any] = {}
        self._objects: set[int] = {id(task)}
        self._reads: set[tuple[int, str]] = set()
        self._writes: set[tuple[int, str]] = set()
        self._names: set[str] = set()
        self._set_attributes: set[str] = set()
        self._set_globals: set[str] = set()
        # Modules' and classes' dictionaries, in which only what the code names counts.
        self._places: dict[int, Mapping[str, Any]] = {}
        self._looked_up: set[tuple[int, str]] = set()

    def footprint(self) -> Footprint | None:
        while self._todo:
            while self._todo:
                thing = self._todo.pop()
                if id(thing) not in self._seen:
                    self._seen[id(thing)] = thing
                    self._visit(thing)
                if len(self._seen) > _MOST:
                    return None
            self._look_up()
        if not self._names.isdisjoint(_OUTSIDE):
            return None
        if "print" in self._names:
            self._writes.add((0, "print"))
        sets = self._set_attributes | self._set_globals
        self._writes |= {place for place in self._reads if place[1] in sets and place[0] in self._places}
        return Footprint(frozenset(self._objects), frozenset(self._reads), frozenset(self._writes))

    def _look_up(self) -> None:
        for place, values in list(self._places.items()):
            for name in self._names:
                if (place, name) not in self._looked_up and name in values:
                    self._looked_up.add((place, name))
                    self._reads.add((place, name))
                    self._todo.append(values[name])

    def _visit(self, thing: Any) -> None:
        if isinstance(thing, _ATOMS) or thing is self._task:
            return
        if isinstance(thing, types.ModuleType):
            if thing.__name__.partition(".")[0] not in _RUNTIME:
                self._places[id(vars(thing))] = vars(thing)
        elif isinstance(thing, type):
            self._visit_class(thing)
        elif isinstance(thing, types.FunctionType):
            self._visit_function(thing)
        elif isinstance(thing, types.MethodType):
            self._todo += thing.__func__, thing.__self__
        elif isinstance(thing, types.BuiltinFunctionType):
            self._todo.append(thing.__self__)
        elif isinstance(thing, ContextVar):
            self._todo.append(self._task.get_context().get(thing))
        elif isinstance(thing, _FIXED):
            self._todo += gc.get_referents(thing)
        elif isinstance(thing, weakref.ReferenceType):
            self._todo.append(thing())
        else:
            self._objects.add(id(thing))
            self._visit_object(thing)

    def _visit_object(self, thing: Any) -> None:
        self._todo.append(type(thing))
        referents = gc.get_referents(thing)
        if isinstance(thing, _GENERATORS) and not _is_of_the_runtime(thing):
            self._visit_code(next(getattr(thing, name) for name in _CODES if hasattr(thing, name)))
            for function in referents:
                if isinstance(function, types.FunctionType):
                    # First, because it knows which variables of the closure are only read.
                    self._seen[id(function)] = function
                    self._visit_function(function)
        self._todo += referents

    def _visit_class(self, thing: type) -> None:
        if thing.__module__.partition(".")[0] in _RUNTIME or not thing.__flags__ & (1 << 9):
            return  # a class of the runtime, or one made in C
        self._todo += thing.__mro__[1:]
        self._places[id(thing)] = vars(thing)
        self._todo += (value for name, value in vars(thing).items() if name.startswith("__") and callable(value))

    def _visit_function(self, thing: types.FunctionType) -> None:
        if (thing.__module__ or "").partition(".")[0] in _RUNTIME:
            return
        self._visit_code(thing.__code__)
        self._places[id(thing.__globals__)] = thing.__globals__
        self._todo += _values(thing.__defaults__), _values((thing.__kwdefaults__ or {}).values())
        if vars(thing):
            self._places[id(vars(thing))] = vars(thing)
        sets = _names_of(thing.__code__).closed
        for name, cell in zip(thing.__code__.co_freevars, thing.__closure__ or (), strict=True):
            self._seen[id(cell)] = cell
            self._reads.add((id(cell), "cell"))
            if name in sets:
                self._writes.add((id(cell), "cell"))
            self._todo += gc.get_referents(cell)

    def _visit_code(self, code: types.CodeType) -> None:
        names = _names_of(code)
        self._names |= names.all
        self._set_attributes |= names.attributes
        self._set_globals |= names.globals


def _is_of_the_runtime(generator: Any) -> bool:
    frame = next((getattr(generator, name) for name in _FRAMES if hasattr(generator, name)), None)
    return frame is None or str(frame.f_globals.get("__name__")).partition(".")[0] in _RUNTIME


def _values(values: Iterable[Any] | None) -> tuple[Any, ...]:
    return tuple(values or ())
