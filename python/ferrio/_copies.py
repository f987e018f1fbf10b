"""The content of a copy or pickle of a lock or queue: what asyncio's objects have in their `__dict__`.

asyncio's are plain objects, so `copy` and `pickle` make new ones from a dictionary of their attributes. ferrio's hide
most attributes from Python. This module converts them to the same dictionary and back, so that each can read the
other's pickles. Nothing here runs unless a program copies.
"""

from __future__ import annotations

from typing import Any

from ferrio import _ferrio

# The attributes of each class that asyncio keeps in `__dict__`, in its order.
_FIELDS: dict[type, tuple[str, ...]] = {
    _ferrio.Lock: ("_waiters", "_locked"),
    _ferrio.Event: ("_waiters", "_value"),
    _ferrio.Condition: ("_lock", "_waiters"),
    _ferrio.Semaphore: ("_waiters", "_value"),
    _ferrio.BoundedSemaphore: ("_bound_value",),
    _ferrio.Barrier: ("_cond", "_parties", "_state", "_count"),
    _ferrio.Queue: ("_maxsize", "_getters", "_putters", "_unfinished_tasks", "_is_shutdown", "_queue"),
}
# Waiters belong to this loop: a copy begins without them. (A deep copy with a waiter was already refused.)
_WAITERS = ("_waiters", "_getters", "_putters")
# asyncio's conditions have their lock's methods as attributes; its queues have the event of `join()`.
_DERIVED = {_ferrio.Condition: ("locked", "acquire", "release"), _ferrio.Queue: ("_finished",)}


def state_of(owner: Any) -> Any:
    """Return the result of `owner.__getstate__()`: a dictionary, or a pair of it and one for `__slots__`."""
    own: Any = object.__getstate__(owner)
    slots = None
    if isinstance(own, tuple):
        own, slots = own
    state: dict[str, Any] = {}
    for base in reversed(type(owner).__mro__):
        for name in _FIELDS.get(base, ()):
            state[name] = getattr(owner, name)
            if name in _WAITERS and not state[name]:
                state[name] = None
    if owner._loop is not None:
        state["_loop"] = owner._loop
    state.update(own or {})
    return state if slots is None else (state, slots)


def restore(owner: Any, state: Any) -> None:
    """Fill `owner`, which is new, from `state`, which may come from asyncio's class."""
    slots: dict[str, Any] = {}
    if isinstance(state, tuple):
        state, slots = state
    derived = {name for base in type(owner).__mro__ for name in _DERIVED.get(base, ())}
    fields = {name for base in type(owner).__mro__ for name in _FIELDS.get(base, ())} | {"_loop"}
    for name, value in (state or {}).items():
        if name in _WAITERS and name in fields:
            continue
        if name in fields:
            setattr(owner, name, value)
        elif name not in derived:
            owner.__dict__[name] = value
    for name, value in (slots or {}).items():
        setattr(owner, name, value)
