"""Tasks and the functions that combine them, under asyncio's module name (`asyncio.tasks`)."""

from concurrent.futures import ALL_COMPLETED, FIRST_COMPLETED, FIRST_EXCEPTION

from ferrio._ferrio import (
    Task,
    _enter_task,
    _GatheringFuture,
    _leave_task,
    _register_task,
    _swap_current_task,
    _unregister_task,
    all_tasks,
    as_completed,
    create_task,
    current_task,
    ensure_future,
    gather,
    run_coroutine_threadsafe,
    shield,
    sleep,
    wait,
    wait_for,
)
from ferrio._standard import create_eager_task_factory

# Eager tasks are in the same set as the others.
_register_eager_task = _register_task
_unregister_eager_task = _unregister_task

eager_task_factory = create_eager_task_factory(Task)

__all__ = (
    "ALL_COMPLETED",
    "FIRST_COMPLETED",
    "FIRST_EXCEPTION",
    "Task",
    "_enter_task",
    "_leave_task",
    "_register_task",
    "_unregister_task",
    "all_tasks",
    "as_completed",
    "create_eager_task_factory",
    "create_task",
    "current_task",
    "eager_task_factory",
    "ensure_future",
    "gather",
    "run_coroutine_threadsafe",
    "shield",
    "sleep",
    "wait",
    "wait_for",
)
