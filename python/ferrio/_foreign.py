"""The message about another loop in a program that was started on ferrio.

Some servers pick the fastest loop that they know, and `python -m ferrio` would run it without anybody noticing. So the
log names the first such loop of a process, who chose it, and how to choose ferrio's. Loops that extend asyncio's own
classes were written for a purpose; this module ignores them.

Invariant: a program that was neither started by `python -m ferrio` nor called `install()` gets no message.
"""

from __future__ import annotations

import asyncio.base_events
import asyncio.log
import sys
from typing import Any

from ferrio import _ferrio

__all__ = ("notice", "remember_choice")

_StandardLoop = asyncio.base_events.BaseEventLoop

# How to choose ferrio's loop, by the package that chose another one.
_ADVICE = {
    "anyio": "leave out backend_options={'use_uvloop': True}, or give {'loop_factory': ferrio.new_event_loop}",
    "granian": "granian --loop asyncio",
    "gunicorn": "gunicorn -k ferrio.integrations.gunicorn.Worker, or -k asgi --asgi-loop asyncio",
    "hypercorn": "hypercorn -k asyncio",
    "sanic": "USE_UVLOOP = False in Sanic's configuration",
    "uvicorn": "uvicorn --loop ferrio:new_event_loop, or loop='ferrio:new_event_loop' in uvicorn.run()",
}

_said = False
_policy_chosen_by: tuple[str, str] | None = None


def notice(loop: Any, *, by_policy: bool = False) -> None:
    """Reports, once, that `loop`, which is about to run, isn't ferrio's. `by_policy`: the policy made it."""
    global _said
    if _said or issubclass(type(loop), (_ferrio.Loop, _StandardLoop)):
        return
    from ferrio import _install

    if not _install.is_installed():
        return
    _said = True
    kind = type(loop)
    root = kind.__module__.partition(".")[0]
    package, place = (_policy_chosen_by if by_policy else None) or _caller(root)
    advice = _ADVICE.get(package, "give it the loop factory ferrio.new_event_loop, or let it use asyncio's")
    asyncio.log.logger.warning(
        "This program was started on ferrio, but %s runs: %s chose it (%s). For ferrio's loop: %s.",
        f"{root}'s loop" if root != "__main__" else f"a {kind.__qualname__}",
        "the program" if package == "__main__" else package,
        place,
        advice,
    )


def remember_choice(policy: Any) -> None:
    """Remembers who sets `policy`, in case it makes a loop later."""
    global _policy_chosen_by
    _policy_chosen_by = None if policy is None else _caller(type(policy).__module__.partition(".")[0])


def _caller(loops: str) -> tuple[str, str]:
    """The package of the code that called asyncio or the package `loops`, with its file and line."""
    frame: Any = sys._getframe(1)
    while frame.f_back is not None:
        package = frame.f_globals.get("__name__", "").partition(".")[0]
        if package not in ("asyncio", "ferrio", loops, "contextlib"):
            break
        frame = frame.f_back
    package = frame.f_globals.get("__name__", "?").partition(".")[0]
    return package, f"{frame.f_code.co_filename}:{frame.f_lineno}"
