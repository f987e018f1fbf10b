"""The numbers of all loops of the program, for exporters: each loop under a small number that is used again.

A monitoring system keeps every label that it has ever seen, and expects that a counter never goes down. So a loop gets
the smallest number that no open loop has. When it closes, its counts stay with the number, and the next loop that gets
it goes on from there. A program that runs one loop after another shows one.

Invariant: no call from here runs Python code of the program while the lock is held, except for what the collector runs;
that may close a loop, so the lock may be taken again by the same thread.
"""

from __future__ import annotations

import os
import threading
import weakref
from typing import Any

from ferrio import _ferrio
from ferrio.sight.metrics import Metering, Metrics, meter, snapshot

__all__ = ("all_metrics", "collect", "keep_all", "loop_closes")


class _Account:
    """The loops that have had one number."""

    def __init__(self) -> None:
        self.past = Metrics()
        self.loop: weakref.ref[Any] | None = None
        self.last = Metrics()

    def balance(self) -> Metrics:
        """The counts of all its loops, and the state of the present one."""
        loop = self.loop() if self.loop is not None else None
        if loop is not None:
            self.last = snapshot(loop)
        elif self.loop is not None:
            self.settle(self.last)  # it is gone without having been closed
        return self.past + self.last

    def settle(self, final: Metrics) -> None:
        """Its loop is over, with these numbers."""
        self.past += final.without_gauges()
        self.loop, self.last = None, Metrics()


_accounts: list[_Account] = []
_lock = threading.RLock()


# What `all_metrics` turned on.
_metering: Metering | None = None


def keep_all() -> Metering:
    """Meters all loops until the returned object is stopped. From now on, the numbers of loops that close are kept."""
    _ferrio._announce_closes(True)
    return meter()


def collect() -> dict[int, Metrics]:
    """Returns the numbers of all loops, as `all_metrics` does, without turning on anything."""
    with _lock:
        for loop in _ferrio._every_loop():
            if not loop.is_closed():
                _account_of(loop)
        return {number: account.balance() for number, account in enumerate(_accounts)}


def all_metrics() -> dict[int, Metrics]:
    """Returns the numbers of all loops, by a small number that stands for one loop after another.

    A loop gets the smallest number that no open loop has. The counts under a number never go down: those of a loop that
    closes stay. So a monitoring system that keeps every label doesn't fill up.

    From the first call on, all loops are metered.
    """
    global _metering
    with _lock:
        if _metering is None:
            _metering = keep_all()
    return collect()


def loop_closes(loop: Any) -> None:
    """Called by a metered `loop` when it is closed."""
    with _lock:
        _account_of(loop).settle(snapshot(loop))


def _account_of(loop: Any) -> _Account:
    free = None
    for account in _accounts:
        known = account.loop() if account.loop is not None else None
        if known is loop:
            return account
        if known is None and account.loop is not None:
            account.settle(account.last)
        if known is None and free is None:
            free = account
    if free is None:
        free = _Account()
        _accounts.append(free)
    free.loop, free.last = weakref.ref(loop), Metrics()
    return free


def _renew_lock_after_fork() -> None:
    global _lock
    _lock = threading.RLock()


os.register_at_fork(after_in_child=_renew_lock_after_fork)
