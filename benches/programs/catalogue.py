"""The rows of `run.py`: what a program is, and the list of them. The programs stand in files by what they use.

A program is an asynchronous context manager. It takes the places of the services that it needs. It connects, yields a
function, and closes everything. That function takes a count, does so many operations and checks each result; only its
CPU time is measured. It raises if a result is wrong.

Programs say `import asyncio`, as any program does, and know nothing of loops. They are imported only in the process
that runs them, after that process has chosen its loop.
"""

import importlib
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

Operate = Callable[[int], Awaitable[None]]
Program = Callable[..., AbstractAsyncContextManager[Operate]]


@dataclass(frozen=True)
class Row:
    """A row of the table."""

    name: str
    """Its name in the table."""
    home: str
    """The module and the function of the program, with a colon between."""
    n: int
    """How many operations a measurement does: a quarter of a second, or more."""
    operation: str
    """What one of them is."""
    service: str | None = None
    """The service that it needs, one of `services.SERVICES`."""
    in_mean: bool = True
    """Whether it counts for the geometric mean. A program of queues alone would dominate it."""

    def load(self) -> Program:
        """Import the program."""
        module, _, function = self.home.partition(":")
        return getattr(importlib.import_module(module), function)


ROWS = (
    Row("redis", "databases:redis_commands", 2000, "a SET or a GET, 10 tasks on a pool", "redis"),
    Row("redis, subscribers", "databases:redis_subscribers", 2000, "a message to one of 10 subscribers", "redis"),
    Row("asyncpg", "databases:asyncpg_queries", 2000, "a query of one row, 20 tasks on a pool of 10", "postgresql"),
    Row("asyncpg, transactions", "databases:asyncpg_transactions", 500, "BEGIN, UPDATE, COMMIT", "postgresql"),
    Row("websockets", "web:websockets_echo", 10000, "a message of 100 characters and its echo, 10 connections"),
    Row("aiohttp", "web:aiohttp_client_and_server", 3000, "a GET of JSON, 10 tasks on one session"),
    Row("httpx on FastAPI", "web:httpx_on_fastapi", 400, "a GET of JSON from uvicorn, 10 tasks on one client"),
    Row("gRPC", "calls:grpc_calls", 1500, "a unary call of 100 bytes, 10 tasks on one channel"),
    Row("gRPC, a stream", "calls:grpc_stream", 4000, "a message of a stream of answers"),
    Row("pipeline of queues", "pipeline:pipeline", 200_000, "an item through three stages", in_mean=False),
)
