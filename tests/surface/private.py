"""The private attributes that tools use, and which tools use each.

They are part of the surface just like public ones: `test_surface.py` compares them, and `test_private.py` checks what
one can do with them. A name is here because programs read or set it; "tests" are those of applications.
"""

_FUTURE = {
    "_asyncio_future_blocking": "nest_asyncio, awaitables written by hand",
    "_callbacks": "debuggers, aiomonitor",
    "_cancel_message": "awaitables written by hand",
    "_exception": "debuggers",
    "_log_traceback": "tornado, home-made subprocess protocols: to silence a report",
    "_loop": "awaitables written by hand, tests of pools",
    "_result": "debuggers",
    "_source_traceback": "aiomonitor, debuggers",
    "_state": "debuggers",
}
_SHARED = {"_waiters": "tests that wait until there is a waiter", "_loop": "test suites that reset a module's lock"}
_QUEUE = {
    "_finished": "programs that put an item at the front",
    "_get": "subclasses",
    "_getters": "programs that count or cancel waiters; proxies",
    "_init": "subclasses",
    "_loop": "test suites that reset a module's queue",
    "_maxsize": "subclasses that change the size",
    "_put": "subclasses",
    "_putters": "tests that wait until there is a waiter",
    "_queue": "programs that look at the items, clear them or put one at the front",
    "_unfinished_tasks": "programs that show progress, tests",
    "_wakeup_next": "programs that put an item at the front, wavelink",
}

PRIVATE: dict[str, dict[str, str]] = {
    "Future": _FUTURE,
    "Task": {
        **_FUTURE,
        "_coro": "aiomonitor, debuggers",
        "_fut_waiter": "anyio",
        "_log_destroy_pending": "tornado, programs that leave a task behind on purpose",
        "_must_cancel": "anyio",
    },
    "Handle": {
        "_args": "arq's users, tests of signal handlers",
        "_callback": "tests of signal handlers and of timers",
        "_cancelled": "programs that turn the loop themselves: nest_asyncio",
        "_context": "debuggers",
        "_loop": "debuggers",
        "_repr": "debuggers",
        "_run": "Home Assistant's and zeroconf's tests, nest_asyncio, aiodebug",
        "_source_traceback": "debuggers",
    },
    "TimerHandle": {
        "_scheduled": "programs that turn the loop themselves: nest_asyncio",
        "_when": "nest_asyncio, clocks that jump",
    },
    "Lock": {"_locked": "test suites that reset a module's lock, pools", **_SHARED},
    "Event": {"_value": "tests", **_SHARED},
    "Condition": {"_lock": "subclasses", **_SHARED},
    "Semaphore": {"_value": "programs that show how many places are left", **_SHARED},
    "BoundedSemaphore": {
        "_bound_value": "programs that show how many places there are",
        "_value": "programs that show how many places are left",
        **_SHARED,
    },
    "Barrier": {
        "_cond": "subclasses",
        "_count": "subclasses",
        "_parties": "subclasses",
        "_state": "subclasses",
    },
    "Queue": _QUEUE,
    "PriorityQueue": _QUEUE,
    "LifoQueue": _QUEUE,
    "TaskGroup": {
        "_abort": "programs that end a group early",
        "_aborting": "subclasses",
        "_entered": "subclasses",
        "_errors": "subclasses that limit errors",
        "_exiting": "subclasses",
        "_loop": "subclasses",
        "_on_task_done": "subclasses that go on after an error",
        "_parent_task": "subclasses",
        "_tasks": "programs that cancel or count a group's tasks",
    },
    "Timeout": {
        "_state": "tests",
        "_task": "tests",
        "_timeout_handler": "tests that let the time pass",
        "_when": "tests",
    },
    "Runner": {
        "_context": "test plugins",
        "_lazy_init": "test plugins",
        "_loop": "test plugins",
        "_state": "test plugins",
    },
    "SelectorEventLoop": {
        "_asyncgens": "programs that look for leaks, runners written by hand",
        "_check_closed": "nest_asyncio",
        "_clock_resolution": "clocks that jump, loops written by hand",
        "_closed": "tests, plugins",
        "_debug": "loops written by hand",
        "_default_executor": "Home Assistant, asgiref, test suites that wait for its threads",
        "_exception_handler": "programs that replace it for a while",
        "_ready": "nest_asyncio, programs that show how much is queued, tests that run until nothing is",
        "_run_once": "nest_asyncio, tests that run until nothing is queued",
        "_scheduled": "Home Assistant's and zeroconf's tests, nest_asyncio, programs that show how much is queued",
        "_selector": "nest_asyncio, clocks that jump",
        "_signal_handlers": "arq's users, tests of signal handlers",
        "_stopping": "nest_asyncio",
        "_task_factory": "programs that replace it for a while",
        "_thread_id": "Home Assistant, nest_asyncio, programs that check whether this thread runs the loop",
    },
    "Server": {"_loop": "subclasses", "_sockets": "tests", "_waiters": "tests"},
    "StreamReader": {
        "_buffer": "protocols that look ahead, websockets' and redis' older versions",
        "_eof": "redis",
        "_exception": "aiomysql, redis",
        "_limit": "programs that change the limit",
        "_loop": "subclasses",
        "_paused": "tests",
        "_transport": "aiosmtplib, aiomysql, programs that upgrade to TLS",
        "_waiter": "subclasses",
    },
    "StreamWriter": {
        "_loop": "subclasses",
        "_protocol": "programs that upgrade to TLS",
        "_reader": "tests",
        "_transport": "programs that upgrade to TLS",
    },
    "StreamReaderProtocol": {
        "_client_connected_cb": "programs that upgrade to TLS",
        "_loop": "subclasses",
        "_over_ssl": "programs that upgrade to TLS",
        "_stream_reader": "aiosmtpd, programs that upgrade to TLS",
        "_transport": "aiosmtpd, programs that upgrade to TLS",
    },
    "subprocess.Process": {
        "_loop": "subclasses",
        "_protocol": "subclasses",
        "_transport": "programs that close a child's pipes",
    },
    "<socket transport>": {
        "_closing": "servers, tests",
        "_conn_lost": "tests",
        "_extra": "tests, programs that add to it",
        "_loop": "subclasses",
        "_protocol": "aiohttp's tests",
        "_sock": "programs that look at options, tests",
        "_sock_fd": "tests",
    },
}

# What only some Pythons' asyncio has.
VERSION_BOUND: set[str] = set()
