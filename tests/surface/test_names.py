"""ferrio has the public names of the newest asyncio on every Python, and its own.

`test_surface.py` compares what the running Python's asyncio has.
"""

import asyncio
import inspect

import pytest

import ferrio

# asyncio's public names in CPython 3.15 on Unix, by the module that defines them.
IN_PROCESS = {
    "base_events": "BaseEventLoop Server",
    "coroutines": "iscoroutinefunction iscoroutine",
    "events": """AbstractEventLoop AbstractServer Handle TimerHandle get_event_loop_policy set_event_loop_policy
        get_event_loop set_event_loop new_event_loop get_running_loop _set_running_loop _get_running_loop""",
    "exceptions": """BrokenBarrierError CancelledError InvalidStateError TimeoutError IncompleteReadError
        LimitOverrunError SendfileNotAvailableError""",
    "futures": "Future wrap_future isfuture future_add_to_awaited_by future_discard_from_awaited_by",
    "graph": "capture_call_graph format_call_graph print_call_graph FrameCallGraphEntry FutureCallGraph",
    "locks": "Lock Event Condition Semaphore BoundedSemaphore Barrier",
    "protocols": "BaseProtocol Protocol DatagramProtocol SubprocessProtocol BufferedProtocol",
    "queues": "Queue PriorityQueue LifoQueue QueueFull QueueEmpty QueueShutDown",
    "runners": "Runner run",
    "streams": """StreamReader StreamReaderProtocol StreamWriter open_connection start_server open_unix_connection
        start_unix_server""",
    "subprocess": "create_subprocess_exec create_subprocess_shell",
    "taskgroups": "TaskGroup",
    "tasks": """Task create_task FIRST_COMPLETED FIRST_EXCEPTION ALL_COMPLETED wait wait_for as_completed sleep gather
        shield ensure_future run_coroutine_threadsafe current_task all_tasks create_eager_task_factory
        eager_task_factory _register_task _unregister_task _enter_task _leave_task""",
    "threads": "to_thread",
    "timeouts": "Timeout timeout timeout_at",
    "transports": "BaseTransport ReadTransport WriteTransport Transport DatagramTransport SubprocessTransport",
    "unix_events": "SelectorEventLoop EventLoop",
}

# ferrio's own names, by the module that defines them; no version of asyncio has them.
ADDITIONS = {
    "executor": "ThreadPool",
    "processes": "to_process",
}

# Offered only on demand: the standard library warns about them on the newest Pythons.
UNLISTED = ("AbstractEventLoopPolicy", "DefaultEventLoopPolicy")

NAMES = [(module, name) for module, names in IN_PROCESS.items() for name in names.split()]


@pytest.mark.parametrize(("module", "name"), NAMES)
def test_name_is_offered(module, name):
    assert hasattr(ferrio, name)
    assert name in ferrio.__all__


@pytest.mark.parametrize("name", [name for names in ADDITIONS.values() for name in names.split()])
def test_addition_is_documented_and_leaves_asyncio_alone(name):
    assert name in ferrio.__all__
    assert inspect.getdoc(getattr(ferrio, name))
    assert not hasattr(asyncio, name)


@pytest.mark.parametrize("name", UNLISTED)
def test_unlisted_name_is_offered(name):
    assert hasattr(ferrio, name)


def test_all_has_no_duplicate_and_no_missing_name():
    assert len(ferrio.__all__) == len(set(ferrio.__all__))
    assert [name for name in ferrio.__all__ if not hasattr(ferrio, name)] == []


def test_lists_here_cover_all_of_asyncio():
    known = {name for _, name in NAMES} | set(UNLISTED)
    # The names of policies and child watchers in Pythons before 3.14.
    outdated = {name for name in asyncio.__all__ if name.endswith(("ChildWatcher", "child_watcher"))}
    assert set(asyncio.__all__) - known - outdated == set()


@pytest.mark.parametrize(
    "name", ["CancelledError", "TimeoutError", "InvalidStateError", "AbstractEventLoop", "Transport"]
)
def test_object_shared_between_worlds_is_the_standard_librarys(name):
    assert getattr(ferrio, name) is getattr(asyncio, name)
