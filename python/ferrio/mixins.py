"""The base class of objects that belong to one loop, under asyncio's module name (`asyncio.mixins`)."""

from ferrio._ferrio import _LoopBoundMixin

__all__ = ("_LoopBoundMixin",)
