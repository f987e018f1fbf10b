"""What any instance supports, whatever its class: copies, references, attributes, comparisons, its repr."""

import copy
import inspect
import operator
import pickle
import weakref
from collections.abc import Iterator
from typing import Any

from tests.surface.facts.words import normal, outcome


def facts(cls: type, instance: Any) -> Iterator[tuple[str, str]]:
    yield "repr", normal(outcome(lambda: repr(instance), str))
    yield "str", normal(outcome(lambda: str(instance), str))
    yield "copy", outcome(lambda: copy.copy(instance), _name)
    yield "deep copy", outcome(lambda: copy.deepcopy(instance), _name)
    for protocol in (2, pickle.HIGHEST_PROTOCOL):
        yield (
            f"pickle {protocol}",
            outcome(lambda protocol=protocol: pickle.loads(pickle.dumps(instance, protocol)), _name),
        )
    yield "weak reference", outcome(lambda: weakref.ref(instance))
    yield "attribute of one's own", outcome(lambda: setattr(instance, "attribute_of_ones_own", 1))
    yield "hash", outcome(lambda: hash(instance))
    yield "hash by identity", outcome(lambda: hash(instance) == object.__hash__(instance), str)
    yield "truth", outcome(lambda: bool(instance), str)
    for name in ("len", "iter", "next", "aiter", "anext", "int", "float", "callable", "format"):
        yield name, outcome(lambda name=name: __builtins__[name](instance), _name)
    for operation in ("eq", "ne", "lt", "le"):
        compare = getattr(operator, operation)
        yield f"{operation} itself", outcome(lambda compare=compare: compare(instance, instance), str)
        yield f"{operation} None", outcome(lambda compare=compare: compare(instance, None), str)
    yield "awaitable", str(inspect.isawaitable(instance))


def of_class(cls: type) -> Iterator[tuple[str, str]]:
    """Facts about the class itself."""
    yield "subclass", outcome(lambda: type("Sub", (cls,), {"__module__": "sub"}), _name)
    yield "subclass with slots", outcome(lambda: type("Sub", (cls,), {"__slots__": ("x",)}), _name)
    yield "subclass with a second base", outcome(lambda: type("Sub", (_Other, cls), {}), _name)
    yield "attribute of the class", outcome(lambda: _set_and_delete(cls))
    yield "generic", outcome(lambda: cls[int], _name)
    yield "union", outcome(lambda: cls | None, _name)
    yield "metaclass", type(cls).__name__
    yield "pickled class", outcome(lambda: pickle.loads(pickle.dumps(cls)) is cls, str)


class _Other:
    pass


def _name(result: Any) -> str:
    return normal(type(result).__name__)


def _set_and_delete(cls: type) -> None:
    cls.attribute_of_ones_own = 1
    del cls.attribute_of_ones_own
