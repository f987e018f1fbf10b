"""What class checks tell: each class against each of asyncio's, and the order of bases."""

import inspect
from collections.abc import Iterator
from typing import Any

from tests.surface.facts.words import normal, outcome
from tests.surface.walk import MISSING

#: Frameworks check for these classes, so they are compared for every object.
ABSTRACT = (
    "Awaitable",
    "Coroutine",
    "Generator",
    "Iterable",
    "AsyncIterable",
    "Hashable",
    "Sized",
    "Container",
    "Callable",
)


def facts(cls: type, instance: Any, classes: dict[str, type]) -> Iterator[tuple[str, str]]:
    """`classes` are asyncio's, by name. They are the same whether the class under test is asyncio's or ferrio's."""
    for name, standard in classes.items():
        yield f"subclass of {name}", outcome(lambda standard=standard: issubclass(cls, standard), str)
        if instance is not MISSING:
            yield f"instance of {name}", outcome(lambda standard=standard: isinstance(instance, standard), str)
    names = [normal(base.__name__) for base in inspect.getmro(cls)]
    public = [name for name in names if name in classes or name in ("object", "Exception", "Generic")]
    yield "order of bases", " ".join(dict.fromkeys(public))
    if instance is not MISSING:
        yield "the instance's class", normal(str(isinstance(instance, cls) and type(instance).__name__))
        yield "the instance's __class__", normal(outcome(lambda: instance.__class__.__name__, str))
