"""Whether a name exists, what kind of thing it is, and which module it claims to be from."""

import inspect
from collections.abc import Iterator

from tests.surface.walk import MISSING, Subject

OURS = ("asyncio", "ferrio")


def facts(subject: Subject) -> Iterator[tuple[str, str]]:
    yield "presence", "there"
    yield "kind", _kind(subject)
    if subject.is_callable:
        value = subject.in_use
        yield "name", str(getattr(value, "__name__", None))
        yield "qualified name", _qualified_name(subject)


def documentation(subject: Subject) -> Iterator[tuple[str, str]]:
    """Whether asyncio's has a docstring is a fact; its text isn't. ferrio may document more."""
    if (inspect.isclass(subject.value) or subject.is_callable) and getattr(subject.value, "__doc__", None):
        yield "docstring", "has one"


def module(subject: Subject) -> Iterator[tuple[str, str]]:
    """The module without the package. Names pickle, are logged and are mocked by it."""
    name = getattr(subject.value, "__module__", None)
    if subject.owner is None and isinstance(name, str) and not isinstance(subject.value, str):
        package, _, module = name.partition(".")
        # Things written in C claim to be from `_asyncio`, where nobody looks for them.
        yield "module", "anywhere" if package == "_asyncio" else f"{'' if package in OURS else package}.{module}"


def _kind(subject: Subject) -> str:
    value = subject.value
    if inspect.isclass(value):
        return "exception" if issubclass(value, BaseException) else "class"
    if subject.owner is None:
        return "function" if callable(value) else f"constant {value!r}"
    static = inspect.getattr_static(subject.owner, subject.path.rpartition(".")[2], MISSING)
    if isinstance(static, classmethod) or type(static).__name__ == "classmethod_descriptor":
        return "class method"
    if isinstance(static, staticmethod):
        return "static method"
    if callable(subject.in_use):
        return "method"
    return "attribute"


def _qualified_name(subject: Subject) -> str:
    """The name that coroutines' reprs show. Which base a method comes from may differ."""
    whole = str(getattr(subject.in_use, "__qualname__", None))
    place, _, name = whole.rpartition(".")
    inherited = subject.owner is not None and any(place == base.__qualname__ for base in inspect.getmro(subject.owner))
    return f"CLASS.{name}" if inherited else whole
