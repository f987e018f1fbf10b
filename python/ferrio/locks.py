"""Locks and the like, under asyncio's module name (`asyncio.locks`)."""

from ferrio._ferrio import Barrier, BoundedSemaphore, Condition, Event, Lock, Semaphore

__all__ = ("Barrier", "BoundedSemaphore", "Condition", "Event", "Lock", "Semaphore")
