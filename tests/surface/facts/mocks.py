"""What `unittest.mock` makes of something: whether a test that replaces it with a mock can await the mock."""

import inspect
import types
from collections.abc import Iterator
from typing import Any
from unittest import mock

from tests.surface.facts.words import outcome
from tests.surface.walk import MISSING, Subject


def facts(subject: Subject) -> Iterator[tuple[str, str]]:
    """Facts about a function itself."""
    if subject.owner is None and subject.is_callable:
        yield "autospec", outcome(lambda: mock.create_autospec(subject.value), _describe)
        yield (
            "mock in its place",
            outcome(lambda: mock.patch.object(_Holder(subject.value), "it").__enter__(), _describe),
        )


def of_class(cls: type, instance: Any) -> Iterator[tuple[str, str]]:
    """Facts about a class's attributes; each aspect ends with the attribute's name."""
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
    """Returns what `make` returns, or the name of what it raises."""
    try:
        return make()
    except Exception as failure:
        return f"raises {type(failure).__name__}"


class _Holder:
    def __init__(self, it: object) -> None:
        self.it = it


def _describe(mocked: Any) -> str:
    # If a mock's spec is a Python function, `inspect` wrongly calls the mock a coroutine function.
    awaited = isinstance(mocked, mock.AsyncMock) or (
        type(mocked) is types.FunctionType and inspect.iscoroutinefunction(mocked)
    )
    kind = "awaited" if awaited else "called" if callable(mocked) else "not called"
    return f"{type(mocked).__name__}, {kind}"
