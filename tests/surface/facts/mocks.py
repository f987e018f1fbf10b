"""What `unittest.mock` makes of it: whether a test that puts a mock in its place can await it."""

import inspect
import types
from collections.abc import Iterator
from typing import Any
from unittest import mock

from tests.surface.facts.words import outcome
from tests.surface.walk import MISSING, Subject


def facts(subject: Subject) -> Iterator[tuple[str, str]]:
    """Of functions by themselves."""
    if subject.owner is None and subject.is_callable:
        yield "autospec", outcome(lambda: mock.create_autospec(subject.value), _describe)
        yield (
            "mock in its place",
            outcome(lambda: mock.patch.object(_Holder(subject.value), "it").__enter__(), _describe),
        )


def of_class(cls: type, instance: Any) -> Iterator[tuple[str, str]]:
    """Of a class's attributes; the aspect ends with the attribute's name."""
    made = {
        "autospec": outcome_or(lambda: mock.create_autospec(cls)),
        "instance's autospec": outcome_or(lambda: mock.create_autospec(cls, instance=True)),
        "Mock(spec)": outcome_or(lambda: mock.MagicMock(spec=cls)),
        "AsyncMock(spec)": outcome_or(lambda: mock.AsyncMock(spec=cls)),
    }
    if instance is not MISSING:
        made["object's autospec"] = outcome_or(lambda: mock.create_autospec(instance))
    for way, mocked in made.items():
        if isinstance(mocked, str):
            yield f"{way}", mocked
            continue
        for name in dir(cls):
            if not name.startswith("_"):
                yield f"{way} of {name}", outcome(lambda mocked=mocked, name=name: getattr(mocked, name), _describe)
        for name in ("__aenter__", "__aexit__", "__aiter__", "__anext__"):
            if hasattr(cls, name):
                yield f"{way} of {name}", outcome(lambda mocked=mocked, name=name: getattr(mocked, name), _describe)


def outcome_or(make: Any) -> Any:
    """What `make` returns, or the name of what it raises."""
    try:
        return make()
    except Exception as failure:
        return f"raises {type(failure).__name__}"


class _Holder:
    def __init__(self, it: object) -> None:
        self.it = it


def _describe(mocked: Any) -> str:
    # Of a mock with a Python function as its spec, `inspect` says in error that it is a coroutine function.
    awaited = isinstance(mocked, mock.AsyncMock) or (
        type(mocked) is types.FunctionType and inspect.iscoroutinefunction(mocked)
    )
    kind = "awaited" if awaited else "called" if callable(mocked) else "not called"
    return f"{type(mocked).__name__}, {kind}"
