"""Event loop policies: which loop `new_event_loop()` makes, and which loop is each thread's current one.

Policies are how programs before Python 3.12 chose their loop; a `loop_factory` is how they do it now. ferrio
keeps a policy of its own, beside the standard library's, so that `ferrio.run()` makes ferrio's loops whatever
a program told the standard `asyncio`, and the other way round. What runs a loop lives in `runners`; the loop
itself in the extension module.

Invariant: without a policy set by the program, `new_event_loop()` returns a `ferrio.EventLoop`.
"""

from __future__ import annotations

import asyncio as standard
import asyncio.events
import asyncio.unix_events
import sys
import threading
import warnings
import weakref
from asyncio.events import _get_running_loop
from collections.abc import Callable
from typing import Any

from ferrio import _foreign
from ferrio._loop import EventLoop

# Their private names too, which no stub has.
_events: Any = asyncio.events
_unix_events: Any = asyncio.unix_events

__all__ = (
    "EventLoopPolicy",
    "get_event_loop",
    "get_event_loop_policy",
    "new_event_loop",
    "set_event_loop",
    "set_event_loop_policy",
)

if sys.version_info < (3, 14):
    _AbstractEventLoopPolicy = _events.AbstractEventLoopPolicy
    _DefaultEventLoopPolicy = standard.DefaultEventLoopPolicy
else:
    # The public names warn there as soon as they are looked up, also for programs that have nothing to do
    # with policies.
    _AbstractEventLoopPolicy = _events._AbstractEventLoopPolicy
    _DefaultEventLoopPolicy = _unix_events._DefaultEventLoopPolicy


class EventLoopPolicy(_DefaultEventLoopPolicy):
    """The policy whose loops are ferrio's.

    `asyncio.set_event_loop_policy(ferrio.EventLoopPolicy())` makes the standard `asyncio` run on ferrio's
    loop. All else is the interpreter's own default policy, with what that version does when a thread has no
    current loop: Python 3.11 makes one in the main thread, 3.12 and 3.13 do so with a warning, 3.14 raises
    `RuntimeError`.

    `loop_factory` is called without arguments and returns the new loop; without it, `EventLoop` is called.
    """

    def __init__(self, loop_factory: Callable[[], standard.AbstractEventLoop] | None = None) -> None:
        super().__init__()
        self._ferrio_loop_factory = EventLoop if loop_factory is None else loop_factory

    def _loop_factory(self) -> standard.AbstractEventLoop:
        return self._ferrio_loop_factory()

    def get_event_loop(self) -> standard.AbstractEventLoop:
        """Returns the current loop of this thread, or what the running Python makes of there being none.

        Raises `RuntimeError` where there is none to return or make.
        """
        state: Any = self._local  # type: ignore[attr-defined]
        if state._loop is None:
            if (
                sys.version_info >= (3, 14)
                or state._set_called
                or threading.current_thread() is not threading.main_thread()
            ):
                raise RuntimeError(_no_current_loop())
            if sys.version_info >= (3, 12):
                # The base class would name ferrio as the place: it looks for a caller outside of asyncio's modules.
                warnings.warn("There is no current event loop", DeprecationWarning, stacklevel=_frames_of_loop_code())
            self.set_event_loop(self.new_event_loop())
        return super().get_event_loop()


def _no_current_loop() -> str:
    return (
        f"There is no current event loop in thread {threading.current_thread().name!r}. "
        "asyncio.run(main()) makes one for main(); what needs one before says set_event_loop(new_event_loop())."
    )


def _frames_of_loop_code() -> int:
    """The `stacklevel` with which the function that calls this one warns about the program's line."""
    level = 1
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] in ("asyncio", "ferrio"):
        frame = frame.f_back
        level += 1
    return level


_policy: Any = None

# Notes about loops are weak: only a policy keeps its current loop alive.
_Note = weakref.ref[standard.AbstractEventLoop]

# In a forked child, the loop that the standard library's policy has from its parent (on Python 3.11).
_parents_loop: _Note | None = None

# Its `loop` notes what the standard library's policy has from ferrio's: a policy set since then knows nothing of it.
_told = threading.local()


def get_event_loop_policy() -> Any:
    """Returns the policy that `new_event_loop`, `get_event_loop` and `set_event_loop` ask.

    Warns (`DeprecationWarning`) on Python 3.14 and later, as asyncio does there.
    """
    _warn_deprecated("get_event_loop_policy")
    return _get_event_loop_policy()


def set_event_loop_policy(policy: Any) -> None:
    """Makes `policy` the one to ask; `None` brings ferrio's own back.

    Raises `TypeError` if `policy` is neither `None` nor an `asyncio.AbstractEventLoopPolicy`. Warns
    (`DeprecationWarning`) on Python 3.14 and later, as asyncio does there.
    """
    _warn_deprecated("set_event_loop_policy")
    _set_event_loop_policy(policy)


def new_event_loop() -> standard.AbstractEventLoop:
    """Returns a new loop, made by the policy: a `ferrio.EventLoop` unless the program set another policy."""
    loop: standard.AbstractEventLoop = _get_event_loop_policy().new_event_loop()
    return loop


def set_event_loop(loop: standard.AbstractEventLoop | None) -> None:
    """Makes `loop` (or none, with `None`) the current loop of this thread.

    The standard `asyncio.get_event_loop()` returns it too, so that a library that imports `asyncio` finds the
    loop of a program that imports `ferrio`. Raises `TypeError` if `loop` is neither `None` nor an event loop.
    """
    policy = _get_event_loop_policy()
    policy.set_event_loop(loop)
    _tell_standard(policy, loop)
    if loop is not None:
        _foreign.notice(loop)


def get_event_loop() -> standard.AbstractEventLoop:
    """Returns the running loop, or else the current loop of this thread: ferrio's, or if none is set the one that the
    standard library has.

    What happens where there is none is the policy's to say: see `EventLoopPolicy`.
    """
    running = _get_running_loop()
    if running is not None:
        return running
    policy = _get_event_loop_policy()
    loop: standard.AbstractEventLoop
    if type(policy).get_event_loop not in _PLAIN_GET_EVENT_LOOP:
        loop = policy.get_event_loop()
        return loop
    known = _loop_set(policy)
    if known is None:
        known = _loop_set(_events._event_loop_policy)
        if _is_noted(known, _parents_loop) or _is_noted(known, getattr(_told, "loop", None)):
            known = None
    if known is not None:
        return known
    loop = policy.get_event_loop()  # makes one, or raises
    _tell_standard(policy, loop)
    return loop


def _loop_set(policy: Any) -> standard.AbstractEventLoop | None:
    """The current loop of this thread by `policy`, which isn't asked to make one; `None` if that can't be known."""
    if policy is None or type(policy).get_event_loop not in _PLAIN_GET_EVENT_LOOP:
        return None
    known: standard.AbstractEventLoop | None = policy._local._loop
    return known


def _tell_standard(policy: Any, loop: standard.AbstractEventLoop | None) -> None:
    """Makes `loop` current for the standard library as well, which has it from `policy` already if that is its own."""
    theirs = _events._event_loop_policy
    # A policy that the program gave to the standard asyncio may refuse loops which it didn't make: leave it
    # alone.
    if theirs is not policy and (theirs is None or type(theirs) in (_DefaultEventLoopPolicy, EventLoopPolicy)):
        _standard_set_event_loop(loop)
        _told.loop = _note(loop)


def _take_back_from_standard() -> None:
    """Lets the standard library forget the loop it was told: it goes with the policy that it came from."""
    theirs = _events._event_loop_policy
    if _is_noted(_loop_set(theirs), getattr(_told, "loop", None)):
        theirs._local._loop = None
    _told.loop = None


def _note(loop: standard.AbstractEventLoop | None) -> _Note | None:
    return None if loop is None else weakref.ref(loop)


def _is_noted(loop: standard.AbstractEventLoop | None, note: _Note | None) -> bool:
    """Whether `loop` is the one that was noted; a dead one is none."""
    return loop is not None and note is not None and note() is loop


def _get_event_loop_policy() -> Any:
    global _policy
    if _policy is None:
        _policy = EventLoopPolicy()
    return _policy


def _set_event_loop_policy(policy: Any) -> None:
    global _policy
    if policy is not None and not isinstance(policy, _AbstractEventLoopPolicy):
        raise TypeError(f"policy must be an instance of AbstractEventLoopPolicy or None, not {type(policy).__name__!r}")
    if policy is not _policy:
        _take_back_from_standard()
    _policy = policy
    _foreign.remember_choice(policy)
    if _events.set_event_loop_policy is set_event_loop_policy:
        # Installed: for what imported the standard functions by name before, which ask this variable.
        _events._event_loop_policy = _get_event_loop_policy()


def forget_after_fork() -> None:
    """Lets a forked child have no current loop: the parent's would share its descriptors.

    The standard library does so for its own policy, since Python 3.12.
    """
    global _parents_loop
    if isinstance(_policy, _DefaultEventLoopPolicy):
        policy: Any = _policy
        policy._local = policy._Local()
    _parents_loop = _note(_loop_set(_events._event_loop_policy))


def _warn_deprecated(name: str) -> None:
    if sys.version_info >= (3, 14):
        warnings.warn(
            f"'asyncio.{name}' is deprecated and slated for removal in Python 3.16; "
            "pass a loop_factory to run() or Runner instead",
            DeprecationWarning,
            stacklevel=3,
        )


# The methods that give a policy's `_local._loop` back, and make a loop only where that is none.
_PLAIN_GET_EVENT_LOOP = (_DefaultEventLoopPolicy.get_event_loop, EventLoopPolicy.get_event_loop)

# Kept from before `install()`, which puts this module's function in its place.
_standard_set_event_loop = _events.set_event_loop
