"""Tasks and what combines them, under asyncio's module name (`asyncio.tasks`)."""

from concurrent.futures import ALL_COMPLETED, FIRST_COMPLETED, FIRST_EXCEPTION

from ferrio._ferrio import Task, all_tasks, create_task, current_task, ensure_future, sleep

__all__ = (
    "ALL_COMPLETED",
    "FIRST_COMPLETED",
    "FIRST_EXCEPTION",
    "Task",
    "all_tasks",
    "create_task",
    "current_task",
    "ensure_future",
    "sleep",
)
