"""Queues, under asyncio's module name (`asyncio.queues`)."""

import asyncio.queues
from asyncio.queues import QueueEmpty, QueueFull

from ferrio._ferrio import LifoQueue, PriorityQueue, Queue

try:
    QueueShutDown = asyncio.queues.QueueShutDown  # type: ignore[attr-defined] # types are checked for 3.11
except AttributeError:

    class QueueShutDown(Exception):  # type: ignore[no-redef]
        """Raised by `put` and `get` on a queue that was shut down; the standard library has it from 3.13 on."""


__all__ = ("LifoQueue", "PriorityQueue", "Queue", "QueueEmpty", "QueueFull", "QueueShutDown")
