"""Whether it is there, what kind of thing it is, and in which module it says it is."""

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
    """That asyncio's has a docstring is a fact; what it says isn't. ferrio may document more."""
    if (inspect.isclass(subject.value) or subject.is_callable) and getattr(subject.value, "__doc__", None):
        yield "docstring", "has one"


def module(subject: Subject) -> Iterator[tuple[str, str]]:
    """The module without the package: of a name that pickles and logs, and by which a mock is put in its place."""
    name = getattr(subject.value, "__module__", None)
    if subject.owner is None and isinstance(name, str) and not isinstance(subject.value, str):
        package, _, module = name.partition(".")
        # What is written in C says `_asyncio`, where nobody looks for it.
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
    """As coroutines' reprs show it. Which of the bases a method comes from is left to each."""
    whole = str(getattr(subject.in_use, "__qualname__", None))
    place, _, name = whole.rpartition(".")
    inherited = subject.owner is not None and any(place == base.__qualname__ for base in inspect.getmro(subject.owner))
    return f"CLASS.{name}" if inherited else whole
