"""Timeouts, under asyncio's module name (`asyncio.timeouts`)."""

from ferrio._ferrio import Timeout, timeout, timeout_at

__all__ = ("Timeout", "timeout", "timeout_at")
