"""Signals by the names that people give them."""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType
from typing import Any

__all__ = ("handle",)


def handle(name: Any, handler: Callable[[int, FrameType | None], object], example: str) -> tuple[signal.Signals, Any]:
    """Has `handler` called when a signal comes; returns the signal, and what handled it before.

    `name`: with or without "SIG" at its beginning, or the signal itself. Raises `ValueError` if there is no such
    signal, or it can't be handled here; then the text names `example`.
    """
    problem = ValueError(f"a signal that can be handled is needed, such as {example}, not {name!r}")
    try:
        number = _numbered(name)
    except (KeyError, ValueError):
        raise problem from None
    try:
        return number, signal.signal(number, handler)
    except OSError:
        raise problem from None


def _numbered(name: Any) -> signal.Signals:
    if not isinstance(name, str):
        return signal.Signals(name)
    word = name.strip().upper()
    return signal.Signals[word if word.startswith("SIG") else f"SIG{word}"]
