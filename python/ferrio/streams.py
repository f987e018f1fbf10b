"""Streams, under asyncio's module name (`asyncio.streams`)."""

from ferrio._ferrio import StreamReader

__all__ = ("StreamReader",)
