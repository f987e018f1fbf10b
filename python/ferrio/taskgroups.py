"""Task groups, under asyncio's module name (`asyncio.taskgroups`)."""

from ferrio._ferrio import TaskGroup

__all__ = ("TaskGroup",)
