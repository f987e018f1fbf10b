"""What there is to compare: each public name of asyncio, and each attribute of each class.

A name is walked in asyncio or in ferrio alike; which names count is asyncio's to say, so what ferrio has besides is
walked and then not asked for. Instances come from `instances.py`, private names from `private.py`.
"""

import asyncio
import dataclasses
import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from typing import Any

from tests.surface.private import PRIVATE

MISSING = object()

# Submodules that are another system's, or programs; and what asyncio's own loop is made of, which no program imports.
LEFT_OUT = {"__main__", "tools", "windows_events", "windows_utils", "proactor_events"}
LEFT_OUT |= {"base_subprocess", "selector_events", "unix_events"}
# How a class was written, not what it does; and what the interpreter calls.
STRUCTURE = set(dir(object)) | {
    "__abstractmethods__",
    "__annotate__",
    "__annotate_func__",
    "__annotations__",
    "__annotations_cache__",
    "__class_getitem__",
    "__conditional_annotations__",
    "__del__",
    "__dict__",
    "__final__",
    "__firstlineno__",
    "__module__",
    "__orig_bases__",
    "__parameters__",
    "__slotnames__",
    "__slots__",
    "__static_attributes__",
    "__weakref__",
    "_abc_impl",
}


@dataclasses.dataclass
class Subject:
    """One thing of the surface: a name of a module, or an attribute of a class."""

    path: str
    #: What the class says, found without calling anything; of a name in a module, its value.
    value: Any
    #: What an instance says; `MISSING` where there is no instance, or where it raises.
    bound: Any = MISSING
    #: The class that it is an attribute of.
    owner: type | None = None

    @property
    def in_use(self) -> Any:
        """What a program gets hold of: the instance's if there is one, else the class's or the module's."""
        return self.value if self.bound is MISSING else self.bound

    @property
    def is_callable(self) -> bool:
        return callable(self.in_use) and not inspect.isclass(self.in_use)


def public_names() -> dict[str, str]:
    """Public names as `name` or `module.name`, each with the module's name that it is looked up in ("" is the package).

    Asked before `install()`, and the same for all that are compared.
    """
    names = dict.fromkeys(["SelectorEventLoop", *asyncio.__all__, *dir(asyncio)], "")
    names = {name: "" for name in names if not name.startswith("_") and not inspect.ismodule(_lookup(asyncio, name))}
    for module in submodules():
        standard = importlib.import_module(f"asyncio.{module}")
        listed = getattr(standard, "__all__", ())
        for name, value in vars(standard).items():
            if getattr(value, "__module__", None) != standard.__name__ or name.startswith("_") or name in names:
                continue
            # A list of public names leaves out functions on purpose; classes are for programs to derive from.
            if not listed or name in listed or inspect.isclass(value):
                names[f"{module}.{name}"] = module
    return names


def other_names(names: dict[str, str]) -> dict[str, str]:
    """Which of the names are only other names of one that comes before: `EventLoop` of `SelectorEventLoop`."""
    first: dict[int, str] = {}
    found = {}
    for path, module in names.items():
        value = find("asyncio", path, module)
        if inspect.isclass(value) and first.setdefault(id(value), path) != path:
            found[path] = first[id(value)]
    return found


def submodules() -> list[str]:
    """The names of asyncio's modules that a program on this system may import."""
    return sorted(found.name for found in pkgutil.iter_modules(asyncio.__path__) if found.name not in LEFT_OUT)


def find(package: str, path: str, module: str) -> Any:
    """The object of that name in `package`, or `MISSING`."""
    try:
        place = importlib.import_module(f"{package}.{module}" if module else package)
    except ImportError:
        return MISSING
    return _lookup(place, path.rpartition(".")[2])


def attributes(path: str, owner: type, instance: Any = MISSING) -> Iterator[Subject]:
    """The attributes of a class: the public, the special that it adds to `object`'s, and the private in use."""
    listed = PRIVATE.get(path, {})
    names = set(dir(owner)) | (set() if instance is MISSING else set(dir(instance)))
    for name in sorted(names | set(listed)):
        private = name.startswith("_") and not (name.startswith("__") and name.endswith("__"))
        if name in STRUCTURE or (private and name not in listed):
            continue
        try:
            static = inspect.getattr_static(owner, name)
        except AttributeError:
            static = MISSING
        value = _lookup(owner, name)
        bound = MISSING if instance is MISSING else _lookup(instance, name)
        if static is MISSING and value is MISSING and bound is MISSING:
            continue
        yield Subject(f"{path}.{name}", static if value is MISSING else value, bound, owner)


def _lookup(owner: Any, name: str) -> Any:
    try:
        return getattr(owner, name)
    except Exception:  # deprecated names warn, which is an error in tests; properties raise what they like
        return MISSING
