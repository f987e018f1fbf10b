"""Python frames for native operations: coroutine functions whose frames look like those of asyncio's own coroutines.

A native operation has no frame. `stand_in` makes a function whose coroutine has asyncio's name, file and line, and only
awaits its argument. The code is made once for each operation that somebody observes or looks at. `operation/frames.rs`
and `operation/unawaited.rs` in the extension module use it.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Iterator
from types import CodeType, FunctionType
from typing import Any

from ferrio import _install, timeouts

# asyncio's modules with coroutine functions, in which names are looked up.
_MODULES = (
    "tasks",
    "queues",
    "locks",
    "streams",
    "taskgroups",
    "timeouts",
    "threads",
    "base_events",
    "selector_events",
    "unix_events",
    "base_subprocess",
    "subprocess",
)

# The position of a piece of code: first and last line, first and last column.
_Position = tuple[int, int, int, int]


def stand_in(names: tuple[str, ...]) -> FunctionType:
    """Returns a coroutine function that stands for asyncio's function `names[0]`, which waits in `names[1]`, and so on.

    The names are qualified ones. A later one that this Python's asyncio lacks is left out. The function takes what the
    innermost coroutine awaits, and returns what that returns.
    """
    outer = asyncio_function(names[0])
    chain = [(names[0], outer)]
    chain += [(name, inner) for name in names[1:] if (inner := asyncio_function(name))]
    made = None
    for name, original in reversed(chain):
        made = _make(name, original, made)
    assert made is not None
    return made


@functools.cache
def asyncio_function(qualname: str) -> FunctionType | None:
    """Returns asyncio's own function of that name, whatever `install()` has replaced; `None` if there is none."""
    first, _, rest = qualname.partition(".")
    for module in _MODULES:
        found = _install.before(module, first)
        if rest and found is not None:
            found = vars(found).get(rest) if isinstance(found, type) else None
        # ferrio's functions are of a subtype.
        if type(found) is FunctionType and found.__code__.co_qualname == qualname:
            return found
    return None


@types.coroutine
def pause() -> Iterator[None]:
    """Suspends once: what a coroutine awaits that is only looked at."""
    yield


def _make(qualname: str, original: FunctionType | None, inner: FunctionType | None) -> FunctionType:
    """Returns a coroutine function that looks like `original` and awaits `inner(argument)`, or its argument."""
    import ast  # here and not above, because few programs need it

    if original is None:
        filename, first, where, scope = "<ferrio>", 1, (1, 1, 0, 0), globals()
    else:
        code = original.__code__
        filename, first, scope = code.co_filename, code.co_firstlineno, original.__globals__
        where = _place_of_await(code, None if inner is None else inner.__name__)
    name = qualname.rpartition(".")[2]
    awaited = "operation" if inner is None else "inner(operation)"
    tree = ast.parse(f"def make(inner):\n async def {name}(operation): return await {awaited}")
    for node in ast.walk(tree):
        if isinstance(node, (ast.stmt, ast.expr, ast.arg)):
            node.lineno, node.end_lineno, node.col_offset, node.end_col_offset = where
    for node in ast.walk(tree):
        if isinstance(node, ast.AsyncFunctionDef):
            node.lineno = first
    made = _code_in(_code_in(compile(tree, filename, "exec")))
    made = made.replace(co_qualname=qualname)
    return FunctionType(made, scope, name, closure=(types.CellType(inner),) if made.co_freevars else None)


def _code_in(code: CodeType) -> CodeType:
    return next(constant for constant in code.co_consts if isinstance(constant, CodeType))


def _place_of_await(code: CodeType, callee: str | None) -> _Position:
    """Returns where `code` waits: in the last `await` that calls `callee`, or in the last one of a plain name."""
    import dis

    instructions: list[tuple[dis.Instruction, Any]] = [(found, found.positions) for found in dis.get_instructions(code)]
    awaits: list[_Position] = [
        (place.lineno, place.end_lineno, place.col_offset, place.end_col_offset)
        for found, place in instructions
        if found.opname == "GET_AWAITABLE" and not found.arg and place is not None
    ]
    fitting = []
    for await_ in awaits:
        inside = [found for found, place in instructions if place is not None and _contains(await_, place)]
        called = any(found.opname.startswith("CALL") for found in inside)
        names = [found.argval for found in inside if found.opname != "LOAD_CONST"]
        if callee in names if callee else not called:
            fitting.append(await_)
    return (fitting or awaits or [(code.co_firstlineno, code.co_firstlineno, 0, 0)])[-1]


def _contains(outer: Any, inner: Any) -> bool:
    first, last, left, right = outer
    if None in (inner.lineno, inner.end_lineno, inner.col_offset, inner.end_col_offset):
        return False
    begins, ends = (inner.lineno, inner.col_offset), (inner.end_lineno, inner.end_col_offset)
    return bool((first, left) <= begins and ends <= (last, right))


def _on_ferrio(qualname: str, **names: object) -> Callable[..., Any]:
    """Returns asyncio's own function, to which `names` mean these values."""
    original = asyncio_function(qualname)
    assert original is not None
    return FunctionType(original.__code__, {**original.__globals__, **names}, original.__name__, original.__defaults__)


wait_for = _on_ferrio("wait_for", timeouts=timeouts)
