"""What differs from asyncio on purpose: a pattern of `path: aspect`, and the reason.

A pattern is `fnmatch`'s. The run fails on a difference that no line names, and on a line that names none; a reason that
begins with versions is for these alone ("3.12-3.13: ..."). `docs/differences.md` has the list too.
"""

_LOOP = "the loop is no asyncio.BaseEventLoop"
_WAITS = "the loop waits in the kernel itself: there is no selector"
_ITERATOR = "a future is its own iterator, so that an await makes no second object"
_OPEN = "a transport, a server, a loop belongs to its descriptors: two owners would close them twice"
_BLOCK = "a block belongs to the task that is in it; asyncio copies one that nobody has entered"
_HANDLE = "a handle belongs to the loop's queue: a copy that isn't in there would never be called"

DIFFERENCES: dict[str, str] = {
    # the loop
    "SelectorEventLoop: subclass of *EventLoop": _LOOP,
    "SelectorEventLoop: instance of *EventLoop": _LOOP,
    "SelectorEventLoop: order of bases": _LOOP,
    "SelectorEventLoop._selector: presence": _WAITS,
    "SelectorEventLoop: signature": "3.15-3.15: ferrio's clock may be virtual",
    "SelectorEventLoop.create_task: signature": "3.15-3.15: the keywords are named, as in earlier Pythons",
    "SelectorEventLoop: module": "asyncio's stands in a module for Unix, for there is another for Windows",
    "DefaultEventLoopPolicy: module": "3.11-3.13: asyncio's stands in a module for Unix",
    "SelectorEventLoop: pickle *": "asyncio can't either; the exception is another",
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
    "Future: repr": "3.14-3.15: a shield needs no callback to know who awaits it",
    "Future: str": "3.14-3.15: a shield needs no callback to know who awaits it",
    "Task: attribute of the class": "asyncio's is written in C and can't be patched; ferrio's can",
    "*: next": _ITERATOR,
    "eager_task_factory: *": "3.12-3.15: an object that makes native tasks, and no Python function",
    "TaskGroup.create_task: call with a wrong keyword": "that the group wasn't entered is said first",
    "get_event_loop: autospec": "asyncio's is written in C, and has no signature on some Pythons",
    "as_completed: generator function": "3.11-3.12: it is the iterator of Python 3.13, on each",
    # names
    "isfuture: module": "ferrio has no module base_futures of its own",
    "Condition.*: qualified name": "a condition has methods of its own, not its lock's",
    "PriorityQueue._[gp]*t: signature": "asyncio's default arguments are a way to save a look-up",
}
