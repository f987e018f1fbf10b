"""Functions in threads, under asyncio's module name (`asyncio.threads`)."""

from ferrio._ferrio import to_thread

__all__ = ("to_thread",)
