"""What differs from asyncio on purpose: a pattern of `path: aspect`, and the reason.

Patterns are those of `fnmatch`. The run fails on a difference that no pattern matches, and on a pattern that matches no
difference. If a reason begins with versions, it applies only to them ("3.12-3.13: ..."). `docs/differences.md` has the
list too.
"""

_LOOP = "the loop isn't an asyncio.BaseEventLoop"
_WAITS = "the loop waits in the kernel itself: there is no selector"
_ITERATOR = "a future is its own iterator, so an await creates no second object"
_OPEN = "a transport, server or loop owns its descriptors: two owners would close them twice"
_BLOCK = "a block belongs to the task inside it; asyncio copies one that wasn't entered"
_HANDLE = "a handle belongs to the loop's queue: a copy outside it would never be called"

DIFFERENCES: dict[str, str] = {
    # the loop
    "SelectorEventLoop: subclass of *EventLoop": _LOOP,
    "SelectorEventLoop: instance of *EventLoop": _LOOP,
    "SelectorEventLoop: order of bases": _LOOP,
    "SelectorEventLoop._selector: presence": _WAITS,
    "SelectorEventLoop: signature": "3.15-3.15: ferrio's clock may be virtual",
    "SelectorEventLoop.create_task: signature": "3.15-3.15: the keywords are named, as in earlier Pythons",
    "SelectorEventLoop: module": "asyncio's is in a module for Unix, because Windows has another",
    "DefaultEventLoopPolicy: module": "3.11-3.13: asyncio's is in a module for Unix",
    "SelectorEventLoop: pickle *": "asyncio's can't be pickled either; the exception differs",
    # copies of what can have only one owner
    "SelectorEventLoop: copy": _OPEN,
    "Server: copy": _OPEN,
    "Stream*: copy": _OPEN,
    "<*>: copy": _OPEN,
    "Handle: copy": _HANDLE,
    "TimerHandle: copy": _HANDLE,
    "TaskGroup: *copy": _BLOCK,
    "TaskGroup: pickle *": _BLOCK,
    "Timeout: *copy": _BLOCK,
    "Timeout: pickle *": _BLOCK,
    # futures and tasks
    "Future: attribute of the class": "asyncio's is written in C and can't be patched; ferrio's can",
    "Future: repr": "3.14-3.15: a shield needs no callback to know its waiter",
    "Future: str": "3.14-3.15: a shield needs no callback to know its waiter",
    "Task: attribute of the class": "asyncio's is written in C and can't be patched; ferrio's can",
    "*: next": _ITERATOR,
    "TaskGroup.create_task: call with a wrong keyword": "a group that wasn't entered is reported first",
    "get_event_loop: autospec": "asyncio's is written in C, and has no signature on some Pythons",
    "as_completed: generator function": "3.11-3.12: Python 3.13's iterator on every Python",
    # names
    "isfuture: module": "ferrio has no base_futures module",
    "Condition.*: qualified name": "a condition has its own methods, not its lock's",
    "PriorityQueue._[gp]*t: signature": "asyncio's default arguments are a trick to save a look-up",
}
