"""Futures, under asyncio's module name (`asyncio.futures`)."""

from ferrio._ferrio import Future, future_add_to_awaited_by, future_discard_from_awaited_by, isfuture

__all__ = ("Future", "future_add_to_awaited_by", "future_discard_from_awaited_by", "isfuture")
