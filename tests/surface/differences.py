"""What differs from asyncio on purpose: a pattern of `path: aspect`, and the reason.

A pattern is `fnmatch`'s. The run fails on a difference that no line names, and on a line that names none.
"""

_PRESENT = "operations are no coroutine functions yet"
_CLASSES = "classes are the extension module's own"

DIFFERENCES: dict[str, str] = {
    "*: coroutine function*": _PRESENT,
    "*autospec*": _PRESENT,
    "*Mock(spec)*": _PRESENT,
    "*: mock in its place": _PRESENT,
    "*: subclass of *": _CLASSES,
    "*: instance of *": _CLASSES,
    "*: copy": _CLASSES,
    "*: deep copy": _CLASSES,
    "*: pickle *": _CLASSES,
    "*: order of bases": _CLASSES,
    "*: the instance's *": _CLASSES,
    "*: class repr": _CLASSES,
    "*: repr": _CLASSES,
    "*: str": _CLASSES,
    "*: module": _CLASSES,
    "*: its dict": _CLASSES,
    "*: attribute of *": _CLASSES,
    "*: next": _CLASSES,
    "*: anext": _CLASSES,
    "*: contains itself": _CLASSES,
    "*: signature": _PRESENT,
    "*: call with*": _PRESENT,
    "*: presence": "not offered yet",
    "*: *name": _CLASSES,
    "*: a routine": _CLASSES,
    "*: another name*": _CLASSES,
    "*: kind": _CLASSES,
    "*: docstring": _CLASSES,
    "*: generic": _CLASSES,
    "*: union": _CLASSES,
    "*: pickled class": _CLASSES,
    "*: awaitable": _CLASSES,
    "*: metaclass": _CLASSES,
    "*: subclass*": _CLASSES,
    "as_completed: generator function": "it is the iterator of Python 3.13 on each",
}
