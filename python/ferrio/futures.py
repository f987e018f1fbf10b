"""Futures, under asyncio's module name (`asyncio.futures`)."""

from ferrio._ferrio import (
    Future,
    _chain_future,
    _copy_future_state,
    future_add_to_awaited_by,
    future_discard_from_awaited_by,
    isfuture,
    wrap_future,
)

__all__ = ("Future", "future_add_to_awaited_by", "future_discard_from_awaited_by", "isfuture", "wrap_future")
